// Canaries at real coordinators, with a node that reports what the test wants: steps, rollback, takeover, orders and mistakes.
import Core
import Foundation
import Testing
import Wire

@Suite(.serialized) struct CanaryTests {
    private static let second = """
        [provider other]
        kind = openai
        base-url = http://127.0.0.1:9/v1
        allow-plain-http = yes
        """

    private static func cluster(pair: Bool = false) throws -> TestCoordinator {
        let cluster = try TestCoordinator(pair: pair)
        try cluster.write("cluster.conf", cluster.configuration(routes: 4, more: second))
        let leader = try #require(cluster.leader())
        #expect(cluster.http("POST", "/v1/apply", of: leader).status == 200)
        return cluster
    }

    private func tool(_ cluster: TestCoordinator, _ words: String...) throws -> (status: Int32, output: String) {
        try cluster.run(
            "/usr/bin/env", ["USER=ann", TestCoordinator.program("sluice")] + words + ["--config", "cluster.conf"])
    }

    private func canary(_ cluster: TestCoordinator, of name: String = "a") -> JSONValue? {
        cluster.http("GET", "/v1/canaries", of: name).json["canaries"]?.elements?.last
    }

    /// The number of the count that nodes hear of.
    private func run(_ node: ListeningNode) -> UInt32? {
        node.bodies["9 chat-1"]?.split(separator: "\n").compactMap { line in
            line.hasPrefix("run = ") ? UInt32(line.dropFirst(6)) : nil
        }.first
    }

    private func report(_ node: ListeningNode, _ number: UInt32, run: UInt32, good: UInt64, bad: UInt64) {
        var report = Report(node: node.number, number: number)
        var canary = ReportedCanary(route: "chat-1", run: run)
        (canary.baseline.attempts, canary.baseline.failures) = (50 * (good + bad), good / 10)
        (canary.canary.attempts, canary.canary.failures) = (good + bad, bad)
        report.canaries = [canary]
        node.report(report)
    }

    @Test func `a canary takes its steps by what nodes report, and what fails goes back`() throws {
        let cluster = try Self.cluster()
        let node = try ListeningNode(cluster)
        defer { node.stop() }
        let started = try tool(
            cluster, "canary", "start", "chat-1", "other/gpt-6-luna", "--steps", "1,50,100", "--hold", "1s",
            "--min-requests", "20", "--reason", "try it")
        #expect(started.status == 0 && started.output.contains("step 1 of 3: 1 %"), "\(started)")
        #expect(started.output.contains("by ann: try it"), "\(started)")
        try cluster.wait("the share on the node") {
            node.bodies["1 chat-1"]?.contains("target = other/gpt-6-luna weight 10000") == true && run(node) != nil
        }
        let number = try #require(run(node))
        // Counts of another run are of no canary that is known here.
        report(node, 1, run: number &+ 1, good: 0, bad: 500)
        report(node, 2, run: number, good: 30, bad: 0)
        try cluster.wait("the second step") { canary(cluster)?["share_bp"]?.integer == 5_000 }
        #expect(cluster.log().contains("canary_step"))
        // The sums of a report that comes twice count once.
        report(node, 3, run: number, good: 35, bad: 0)
        report(node, 4, run: number, good: 35, bad: 0)
        try cluster.wait("its counts") {
            canary(cluster)?["steps"]?.elements?.last?["canary"]?["attempts"]?.integer == 5
        }
        let metrics = cluster.http("GET", "/metrics", secret: nil).text
        #expect(metrics.contains(#"sluice_canary_share_ratio{route="chat-1"} 0.5"#), "\(metrics)")
        report(node, 5, run: number, good: 40, bad: 40)
        try cluster.wait("its end") { canary(cluster)?["state"]?.text == "rolled_back" }
        try cluster.wait("the old route on the node") {
            node.bodies["1 chat-1"]?.contains("other/") == false && node.bodies["9 chat-1"] == nil
        }
        #expect(cluster.log().contains("canary_rolled_back"))
        let status = try tool(cluster, "canary", "status", "chat-1")
        #expect(status.status == 1 && status.output.contains("ROLLED BACK: errors: 40 of"), "\(status)")
    }

