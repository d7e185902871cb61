// The door of the coordinator's admin port: TLS where it is asked for, wrong secrets, and certificates that were revoked.
import Core
import Foundation
import Net
import Testing

@testable import Coordinator

@Suite(.serialized) struct AdminDoorTests {
    private func sluice(
        _ coordinator: TestCoordinator, _ words: String..., file: String = "cluster.conf"
    ) throws -> (status: Int32, text: String) {
        let command = ([TestCoordinator.program("sluice")] + words).joined(separator: " ")
        let answer = try coordinator.run(
            "/bin/bash", ["-c", "\(command) --config \(coordinator.path(file)) 2>&1"])
        return (answer.status, answer.output)
    }

    @Test func `the admin port speaks TLS, the tool speaks it too, and only to coordinators`() throws {
        let coordinator = try TestCoordinator()
        defer { coordinator.stop() }
        let plain = coordinator.configuration(routes: 1)
        coordinator.signal("coordinator", SIGTERM)
        coordinator.adminScheme = "https"
        try coordinator.write(
            "cluster.conf", plain.replacing("[nodes edge]", with: "admin-plain-http = no\n[nodes edge]"))
        try coordinator.start()
        #expect(coordinator.log().contains("admin at https://127.0.0.1:\(coordinator.admin)"))
        #expect(coordinator.http("GET", "/v1/status").status == 200)
        #expect(coordinator.http("GET", "/readyz", secret: nil).status == 200)
        coordinator.adminScheme = "http"
        #expect(coordinator.http("GET", "/livez", secret: nil).status == 0)
        coordinator.adminScheme = "https"

        #expect(try sluice(coordinator, "status").status == 0)
        let made = try sluice(coordinator, "keys", "create", "--org", "acme", "--team", "search", "--model", "'*'")
        #expect(made.status == 0, "\(made.text)")
        let url = try sluice(coordinator, "config", "get", "coordinator.a.admin-url").text
        #expect(url == "https://127.0.0.1:\(coordinator.admin)\n")
        // Its file says plain HTTP: no secret is sent into the void without a word about why.
        try coordinator.write("plain.conf", plain)
        let spoken = try sluice(coordinator, "status", file: "plain.conf")
        #expect(spoken.status != 0 && spoken.text.contains("TLS"), "\(spoken.text)")
        // A node's certificate comes from the same CA and must not be given the secret.
        coordinator.signal("coordinator", SIGTERM)
        let stolen = plain.replacing("[nodes edge]", with: "admin-plain-http = no\n[nodes edge]")
            .replacing("pki/coordinator.", with: "pki/node.")
        try coordinator.write("cluster.conf", stolen)
        try coordinator.start()
        let refused = try sluice(coordinator, "status")
        #expect(refused.status != 0 && refused.text.contains("not a coordinator's"), "\(refused.text)")
    }

