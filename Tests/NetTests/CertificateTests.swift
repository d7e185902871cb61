// Certificates over their life: reload of every context, expiry told in time, revocation, keys that others can read.
import Core
import Foundation
import Telemetry
import TestSupport
import Testing

@testable import Net

extension TestAuthority {
    /// Revokes certificates by name: writes `crl.pem`, good for `days`.
    func revoke(_ names: [String], days: Int = 2, by authority: String = "ca") throws {
        let text = """
            [ca]
            default_ca = it
            [it]
            database = \(path("index.txt"))
            default_md = sha256
            default_crl_days = \(days)
            certificate = \(path("\(authority).pem"))
            private_key = \(path("\(authority).key"))

            """
        try Data(text.utf8).write(to: URL(fileURLWithPath: path("ca.conf")))
        if !FileManager.default.fileExists(atPath: path("index.txt")) {
            try Data().write(to: URL(fileURLWithPath: path("index.txt")))
        }
        for name in names { try openssl("ca -config ca.conf -revoke \(name).pem") }
        try openssl("ca -config ca.conf -gencrl -out crl.pem")
    }
}

@Suite(.serialized) struct CertificateTests {
    private let authority: TestAuthority
    private let lane: Lane

    init() throws {
        authority = try TestAuthority()
        lane = try Lane.start(count: 1, name: "certificates")[0]
    }

    private func server(crl: String? = nil) throws -> TLSContext {
        try .server(
            certificate: authority.path("server.pem"), key: authority.path("server.key"),
            clientCA: authority.path("ca.pem"), clients: .required, crl: crl.map(authority.path),
            protocols: ["sluice/1"])
    }

    private func client(crl: String? = nil) throws -> TLSContext {
        try .client(
            trust: .file(authority.path("ca.pem")), certificate: authority.path("client.pem"),
            key: authority.path("client.key"), crl: crl.map(authority.path), protocols: ["sluice/1"])
    }

    /// What an echo over TLS comes to: the answer, or the reason why there is none.
    private func talk(_ server: TLSContext, _ client: TLSContext) async throws -> String {
        let listener = try ConnectionTests().echo(lane, tls: server)
        let result = await ConnectionTests().exchange(lane, listener.address, tls: client, payload: [7])
        _ = await on(lane) { done in
            listener.close()
            done(true)
        }
        return "\(result)"
    }

    @Test func `every context is reloaded, and what fails keeps what it had`() async throws {
        let registry = TLSContexts()
        let rules = TLSContext.Rules(
            side: .client(
                trust: .file(authority.path("ca.pem")), certificate: authority.path("client.pem"),
                key: authority.path("client.key")), crl: nil, onlyTLS13: true)
        let link = try TLSContext("link", rules, ["sluice/1"], registry)
        let redis = try TLSContext("redis", rules, ["sluice/1"], registry)
        var gone: TLSContext? = try TLSContext("gone", rules, ["sluice/1"], registry)
        #expect(gone != nil && registry.living.count == 3)
        gone = nil
        let before = registry.lifetimes
        try authority.issue("client", names: "URI:spiffe://sluice/node/8", days: 9)
        let outcomes = registry.reload()
        #expect(outcomes == [TLSReload(role: "link", failure: nil), TLSReload(role: "redis", failure: nil)])
        #expect(registry.lifetimes.count == 3 && registry.lifetimes != before)
        // The new one is what peers see.
        nonisolated(unsafe) var seen: [PeerIdentity] = []
        let listener = try ConnectionTests().echo(lane, tls: server()) { seen.append($0.peer) }
        let answer = await ConnectionTests().exchange(lane, listener.address, tls: link, payload: [1])
        #expect(try answer.get() == [1])
        #expect(seen.map(\.uri) == ["spiffe://sluice/node/8"])

        try Data("broken".utf8).write(to: URL(fileURLWithPath: authority.path("client.pem")))
        let kept = registry.lifetimes
        #expect(registry.reload().allSatisfy { $0.failure?.contains("client.pem") == true })
        #expect(registry.lifetimes == kept)
        #expect(try await talk(server(), redis) == "success([7])")
        let lines = TLSReload.lines(registry.reload())
        #expect(lines.contains { $0.0 == .error && $0.2.hasPrefix("link keeps what it had: certificate") })
        lane.stop()
    }

    @Test func `an operator is warned two weeks before a certificate ends`() {
        let day: Int64 = 86_400
        let end = 100 * day
        let own = CertificateLifetime("node", "node.pem", end)
        #expect(own.warning(at: end - 14 * day) == nil)
        #expect(own.warning(at: end - 14 * day + 1) == "the certificate of node, node.pem, expires in 13 days")
        #expect(own.warning(at: end - 7_200) == "the certificate of node, node.pem, expires in 2 hours")
        #expect(own.warning(at: end + 120) == "the certificate of node, node.pem, expired 2 minutes ago")
        let list = CertificateLifetime("crl", "crl.pem", end, notice: CertificateLifetime.listNotice)
        #expect(list.warning(at: end - day) == nil)
        #expect(list.warning(at: end - 60) == "the list of revoked certificates, crl.pem, expires in 1 minutes")
        #expect(CertificateLifetime("crl", "crl.pem", -1).warning(at: .max) == nil)
    }