    @Test func `a promoted target has all requests until cluster conf says so itself`() throws {
        let cluster = try Self.cluster()
        let node = try ListeningNode(cluster)
        defer { node.stop() }
        let begun = try tool(cluster, "migrate", "chat-1", "sim/gpt-6-luna", "other/gpt-6-luna")
        #expect(begun.status == 0 && begun.output.contains("in place of sim/gpt-6-luna"), "\(begun)")
        #expect(try tool(cluster, "canary", "promote", "chat-1", "--reason", "sure").status == 0)
        try cluster.wait("all requests") {
            node.bodies["1 chat-1"]?.contains("target = other/gpt-6-luna weight 1000000") == true
        }
        #expect(node.bodies["1 chat-1"]?.contains("target = sim/gpt-6-luna weight 100 group 2") == true)
        let line = "target = other/gpt-6-luna weight 100, and no weight for sim/gpt-6-luna"
        #expect(cluster.http("GET", "/readyz", secret: nil).text.contains(line))
        #expect(try tool(cluster, "status").output.contains(line))
        #expect(try tool(cluster, "canary", "status").output.contains(line))
        // What has nothing to do with it changes nothing, and neither does a restart.
        try cluster.write("cluster.conf", cluster.configuration(routes: 5, more: Self.second))
        #expect(cluster.http("POST", "/v1/apply").status == 200)
        cluster.signal("coordinator", SIGKILL)
        try cluster.start()
        #expect(canary(cluster)?["state"]?.text == "promoted")
        #expect(cluster.http("GET", "/readyz", secret: nil).text.contains(line))
        let text = cluster.configuration(routes: 5, more: Self.second)
            .replacing("[route chat-1]\ntarget = sim/", with: "[route chat-1]\ntarget = other/")
        try cluster.write("cluster.conf", text)
        #expect(cluster.http("POST", "/v1/apply").status == 200)
        #expect(canary(cluster)?["state"]?.text == "adopted")
        #expect(!cluster.http("GET", "/readyz", secret: nil).text.contains("promoted"))
        try cluster.wait("the route as it is written") {
            node.bodies["1 chat-1"]?.contains("target = other/gpt-6-luna weight 100") == true
        }
    }