    @Test func `wrong secrets are logged, counted and slowed, and nobody else waits`() throws {
        let coordinator = try TestCoordinator()
        defer { coordinator.stop() }
        let clock = ContinuousClock()
        let times = (0..<3).map { number in
            clock.measure {
                #expect(coordinator.http("GET", "/v1/keys", secret: number == 0 ? nil : "canary-5e1f").status == 401)
            }
        }
        #expect(times[0] >= .milliseconds(250) && times[1] >= .milliseconds(500) && times[2] >= .seconds(1), "\(times)")
        // Eight more at once: they wait, an operator at the same address does not.
        let attackers = (0..<8).map { _ in
            Process.detached("/usr/bin/curl", ["-s", "-H", "Authorization: Bearer no", coordinator.url("/v1/status")])
        }
        let honest = clock.measure { #expect(coordinator.http("GET", "/v1/status").status == 200) }
        #expect(attackers.contains { $0.isRunning })
        #expect(honest < .seconds(2), "\(honest)")
        for attacker in attackers { attacker.waitUntilExit() }
        let page = coordinator.http("GET", "/metrics", secret: nil).text
        #expect(page.contains("sluice_admin_denied_total 11\n"))
        let lines = coordinator.log().split(separator: "\n").filter { $0.contains("admin_denied") }
        #expect(lines.count >= 2 && lines.count < 11)
        #expect(lines.first?.contains("GET /v1/keys from 127.0.0.1:") == true)
        #expect(!coordinator.log().contains("Bearer") && !coordinator.log().contains("canary-5e1f"))
    }

    @Test func `a short admin secret is refused, at the start and by the check`() throws {
        let coordinator = try TestCoordinator()
        defer { coordinator.stop() }
        try coordinator.write("state/admin.secret", "short\n")
        let program = "\(TestCoordinator.program("sluice-coordinator")) --config cluster.conf 2>&1"
        let start = try coordinator.run("/bin/bash", ["-c", program])
        #expect(start.status == 64 && start.output.contains("has 5 bytes, at least 32 are needed"), "\(start.output)")
        let check = "\(TestCoordinator.program("sluice")) check cluster.conf 2>&1"
        let checked = try coordinator.run("/bin/bash", ["-c", check])
        #expect(checked.status == 64 && checked.output.contains("at least 32 are needed"), "\(checked.output)")
    }

    @Test func `a node whose certificate is revoked goes at SIGHUP, and the others stay`() throws {
        let coordinator = try TestCoordinator()
        defer { coordinator.stop() }
        coordinator.signal("coordinator", SIGTERM)
        try coordinator.certify("stolen", uri: "spiffe://sluice/node/2")
        try coordinator.revoke(nil)
        try coordinator.write(
            "cluster.conf",
            coordinator.configuration(routes: 1).replacing(
                "[tls cluster]", with: "[tls cluster]\ncrl = state/pki/crl.pem"))
        try coordinator.start()
        let honest = try ListeningNode(coordinator, number: 1)
        let stolen = try ListeningNode(coordinator, number: 2, certificate: "stolen")
        defer {
            honest.stop()
            stolen.stop()
        }
        try coordinator.wait("both nodes") { honest.isConnected && stolen.isConnected }
        try coordinator.revoke("stolen")
        coordinator.signal("coordinator", SIGHUP)
        try coordinator.wait("its end") { !stolen.isConnected }
        try coordinator.wait("the reason") { stolen.lastText.contains("revoked") }
        #expect(coordinator.log().contains("certificate refused: certificate revoked"))
        #expect(honest.isConnected)
    }

    // MARK: - The guard alone

    @Test func `each failure of a source doubles its delay, others begin anew`() {
        var logins = LoginGuard()
        let start = Instant(nanoseconds: 1_000_000_000_000)
        let delays = (0..<7).map { logins.failed("a", at: start + .seconds($0)) }
        #expect(
            delays == [250, 500, 1_000, 2_000, 4_000, 4_000, 4_000].map { .refuse(after: .milliseconds($0)) })
        #expect(logins.failed("b", at: start) == .refuse(after: .milliseconds(250)))
        #expect(logins.failed("a", at: start + .seconds(700)) == .refuse(after: .milliseconds(250)))
        #expect(logins.denied == 9)
    }

    @Test func `what one source can try is bounded, and what all of them make remember`() {
        var logins = LoginGuard()
        let now = Instant(nanoseconds: 1_000_000_000_000)
        for _ in 0..<LoginGuard.waitingLimit { #expect(logins.failed("a", at: now) != .close) }
        #expect(logins.failed("a", at: now) == .close)
        logins.refused("a")
        #expect(logins.failed("a", at: now) != .close)
        for number in 1..<LoginGuard.sourceLimit { #expect(logins.failed("s\(number)", at: now) != .close) }
        #expect(logins.failed("one more", at: now) == .close, "all sources wait")
        logins.refused("s1")
        #expect(logins.failed("one more", at: now) != .close)
    }

    @Test func `the log has a line a second, which says how many had none`() {
        var logins = LoginGuard()
        let start = Instant(nanoseconds: 1_000_000_000_000)
        #expect(logins.line(at: start) == 0)
        for _ in 0..<5 { #expect(logins.line(at: start + .milliseconds(500)) == nil) }
        #expect(logins.line(at: start + .seconds(1)) == 5)
        #expect(logins.line(at: start + .seconds(2)) == 0)
    }

    @Test func `an IPv6 subscriber is one source`() {
        let bytes = [UInt8](repeating: 0x20, count: 16)
        let other = bytes.prefix(15) + [1]
        #expect(LoginGuard.source(.ipv6(bytes, port: 1)) == LoginGuard.source(.ipv6(Array(other), port: 2)))
        #expect(LoginGuard.source(.ipv4(0x0A00_0001, port: 1)) == "10.0.0.1")
    }
}

extension Process {
    fileprivate static func detached(_ executable: String, _ arguments: [String]) -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try? process.run()
        return process
    }
}
