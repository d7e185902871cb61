// A coordinator that looks after real providers: what it finds, how soon, what nodes hear of it and operators see.
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite(.serialized) struct ProviderHealthTests {
    private static func provider(_ name: String, _ port: UInt16, _ lines: String) -> String {
        """
        [provider \(name)]
        kind = openai
        base-url = http://127.0.0.1:\(port)/v1
        allow-plain-http = yes
        \(lines)

        """
    }

    /// A coordinator of these further sections, and what it says of a target.
    private struct Scene {
        let coordinator: TestCoordinator
        let port = HeldPort.next()

        init(pair: Bool = false) throws { coordinator = try TestCoordinator(pair: pair) }

        func apply(_ sections: String) throws {
            try coordinator.write("cluster.conf", coordinator.configuration(routes: 4, more: sections))
            let answer = coordinator.apply()
            guard answer.status == 200 else { throw CoordinatorFailure(description: answer.text) }
        }

        func target(_ name: String, of leader: String = "a") -> JSONValue? {
            let all = coordinator.http("GET", "/v1/status", of: leader).json["targets"]?.elements ?? []
            return all.first { $0["target"]?.text == name }
        }

        func wait(
            for health: String, of name: String, why: String = "", seconds: Double = 20, leader: String = "a"
        ) throws {
            try coordinator.wait("\(name) is \(health) \(why)", seconds: seconds) {
                let found = target(name, of: leader)
                return found?["health"]?.text == health && (why.isEmpty || found?["why"]?.text?.contains(why) == true)
            }
        }

        var warnings: String { coordinator.http("GET", "/readyz", secret: nil).text }
    }

    /// The lines of a route's targets, as a node heard them, in their order.
    private static func weights(_ node: ListeningNode, _ route: String) -> [String] {
        let bodies = node.news.compactMap { $0.bodies["1 \(route)"] }
        var different: [String] = []
        for body in bodies {
            let lines = body.split(separator: "\n").filter { $0.hasPrefix("target") }
            let weights = lines.map { String($0.split(separator: " ").last ?? "") }.joined(separator: ":")
            if different.last != weights { different.append(weights) }
        }
        return different
    }

    @Test func `a provider that dies is known within its interval, at once to nodes, and comes back by degrees`() throws
    {
        let scene = try Scene()
        let coordinator = scene.coordinator
        let other = HeldPort.next()
        try coordinator.startSimulator("first", port: scene.port)
        try coordinator.startSimulator("second", port: other)
        try scene.apply(
            Self.provider("first", scene.port, "probe = models 2s")
                + Self.provider("second", other, "probe = models 2s")
                + "[route both]\ntarget = first/m weight 50\ntarget = second/m weight 50\n")
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        for name in ["first/m", "second/m"] { try scene.wait(for: "healthy", of: name) }
        // What only coordinators need does not travel: nodes of the version before would not know it.
        try coordinator.wait("a state") { node.news.contains { $0.bodies["0 first"] != nil } }
        #expect(node.news.allSatisfy { $0.bodies["0 first"]?.contains("probe") != true })
        let before = node.news.count
        coordinator.signal("first", SIGKILL)
        let killed = Host.monotonicNow()
        try coordinator.wait("the news") { Self.weights(node, "both").last == "50:5000" }
        let news = try #require(node.news[before...].first { $0.bodies["1 both"]?.contains("5000") == true })
        let detection = (news.at - killed).milliseconds
        // The interval, and here no deadline: nobody listens. A busy machine may be late by some of its own time.
        print("health.detected_ms \(detection) 7000 \(detection <= 7_000 ? "ok" : "SHORT")")
        #expect(detection <= 7_000)
        #expect(!news.isWhole, "at once, not with the next whole state")
        #expect(scene.target("first/m")?["why"]?.text?.contains("connect") == true)
        #expect(scene.warnings.contains("no target of") == false, "the second one works")
        #expect(
            coordinator.http("GET", "/metrics").text.contains(
                #"sluice_probes_total{provider="first",result="failing"}"#))
        try coordinator.startSimulator("first", port: scene.port)
        let back = Host.monotonicNow()
        try coordinator.wait("all of its weight", seconds: 60) { Self.weights(node, "both").last == "50:50" }
        let recovery = (Host.monotonicNow() - back).milliseconds
        print("health.recovered_ms \(recovery) 25000 \(recovery <= 25_000 ? "ok" : "SHORT")")
        let steps = Self.weights(node, "both")
        #expect(Array(steps.suffix(5)) == ["50:5000", "500:5000", "1250:5000", "2500:5000", "50:50"], "\(steps)")
        let log = coordinator.log()
        #expect(log.contains("first/m: failing, was healthy: probe: connect"))
        #expect(log.contains("first/m: healthy, was failing"))
    }

    @Test func `a wrong API key is found, and a right one in its place; without any the provider stays unknown`() throws
    {
        let scene = try Scene()
        let coordinator = scene.coordinator
        try coordinator.startSimulator("keyed", port: scene.port, ["--api-key", "sk-right"])
        let sections =
            Self.provider("keyed", scene.port, "probe = models 1s\napi-key = file:state/provider.key")
            + "[route keyed]\ntarget = keyed/m\n"
        try scene.apply(sections)
        try coordinator.wait("the warning") { scene.warnings.contains("provider keyed is not probed") }
        #expect(scene.target("keyed/m")?["health"]?.text == "unknown")
        #expect(coordinator.simulator(scene.port)["refused"]?.integer == 0, "nobody asks without the key")
        try coordinator.write("state/provider.key", "sk-wrong\n")
        try scene.wait(for: "failing", of: "keyed/m", why: "authentication, status 401", seconds: 30)
        try coordinator.wait("the route's warning") { scene.warnings.contains("no target of route keyed works") }
        #expect(!scene.warnings.contains("not probed"))
        let complaints = coordinator.log().components(separatedBy: "provider_not_probed").count - 1
        #expect(complaints == 1, "said once, not at each try")
        try coordinator.write("state/provider.key", "sk-right\n")
        try scene.wait(for: "healthy", of: "keyed/m")
        try coordinator.wait("no warning") { !scene.warnings.contains("no target of") }
        #expect(!coordinator.log().contains("sk-"))
    }

    @Test func `a provider that hangs fails after the probe's own deadline, one probe at a time`() throws {
        let scene = try Scene()
        let coordinator = scene.coordinator
        try coordinator.startSimulator("slow", port: scene.port)
        try scene.apply(Self.provider("slow", scene.port, "probe = models 1s") + "[route slow]\ntarget = slow/m\n")
        try scene.wait(for: "healthy", of: "slow/m")
        coordinator.signal("slow", SIGSTOP)
        let stopped = Host.monotonicNow()
        try scene.wait(for: "failing", of: "slow/m", why: "no answer within 5s")
        let detection = (Host.monotonicNow() - stopped).milliseconds
        print("health.hang_detected_ms \(detection) 8000 \(detection <= 8_000 ? "ok" : "SHORT")")
        let connections = try coordinator.run(
            "/bin/bash", ["-c", "ss -Htn 'dport = :\(scene.port)' | grep -c ESTAB || true"])
        #expect((Int(connections.output.trimmingCharacters(in: .whitespacesAndNewlines)) ?? 9) <= 1)
        coordinator.signal("slow", SIGCONT)
        try scene.wait(for: "healthy", of: "slow/m")
    }

    @Test func `a chat probe asks for one token, and tells of its own model what it knows of it alone`() throws {
        let scene = try Scene()
        let coordinator = scene.coordinator
        try coordinator.startSimulator("chats", port: scene.port, ["--model", "gpt-6-luna"])
        let routes = "[route luna]\ntarget = chats/gpt-6-luna\n[route gone]\ntarget = chats/gone\n"
        try scene.apply(Self.provider("chats", scene.port, "probe = chat gpt-6-luna 1s") + routes)
        for name in ["chats/gpt-6-luna", "chats/gone"] { try scene.wait(for: "healthy", of: name) }
        let stats = coordinator.simulator(scene.port)
        let (chats, tokens) = (stats["completed"]?.integer ?? 0, stats["output_tokens"]?.integer ?? -1)
        #expect(tokens > 0 && tokens <= chats, "one token each: \(tokens) of \(chats)")
        func fault(_ text: String) throws {
            try coordinator.run("/usr/bin/curl", ["-s", "-d", text, "http://127.0.0.1:\(scene.port)/sim/faults"])
        }
        try fault("error=503")
        try scene.wait(for: "failing", of: "chats/gone", why: "overloaded, status 503")
        // Too much to do at present is no failure.
        try fault("error=429")
        try scene.wait(for: "healthy", of: "chats/gpt-6-luna")
        try fault("error=content-type")
        try scene.wait(for: "failing", of: "chats/gpt-6-luna", why: "not application/json")
        try fault("error=none")
        try scene.wait(for: "healthy", of: "chats/gpt-6-luna")
        try scene.apply(Self.provider("chats", scene.port, "probe = chat gone 1s") + routes)
        try scene.wait(for: "failing", of: "chats/gone", why: "not_found, status 404")
        #expect(scene.target("chats/gpt-6-luna")?["health"]?.text == "healthy")
    }

    @Test func `the budget holds, also when the provider's settings are changed and changed again`() throws {
        let scene = try Scene()
        let coordinator = scene.coordinator
        let other = HeldPort.next()
        try coordinator.startSimulator("scarce", port: scene.port)
        try coordinator.startSimulator("clock", port: other)
        func asked(_ port: UInt16) -> Int64 { coordinator.simulator(port)["completed"]?.integer ?? -1 }
        for round in 1...4 {
            try scene.apply(
                Self.provider(
                    "scarce", scene.port,
                    "probe = models 1h\nprobe-budget = 2 / hour\nconnect-timeout = \(round)s")
                    + Self.provider("clock", other, "probe = models 1s\nconnect-timeout = \(round)s")
                    + "[route scarce]\ntarget = scarce/m\n[route clock]\ntarget = clock/m\n")
            // The first probe after a change follows within 2 s: the other provider has three by then.
            let before = asked(other)
            try coordinator.wait("probes of the other provider") { asked(other) >= before + 4 }
            #expect(asked(scene.port) == min(round, 2))
        }
    }

    @Test func `what nodes report counts where nobody probes`() throws {
        let scene = try Scene()
        let coordinator = scene.coordinator
        try scene.apply(
            Self.provider("quiet", scene.port, "")
                + "[route both]\ntarget = quiet/m weight 1\ntarget = sim/m weight 1\n")
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a state") { !node.news.isEmpty }
        var report = Report(node: 1)
        report.targets = [
            // As nodes of the version before say it: a provider alone, and calls under way.
            Report.Target(name: "quiet", inFlight: 3),
            Report.Target(name: "quiet/m", successes: 5, failures: 6, firstTokenMedianMicroseconds: 40_000),
            Report.Target(name: "sim/m", successes: 9, failures: 0, throttled: 2),
            Report.Target(name: "nobody/m", failures: 100),
        ]
        node.report(report)
        try scene.wait(for: "failing", of: "quiet/m", why: "6 of 11 requests failed")
        try scene.wait(for: "healthy", of: "sim/m")
        try coordinator.wait("the weights") { Self.weights(node, "both").last == "1:100" }
        let quiet = scene.target("quiet/m")
        #expect(quiet?["error_per_mille"]?.integer == 545 && quiet?["first_token_us"]?.integer == 40_000)
        #expect(quiet?["last_probe"] == .null)
        #expect(scene.target("sim/m")?["throttled_last_minute"]?.integer == 2)
        #expect(scene.target("nobody/m") == nil)
        let page = coordinator.http("GET", "/metrics").text
        let labels = { (name: String) in #"{gen_ai_provider_name="\#(name)",gen_ai_request_model="m"}"# }
        #expect(page.contains("sluice_provider_healthy\(labels("quiet")) 0"), "\(page)")
        #expect(page.contains("sluice_provider_healthy\(labels("sim")) 1"))
        let table = try coordinator.run(
            TestCoordinator.program("sluice"), ["status", "--config", coordinator.path("cluster.conf")])
        #expect(table.output.contains("PROVIDER"))
        #expect(table.output.contains { $0 == "\n" } && table.output.contains("FAILING"), "\(table.output)")
    }

    @Test func `the standby does not probe; when it leads it begins with the configured weights, and does`() throws {
        let scene = try Scene(pair: true)
        let coordinator = scene.coordinator
        let dead = HeldPort.next()
        try coordinator.startSimulator("live", port: scene.port)
        try scene.apply(
            Self.provider("live", scene.port, "probe = models 1s\nprobe-budget = 9000 / hour")
                + Self.provider("dead", dead, "probe = models 1s")
                + "[route both]\ntarget = live/m weight 3\ntarget = dead/m weight 7\n")
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try scene.wait(for: "failing", of: "dead/m")
        try coordinator.wait("the weights") { Self.weights(node, "both").last == "300:7" }
        #expect(!coordinator.http("GET", "/metrics", of: "b").text.contains("sluice_probes_total{"))
        coordinator.signal("coordinator", SIGTERM)
        try scene.wait(for: "failing", of: "dead/m", seconds: 30, leader: "b")
        try coordinator.wait("its weights") { Self.weights(node, "both").last == "300:7" }
        #expect(Self.weights(node, "both").contains("3:7"), "what was handed over is the configuration")
        #expect(coordinator.http("GET", "/metrics", of: "b").text.contains("sluice_probes_total{"))
        #expect(!coordinator.http("GET", "/readyz", secret: nil, of: "b").text.contains("differs from"))
    }
}
