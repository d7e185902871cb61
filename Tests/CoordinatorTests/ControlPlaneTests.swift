// What peers and disks may do to the control plane: impossible numbers, damaged files, a full disk, many keys.
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite(.serialized) struct ControlPlaneTests {
    /// Many keys and long looks, for `Scripts/prove control-plane`; else fewer, so that all tests together stay quick.
    private static let isProof = ProcessInfo.processInfo.environment["SLUICE_PROVE_CONTROL_PLANE"] != nil

    /// One line of `Scripts/prove control-plane`; a value above its bound is short.
    private func tell(_ name: String, _ value: Double, atMost bound: Double) {
        let numbers = [value, bound].map { $0.rounded() == $0 ? "\(Int($0))" : String(format: "%.2f", $0) }
        print("control-plane.\(name) \(numbers[0]) \(numbers[1]) \(value <= bound ? "ok" : "SHORT")")
        #expect(value <= bound, "\(name)")
    }

    @Test func `an epoch that no clock allows moves nothing, is told, and the next leader leads all nodes`() throws {
        let pair = try TestCoordinator(pair: true)
        let honest = try ListeningNode(pair, number: 1)
        let liar = try ListeningNode(pair, number: 2, highestEpoch: 1 << 52)
        let worse = try ListeningNode(pair, number: 3, highestEpoch: .max)
        defer { for node in [honest, liar, worse] { node.stop() } }
        let nodes = [honest, liar, worse]
        try pair.wait("a state for all") { nodes.allSatisfy { !$0.news.isEmpty } }
        try pair.wait("the refusals") { pair.log().components(separatedBy: "epoch_refused").count >= 3 }
        let epoch = try #require(honest.news.first?.epoch)
        let today = UInt64(Date().timeIntervalSince1970 * 1_000)
        #expect(nodes.allSatisfy { $0.news.allSatisfy { $0.epoch == epoch } } && epoch <= today + 60_000)
        let ready = pair.http("GET", "/readyz", secret: nil).text
        #expect(ready.contains("node 2 says to have seen epoch 4503599627370496"), "\(ready)")
        #expect(pair.http("GET", "/v1/status").text.contains("node 3 says to have seen epoch"))
        #expect(
            pair.http("GET", "/metrics", secret: nil).text.split(separator: "\n")
                .contains { $0.hasPrefix("sluice_epochs_refused_total ") && $0 != "sluice_epochs_refused_total 0" })
        pair.signal("coordinator", SIGKILL)
        try pair.wait("the next leader for all nodes", seconds: 40) {
            nodes.allSatisfy { ($0.news.last?.epoch ?? 0) > epoch }
        }
        let last = nodes.compactMap { $0.news.last?.epoch }
        tell("nodes_without_next_leader", Double(nodes.count { ($0.news.last?.epoch ?? 0) <= epoch }), atMost: 0)
        let beyond = Double(last.max() ?? 0) - Date().timeIntervalSince1970 * 1_000
        tell("epoch_beyond_clock_ms", max(0, beyond.rounded()), atMost: 60_000)
        #expect(pair.leader() == "b")
    }

    @Test func `an impossible epoch in Redis gives way to the next term`() throws {
        let coordinator = try TestCoordinator()
        coordinator.signal("coordinator", SIGTERM)
        let redis = ["-s", coordinator.path("state/redis.sock")]
        _ = try coordinator.run(
            "/usr/bin/redis-cli", redis + ["hset", "coord:{lead}:lease", "e", "4503599627370495"])
        try coordinator.start()
        let node = try ListeningNode(coordinator, highestEpoch: 4_503_599_627_370_495)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        #expect((node.news.first?.epoch ?? .max) < UInt64(Date().timeIntervalSince1970 * 1_000) + 60_000)
    }

    @Test func `a report of 2^64 - 1 ends its connection alone`() throws {
        let coordinator = try TestCoordinator()
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        // What the library sends is bounded: the largest that travels is added up without harm.
        var report = Report(
            node: 1, load: .max, number: .max, epoch: .max, sequence: .max, connections: .max, streams: .max,
            requests: .max, errors: .max, residentBytes: .max)
        report.targets = (0..<Report.maximumTargets).map { _ in
            Report.Target(
                name: "sim/gpt-6-luna", inFlight: .max, successes: .max, failures: .max, throttled: .max,
                firstTokenMedianMicroseconds: .max)
        }
        for number in 0..<50 {
            report.number = UInt32(number)
            node.report(report)
        }
        try coordinator.wait("the reports") {
            coordinator.http("GET", "/v1/status").json["nodes"]?.elements?.first?["requests"]?.integer == 1 << 40
        }
        tell("coordinators_ended_by_a_report", coordinator.leader() == "a" ? 0 : 1, atMost: 0)
    }

    @Test func `a revocation that cannot be saved is told, tried again, and on disk when there is room`() throws {
        let coordinator = try TestCoordinator()
        let body = #"{"org":"acme","team":"search","models":["chat-1"]}"#
        try coordinator.wait("Redis") { coordinator.http("GET", "/v1/status").json["redis"]?.bool == true }
        let made = coordinator.http("POST", "/v1/keys", body: body)
        let id = try #require(made.json["id"]?.text)
        let file = coordinator.path("state/coordinator-a.keys")
        try coordinator.wait("the key on disk") {
            (try? String(contentsOfFile: file, encoding: .utf8))?.contains(id) == true
        }
        // No room: the device is full, whoever writes.
        let fresh = file + ".new"
        try coordinator.wait("the room for the next") { FileManager.default.fileExists(atPath: fresh) }
        try FileManager.default.removeItem(atPath: fresh)
        try FileManager.default.createSymbolicLink(atPath: fresh, withDestinationPath: "/dev/full")
        let revoked = coordinator.http("POST", "/v1/keys/\(id)/revoke")
        #expect(revoked.status == 200 && revoked.json["saved"]?.bool == false, "\(revoked.text)")
        #expect(revoked.json["warning"]?.text?.contains("is not saved") == true, "\(revoked.text)")
        #expect(coordinator.http("GET", "/readyz", secret: nil).text.contains("is not saved"))
        #expect(coordinator.http("GET", "/metrics", secret: nil).text.contains("sluice_state_files_unsaved 1"))
        try coordinator.wait("another try", seconds: 30) {
            let page = coordinator.http("GET", "/metrics", secret: nil).text
            let line = page.split(separator: "\n").first { $0.hasPrefix("sluice_state_write_failures_total ") }
            return (line?.split(separator: " ").last.flatMap { Int($0) } ?? 0) >= 2
        }
        #expect(coordinator.log().components(separatedBy: "state_not_saved").count == 2, "told once")
        try FileManager.default.removeItem(atPath: fresh)
        let began = Host.monotonicNow()
        try coordinator.wait("the revocation on disk") {
            (try? String(contentsOfFile: file, encoding: .utf8))?.contains("revoked = yes") == true
        }
        tell("revocation_on_disk_after_ms", Double((Host.monotonicNow() - began).milliseconds), atMost: 7_000)
        try coordinator.wait("all is well") {
            !coordinator.http("GET", "/readyz", secret: nil).text.contains("is not saved")
        }
    }

    @Test func `a node that does not know heartbeats gets the whole state`() throws {
        let coordinator = try TestCoordinator()
        let node = try ListeningNode(coordinator, number: 4, level: 0)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        try coordinator.wait("the whole state again") { node.news.count { $0.isWhole } >= 2 }
        #expect(node.heartbeats.isEmpty, "it would ignore them")
    }

    @Test func `a node that knows less holds a configuration back, and is named; then it is refused`() throws {
        let coordinator = try TestCoordinator()
        let old = try ListeningNode(coordinator, number: 4, level: 0)
        defer { old.stop() }
        let young = try ListeningNode(coordinator, number: 5)
        defer { young.stop() }
        try coordinator.wait("a first state") { !old.news.isEmpty && !young.news.isEmpty }
        let text = coordinator.configuration(routes: 4)
        let listed = text.replacing("kind = openai\n", with: "kind = openai\npassthrough = top_k\n")
        #expect(listed != text)
        try coordinator.write("cluster.conf", listed)
        let refused = coordinator.apply()
        #expect(refused.status == 422 && refused.text.contains("node-4"), "\(refused.text)")
        #expect(refused.text.contains("'passthrough' of provider sim") && !refused.text.contains("node-5"))
        old.stop()
        try coordinator.wait("its end") { coordinator.log().contains("node_left") }
        #expect(coordinator.apply().status == 200)
        try coordinator.wait("the change") { young.bodies["0 sim"]?.contains("passthrough = top_k") == true }
        let late = try ListeningNode(coordinator, number: 4, level: 0)
        defer { late.stop() }
        try coordinator.wait("the refusal") { late.lastText.contains("too old for the configuration") }
        #expect(late.news.isEmpty && coordinator.log().contains("is too old: it reads records up to level 0"))
    }

    @Test func `many keys cost an idle leader next to nothing`() throws {
        let coordinator = try TestCoordinator()
        coordinator.signal("coordinator", SIGTERM)
        let count = Self.isProof ? 20_000 : 1_000
        try fill(coordinator, keys: count)
        try coordinator.start()
        let nodes = try (1...8).map { try ListeningNode(coordinator, number: $0) }
        defer { for node in nodes { node.stop() } }
        try coordinator.wait("all keys at all nodes", seconds: 120) {
            nodes.allSatisfy { $0.news.contains { $0.isWhole && $0.names.count > count } }
        }
        let wholes = nodes.map { $0.news.count { $0.isWhole } }
        let pid = try #require(coordinator.pid())
        try coordinator.wait("the leader at rest", seconds: 120) {
            let before = ticks(pid)
            Thread.sleep(forTimeInterval: 0.5)
            return ticks(pid) - before <= 1
        }
        let began = (cpu: ticks(pid), at: Host.monotonicNow())
        for second in 0..<(Self.isProof ? 20 : 6) {
            for node in nodes { node.report(Report(node: node.number, number: UInt32(second))) }
            Thread.sleep(forTimeInterval: 1)
        }
        let used = Double(ticks(pid) - began.cpu) * 10
        let passed = Double((Host.monotonicNow() - began.at).milliseconds)
        if Self.isProof { tell("idle_leader_percent_of_a_core", used / passed * 100, atMost: 1) }
        #expect(
            zip(nodes, wholes).allSatisfy { node, count in node.news.count { $0.isWhole } == count },
            "heartbeats only")
    }

    /// Keys straight into Redis, as a coordinator writes them.
    private func fill(_ coordinator: TestCoordinator, keys count: Int) throws {
        let text = (0..<count).map { number in
            let id = "k" + String(number + 100_000)
            let hash = String(repeating: "0f", count: 32)
            return #"HSET meta:{keys}:keys \#(id) "hash = \#(hash)\norg = acme\nteam = search\nmodel = *""#
        }.joined(separator: "\n")
        try coordinator.write("keys.redis", text + "\nDEL meta:{keys}:version\n")
        _ = try coordinator.run(
            "/bin/sh", ["-c", "/usr/bin/redis-cli -s state/redis.sock < keys.redis > /dev/null"])
    }

    /// Processor time of a process in hundredths of a second.
    private func ticks(_ pid: Int32) -> Int {
        let text = (try? String(contentsOfFile: "/proc/\(pid)/stat", encoding: .utf8)) ?? ""
        let fields = text.split(separator: ")").last?.split(separator: " ") ?? []
        return fields.count > 12 ? (Int(fields[11]) ?? 0) + (Int(fields[12]) ?? 0) : 0
    }
}
