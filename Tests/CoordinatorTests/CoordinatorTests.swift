// The coordinator as a process: what nodes hear and when, what operators may do, and what happens when something is broken.
import Core
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite(.serialized) struct CoordinatorTests {
    private let coordinator: TestCoordinator

    init() throws { coordinator = try TestCoordinator() }

    private func write(routes count: Int, more: String = "") throws {
        try coordinator.write("cluster.conf", coordinator.configuration(routes: count, more: more))
    }

    @Test func `a node hears everything when it joins, then changes at once and a heartbeat every 5 s`() throws {
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        #expect(ListeningNode.routes(node.news[0]) == 4)
        try write(routes: 5)
        let asked = Host.monotonicNow()
        #expect(coordinator.apply().status == 200)
        try coordinator.wait("the change") { node.news.contains { !$0.isWhole } }
        let change = try #require(node.news.first { !$0.isWhole })
        #expect(change.names == ["1 chat-5"])
        #expect(change.sequence == node.news[0].sequence + 1)
        #expect(change.at - asked < .seconds(2), "long before the next whole state")
        func beats() -> [ListeningNode.News] {
            node.heartbeats.filter { $0.sequence == change.sequence }
        }
        try coordinator.wait("two heartbeats", seconds: 20) { beats().count >= 2 }
        let pause = beats()[1].at - beats()[0].at
        #expect(pause > .seconds(4) && pause < .seconds(7), "\(pause)")
        #expect(node.news.count { $0.isWhole } == 1, "the whole state comes once")
    }

    @Test func `SIGHUP with mistakes tells all of them and keeps what it has`() throws {
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        try write(routes: 4, more: "[route broken]\ntarget = nobody/x\ncolour = red\n[provider p]\nkind = telepathy\n")
        coordinator.signal("coordinator", SIGHUP)
        try coordinator.wait("all mistakes in the log") {
            let log = coordinator.log()
            return log.contains("nobody") && log.contains("colour") && log.contains("telepathy")
        }
        let refused = coordinator.apply()
        #expect(refused.status == 422)
        #expect((refused.json["problems"]?.elements ?? []).count >= 3, "\(refused.text)")
        #expect(node.news.allSatisfy { $0.isWhole && ListeningNode.routes($0) == 4 })
        try write(routes: 6)
        coordinator.signal("coordinator", SIGHUP)
        try coordinator.wait("the repaired file", seconds: 2) { node.news.contains { $0.names.contains("1 chat-6") } }
    }

    @Test func `most routes go only with the operator's confirmation, which later states carry on`() throws {
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        try write(routes: 1)
        let refused = coordinator.apply()
        #expect(refused.status == 422)
        #expect(refused.text.contains("keeps only 1 of 4 routes") && refused.text.contains("--confirm-routes 1"))
        #expect(coordinator.apply(#"{"confirm_routes": 2}"#).status == 422)
        #expect(coordinator.apply(#"{"confirm_routes": "one"}"#).status == 400)
        #expect(coordinator.apply("confirm").status == 400)
        #expect(node.news.count { !$0.isWhole } == 0)
        #expect(coordinator.apply(#"{"confirm_routes": 1}"#).status == 200)
        try coordinator.wait("the removal", seconds: 1) {
            node.news.last?.removed == ["1 chat-2", "1 chat-3", "1 chat-4"]
        }
        #expect(node.news.last?.names == ["6 routes"], "the confirmation travels with it")
        try write(routes: 2)
        #expect(coordinator.apply().status == 200)
        try coordinator.wait("the next change", seconds: 1) { node.news.last?.names.contains("1 chat-2") == true }
        #expect(node.news.last?.names == ["1 chat-2", "6 routes"], "a node that was away meanwhile needs it, too")
    }

    @Test func `a broken file at the start does not take routes away either`() throws {
        try coordinator.wait("the state on disk") {
            FileManager.default.fileExists(atPath: coordinator.path("state/coordinator-a.published"))
        }
        coordinator.signal("coordinator", SIGTERM)
        try write(routes: 1)
        try coordinator.start()
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        #expect(ListeningNode.routes(node.news[0]) == 4)
        #expect(coordinator.http("GET", "/readyz", secret: nil).text.contains("routes published before are kept"))
        #expect(coordinator.http("GET", "/v1/status").text.contains("--confirm-routes 1"))
        #expect(coordinator.apply(#"{"confirm_routes": 1}"#).status == 200)
        try coordinator.wait("the confirmed state", seconds: 1) { node.news.last?.removed.count == 3 }
        #expect(!coordinator.http("GET", "/readyz", secret: nil).text.contains("are kept"))
    }

    @Test func `when a node has seen a higher term, everybody hears of the new one at once`() throws {
        let first = try ListeningNode(coordinator, number: 1)
        defer { first.stop() }
        try coordinator.wait("a first state") { !first.news.isEmpty }
        let high = first.news[0].epoch + 1_000_000
        let began = Host.monotonicNow()
        let second = try ListeningNode(coordinator, number: 2, highestEpoch: high)
        defer { second.stop() }
        try coordinator.wait("the new term") {
            [first, second].allSatisfy { $0.news.contains { $0.epoch == high + 1 && $0.isWhole } }
        }
        let heard = try #require(first.news.first { $0.epoch == high + 1 })
        #expect(heard.at - began < .seconds(3), "not with the next whole state")
    }

    @Test func `reports are taken, and a node that holds its routes is named`() throws {
        let node = try ListeningNode(coordinator, number: 3)
        defer { node.stop() }
        try coordinator.wait("the subscription") { !node.news.isEmpty }
        var report = Report(node: 3, number: 1, connections: 12, streams: 7, requests: 99)
        node.report(report)
        func row() -> JSONValue? {
            coordinator.http("GET", "/v1/status").json["nodes"]?.elements?.first { $0["node"]?.integer == 3 }
        }
        try coordinator.wait("the report") { row()?["requests"]?.integer == 99 }
        #expect(row()?["streams"]?.integer == 7 && row()?["connections"]?.integer == 12)
        #expect(row()?["connected"]?.bool == true)
        report.holdsRoutes = true
        node.report(report)
        try coordinator.wait("the warning") {
            coordinator.http("GET", "/readyz", secret: nil).text.contains("node 3 keeps its routes")
        }
        #expect(coordinator.log().contains("node_holds_routes"))
        node.stop()
        try coordinator.wait("the end of the node") { row()?["connected"]?.bool == false }
    }

    @Test func `only a node's certificate may subscribe`() throws {
        let stranger = try ListeningNode(coordinator, certificate: "coordinator")
        defer { stranger.stop() }
        try coordinator.wait("the refusal") { coordinator.log().contains("node_refused") }
        #expect(stranger.news.isEmpty)
    }

    @Test func `a certificate that names a node is good for that node alone, one of a client for none`() throws {
        try coordinator.certify("seven", uri: "spiffe://sluice/node/7")
        try coordinator.certify("client", uri: "spiffe://example.org/service")
        let seven = try ListeningNode(coordinator, number: 7, certificate: "seven")
        defer { seven.stop() }
        try coordinator.wait("node 7's state") { !seven.news.isEmpty }
        let eight = try ListeningNode(coordinator, number: 8, certificate: "seven")
        defer { eight.stop() }
        try coordinator.wait("the refusal of node 8") {
            coordinator.log().contains("the certificate of node 7 asked as 8")
        }
        let client = try ListeningNode(coordinator, number: 9, certificate: "client")
        defer { client.stop() }
        try coordinator.wait("the refusal of a client") {
            coordinator.log().contains("'spiffe://example.org/service'")
        }
        // What they report is taken from nobody: they are no members.
        eight.report(Report(node: 8, number: 1, requests: 99))
        client.report(Report(node: 9, number: 1, requests: 99))
        // Later than theirs, and taken.
        seven.report(Report(node: 7, number: 1, requests: 5))
        try coordinator.wait("the report of node 7") {
            coordinator.http("GET", "/v1/status").json["nodes"]?.elements?.first?["requests"]?.integer == 5
        }
        let numbers = coordinator.http("GET", "/v1/status").json["nodes"]?.elements?.map { $0["node"]?.integer }
        #expect(numbers == [7])
        #expect(eight.news.isEmpty && client.news.isEmpty)
    }

    @Test func `a node listens to coordinators alone, whoever has their address`() throws {
        coordinator.signal("coordinator", SIGTERM)
        try coordinator.certify("seven", uri: "spiffe://sluice/node/7")
        let own = coordinator.configuration(routes: 4)
        let forged = own.replacingOccurrences(of: "pki/coordinator.", with: "pki/seven.")
        try coordinator.write("forged.conf", forged)
        try coordinator.start(configuration: "forged.conf")
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("the refusal") { node.lastText.contains("'spiffe://sluice/node/7' is no coordinator") }
        #expect(node.news.isEmpty)
        coordinator.signal("coordinator", SIGTERM)
        try coordinator.start()
        try coordinator.wait("a first state") { !node.news.isEmpty }
    }

    @Test func `the admin interface asks for its secret, and bodies are bounded`() throws {
        #expect(coordinator.http("GET", "/v1/status", secret: nil).status == 401)
        #expect(coordinator.http("GET", "/v1/status", secret: "wrong").status == 401)
        #expect(coordinator.http("GET", "/v1/status", secret: TestCoordinator.secret + "x").status == 401)
        #expect(coordinator.http("POST", "/v1/keys", body: "{}", secret: "wrong").status == 401)
        #expect(coordinator.http("GET", "/v1/status").status == 200)
        #expect(coordinator.http("GET", "/livez", secret: nil).status == 200)
        let large = #"{"label":""# + String(repeating: "x", count: 70_000) + #""}"#
        #expect(coordinator.http("POST", "/v1/keys", body: large).status == 413)
        #expect(coordinator.http("POST", "/v1/keys", body: "nonsense").status == 400)
        #expect(coordinator.http("DELETE", "/v1/keys").status == 404)
        #expect(!coordinator.log().contains(TestCoordinator.secret))
    }

    @Test func `without Redis nodes are served, and keys wait until it is back`() throws {
        let body = #"{"org":"acme","team":"search","models":["chat-1"]}"#
        try coordinator.wait("a first key") { coordinator.http("POST", "/v1/keys", body: body).status == 201 }
        coordinator.signal("redis", SIGKILL)
        try coordinator.wait("the warning") {
            coordinator.http("GET", "/readyz", secret: nil).text.contains("Redis cannot be reached")
        }
        #expect(coordinator.http("POST", "/v1/keys", body: body).status == 503)
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        #expect(node.news[0].names.contains { $0.hasPrefix("5 ") }, "keys known before are published")
        try coordinator.startRedis()
        try coordinator.wait("Redis again") { coordinator.http("POST", "/v1/keys", body: body).status == 201 }
    }
    @Test func `a coordinator ends though its lane hangs, and its exit code says so`() async throws {
        let process = try #require(coordinator.pid())
        let thread = try #require(StoppedThread.number(named: "lane-0", of: process))
        let stopped = try await StoppedThread(thread)
        kill(process, SIGTERM)
        try coordinator.wait("the end", seconds: 60) { coordinator.log().contains("ended_hanging") }
        await stopped.release()
        #expect(coordinator.exitCode() == 70)
    }
}