    @Test func `an applied file without its provider ends it; orders and mistakes are told`() throws {
        let cluster = try Self.cluster()
        func start(_ body: String) -> (Int, String) {
            let answer = cluster.http("POST", "/v1/canaries", body: body)
            return (answer.status, answer.text)
        }
        for (body, wanted) in [
            (#"{"route":"chat-1"}"#, "are needed"), (#"{"route":"none","target":"other/m"}"#, "no route"),
            (#"{"route":"chat-1","target":"nobody/m"}"#, "does not exist"),
            (#"{"route":"chat-1","target":"sim/gpt-6-luna"}"#, "no other target"),
            (#"{"route":"chat-1","target":"other/m","steps":"5,1"}"#, "steps: expected rising"),
            (#"{"route":"chat-1","target":"other/m","hold":"10d"}"#, "hold:"),
            (#"{"route":"chat-1","target":"other/m","steps":5}"#, "expected a text"),
            (#"{"route":"chat-1","target":"other/m","max_cost":"+5%"}"#, "no price"),
            (#"{"route":"chat-1","target":"other/m","speed":"5"}"#, "unknown member"),
            (#"{"route":"chat-1","target":"other/m","replaced":"x/y"}"#, "has no target"),
        ] {
            let (status, text) = start(body)
            #expect(status == 422 && text.contains(wanted), "\(body): \(text)")
        }
        #expect(start("nonsense").0 == 400 && start("").0 == 400)
        #expect(cluster.http("POST", "/v1/canaries", body: "{}", secret: nil).status == 401)
        #expect(cluster.http("DELETE", "/v1/canaries").status == 404)
        #expect(cluster.http("POST", "/v1/canaries/abort", body: #"{"route":"chat-1"}"#).status == 422)
        #expect(start(#"{"route":"chat-1","target":"other/m","who":"bob","reason":"why not"}"#).0 == 200)
        #expect(start(#"{"route":"chat-1","target":"other/n"}"#).1.contains("has a canary already"))
        #expect(cluster.http("GET", "/v1/canaries").text.contains("why not"))
        #expect(start(#"{"route":"chat-2","target":"other/m"}"#).0 == 200)
        let aborted = try tool(cluster, "canary", "abort", "chat-2", "--reason", "a mistake")
        #expect(aborted.status == 0 && aborted.output.contains("aborted: taken back by ann: a mistake"), "\(aborted)")
        #expect(try tool(cluster, "canary", "abort", "chat-2").status == 1)
        #expect(start(#"{"route":"chat-2","target":"other/m"}"#).0 == 200)
        let runs = cluster.http("GET", "/v1/canaries").json["canaries"]?.elements ?? []
        #expect(runs.map { $0["state"]?.text } == ["running", "aborted", "running"], "what ended is remembered")
        try cluster.write("cluster.conf", cluster.configuration(routes: 4))
        #expect(cluster.http("POST", "/v1/apply").status == 200)
        let ended = cluster.http("GET", "/v1/canaries").text
        #expect(ended.contains(#""state":"ended","verdict":"the provider 'other' does not exist"#), "\(ended)")
        #expect(cluster.log().contains("canary_ended"))
    }

    @Test func `the next leader goes on with a canary where it was, and counts nothing twice`() throws {
        let cluster = try Self.cluster(pair: true)
        let node = try ListeningNode(cluster)
        defer { node.stop() }
        let body = #"{"route":"chat-1","target":"other/m","hold":"1s","steps":"10,50,100","min_requests":"20"}"#
        #expect(cluster.http("POST", "/v1/canaries", body: body).status == 200)
        try cluster.wait("the count on the node") { run(node) != nil }
        let before = try #require(run(node))
        report(node, 1, run: before, good: 30, bad: 0)
        try cluster.wait("the second step") { canary(cluster)?["share_bp"]?.integer == 5_000 }
        report(node, 2, run: before, good: 40, bad: 0)
        try cluster.wait("ten more in Redis", seconds: 20) {
            let kept = try? cluster.run(
                "/usr/bin/redis-cli", ["-s", cluster.path("state/redis.sock"), "--scan", "--pattern", "*coord*"])
            let keys = (kept?.output ?? "").split(separator: "\n").map(String.init)
            return keys.contains { key in
                let text = try? cluster.run(
                    "/usr/bin/redis-cli", ["-s", cluster.path("state/redis.sock"), "HGET", key, "canaries"])
                return text?.output.contains(#""canary":{"attempts":10"#) == true
            }
        }
        cluster.signal("coordinator", SIGKILL)
        try cluster.wait("the other leader", seconds: 30) { cluster.leader() == "b" }
        #expect(canary(cluster, of: "b")?["share_bp"]?.integer == 5_000)
        try cluster.wait("a new count on the node") { run(node).map { $0 != before } == true }
        let number = try #require(run(node))
        // What was counted for the old leader is in Redis; told again under the new number it would be other requests.
        report(node, 3, run: before, good: 60, bad: 0)
        report(node, 4, run: number, good: 3, bad: 0)
        try cluster.wait("three more") {
            canary(cluster, of: "b")?["steps"]?.elements?.last?["canary"]?["attempts"]?.integer == 13
        }
        #expect(node.bodies["1 chat-1"]?.contains("target = other/m weight 500000") == true)
        // The configuration that is handed over is the one of the file.
        #expect(!cluster.http("GET", "/readyz", secret: nil, of: "b").text.contains("differs from"))
    }
}