    @Test func `expiry stands on the page of metrics, and keys that others can read in the warnings`() throws {
        try authority.issue("server", names: "DNS:localhost", days: 3)
        let registry = TLSContexts()
        let rules = TLSContext.Rules(
            side: .server(
                certificate: authority.path("server.pem"), key: authority.path("server.key"),
                clientCA: authority.path("ca.pem"), clients: .required), crl: nil, onlyTLS13: true)
        let context = try TLSContext("node", rules, ["sluice/1"], registry)
        var page = MetricsPage()
        registry.write(onto: &page)
        let text = String(decoding: page.finish().array(), as: UTF8.self)
        let now = Host.wallClockMicroseconds() / 1_000_000
        let sample = text.split(separator: "\n").first { $0.contains(#"role="node""#) }
        let end = sample.flatMap { $0.split(separator: " ").last }.flatMap { Int64($0) } ?? 0
        #expect(abs(end - now - 3 * 86_400) < 120, "\(text)")
        #expect(text.contains(#"role="ca""#))
        #expect(registry.warnings(at: now).contains { $0.contains("node") && $0.contains("expires in") })
        #expect(!registry.warnings(at: now).contains { $0.contains("private key") })

        chmod(authority.path("server.key"), 0o644)
        _ = registry.reload()
        #expect(registry.warnings(at: now).contains { $0.contains("mode 644") && $0.contains("server.key") })
        withExtendedLifetime(context) {}
        lane.stop()
    }

    @Test func `a revoked client is refused, others are not`() async throws {
        try authority.revoke([])
        #expect(try await talk(server(crl: "crl.pem"), client()) == "success([7])")
        try authority.revoke(["client"])
        #expect(try await talk(server(), client()) == "success([7])")
        let refused = try await talk(server(crl: "crl.pem"), client())
        #expect(refused.contains("revoked"), "\(refused)")
        try authority.issue("client", names: "URI:spiffe://sluice/node/7")
        #expect(try await talk(server(crl: "crl.pem"), client()) == "success([7])")
        lane.stop()
    }

    @Test func `a revoked server is refused`() async throws {
        try authority.revoke(["server"])
        let refused = try await talk(server(), client(crl: "crl.pem"))
        #expect(refused.contains("certificate revoked"), "\(refused)")
        lane.stop()
    }

    @Test func `a running connection learns at a reload that its peer was revoked`() async throws {
        try authority.revoke([])
        let context = try server(crl: "crl.pem")
        nonisolated(unsafe) var accepted: [Channel<EchoMachine>] = []
        let listener = try ConnectionTests().echo(lane, tls: context) { accepted.append($0) }
        let client = try client()
        let open: OnLane<Channel<CollectMachine>?> = await on(lane) { done in
            Connector.connect(
                on: lane, to: .host("127.0.0.1", port: listener.address.port), tls: client, serverName: "localhost",
                machine: { _ in CollectMachine() }
            ) { (result: Result<Channel<CollectMachine>, ConnectFailure>) in
                done(OnLane(try? result.get()))
            }
        }
        #expect(open.value != nil)
        // In TLS 1.3 a client is done before its server is.
        for _ in 0..<500 {
            let isThere: Bool = await on(lane) { $0(!accepted.isEmpty) }
            if isThere { break }
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(await on(lane) { $0(accepted.first?.transport.peerRefusal) } == nil)
        try authority.revoke(["client"])
        try context.reload()
        let refusal: TLSFailure? = await on(lane) { $0(accepted.first?.transport.peerRefusal) }
        #expect(refusal?.description.contains("certificate revoked") == true)
        lane.stop()
    }

    @Test func `a list of another authority or a damaged one is refused, and the old one stays`() async throws {
        try authority.revoke(["client"])
        let context = try server(crl: "crl.pem")
        func reload() -> String {
            do throws(TLSFailure) { try context.reload() } catch { return error.description }
            return ""
        }
        try authority.revoke([], by: "other")
        #expect(reload().contains("CRL"))
        try Data("no list\n".utf8).write(to: URL(fileURLWithPath: authority.path("crl.pem")))
        #expect(reload().contains("list of revoked certificates"))
        try FileManager.default.removeItem(atPath: authority.path("crl.pem"))
        #expect(reload().contains("crl.pem"))
        let refused = try await talk(context, client())
        #expect(refused.contains("revoked"), "\(refused)")
        lane.stop()
    }
}
