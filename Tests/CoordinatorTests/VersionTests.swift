// Versions of the configuration: kept with who and why, compared, brought back, also by the other coordinator and after a restart.
import Core
import Foundation
import Testing

@Suite(.serialized) struct VersionTests {
    private func tool(_ cluster: TestCoordinator, _ words: String...) throws -> (status: Int32, output: String) {
        try cluster.run(
            "/usr/bin/env", ["USER=ann", TestCoordinator.program("sluice")] + words + ["--config", "cluster.conf"])
    }

    private func write(_ cluster: TestCoordinator, routes count: Int) throws {
        try cluster.write("cluster.conf", cluster.configuration(routes: count))
    }

    private func routes(_ cluster: TestCoordinator, of name: String = "a") -> Int? {
        cluster.http("GET", "/v1/status", of: name).json["routes"]?.elements?.count
    }

    @Test func `each applied configuration is a version, with who and why; the same again is none`() throws {
        let cluster = try TestCoordinator()
        try cluster.wait("the first version") {
            cluster.http("GET", "/v1/config").json["versions"]?.elements?.count == 1
        }
        try write(cluster, routes: 6)
        let applied = try tool(cluster, "apply", "--reason", "two more routes")
        #expect(applied.status == 0 && applied.output.hasSuffix(", version 2\n"), "\(applied)")
        #expect(try tool(cluster, "apply").output.hasSuffix(", version 2\n"))
        let history = try tool(cluster, "config", "history")
        #expect(history.output.contains("two more routes") && history.output.contains("ann"), "\(history)")
        #expect(history.output.contains("coordinator a"), "the first one was there at the start")
        let diff = try tool(cluster, "config", "diff", "1", "2").output
        #expect(diff.hasPrefix("--- version 1\n+++ version 2\n"), "\(diff)")
        #expect(diff.contains("[route chat-6]") && !diff.contains("chat-4]"))
        #expect(try tool(cluster, "config", "diff").output == "version 2 and cluster.conf are the same\n")
        try write(cluster, routes: 7)
        #expect(try tool(cluster, "config", "diff").output.contains("+++ cluster.conf"))
        #expect(try tool(cluster, "config", "diff", "1").output.contains("+++ version 2"))
        #expect(cluster.http("POST", "/v1/apply", body: #"{"reason":"a\nb"}"#).status == 400)
        #expect(cluster.http("GET", "/v1/config/1,2,3").status == 404)
        #expect(cluster.http("GET", "/v1/config/9").status == 404)
        #expect(cluster.http("GET", "/v1/config", secret: nil).status == 401)
        #expect(cluster.http("POST", "/v1/config/1/rollback", secret: nil).status == 401)
    }

    @Test func `a version that is brought back stays, also over a restart, until a file is applied`() throws {
        let cluster = try TestCoordinator()
        let node = try ListeningNode(cluster)
        defer { node.stop() }
        try cluster.wait("a first state") { !node.news.isEmpty }
        try write(cluster, routes: 6)
        #expect(try tool(cluster, "apply").status == 0)
        let back = try tool(cluster, "config", "rollback", "1", "--reason", "too many")
        #expect(back.status == 0 && back.output.hasSuffix(", version 3\n"), "\(back)")
        try cluster.wait("the routes of before") { node.news.last?.removed == ["1 chat-5", "1 chat-6"] }
        #expect(try tool(cluster, "config", "history").output.contains("rollback to 1: too many"))
        #expect(cluster.http("GET", "/readyz", secret: nil).text.contains("version 1 was brought back"))
        cluster.signal("coordinator", SIGKILL)
        try cluster.start()
        #expect(routes(cluster) == 4)
        #expect(cluster.http("GET", "/readyz", secret: nil).text.contains("version 3 is in use"))
        #expect(try tool(cluster, "apply").output.hasSuffix(", version 4\n"))
        #expect(routes(cluster) == 6)
        #expect(try tool(cluster, "config", "rollback", "77").status == 1)
        #expect(try tool(cluster, "config", "rollback", "zero").status == 64)
        try write(cluster, routes: 1)
        let refused = cluster.http("POST", "/v1/apply")
        #expect(refused.status == 422 && cluster.http("GET", "/v1/config").json["versions"]?.elements?.count == 4)
    }

    @Test func `the other coordinator goes on with the version that was brought back, and knows all of them`() throws {
        let pair = try TestCoordinator(pair: true)
        let node = try ListeningNode(pair)
        defer { node.stop() }
        try pair.wait("a first state") { !node.news.isEmpty }
        try write(pair, routes: 6)
        try pair.wait("six routes") { (try? tool(pair, "apply", "--reason", "more").status) == 0 }
        #expect(try tool(pair, "config", "rollback", "1").status == 0)
        pair.signal("coordinator", SIGKILL)
        try pair.wait("b leads", seconds: 30) { pair.leader() == "b" }
        #expect(routes(pair, of: "b") == 4)
        #expect(pair.http("GET", "/readyz", secret: nil, of: "b").text.contains("differs from"))
        #expect(pair.http("GET", "/v1/config", of: "b").json["versions"]?.elements?.count == 3)
        // The tool finds b, though a stands first in the file.
        let again = try tool(pair, "config", "rollback", "2", "--reason", "after all")
        #expect(again.status == 0 && again.output.hasSuffix(", version 4\n"), "\(again)")
        #expect(routes(pair, of: "b") == 6)
    }
}
