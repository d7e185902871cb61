// The doors of a real cluster in a crowd, behind a real HAProxy: strangers keep nobody out, and tenants do not take all there is.
import Core
import Foundation
import Testing
import Wire

@Suite struct DoorTests {
    @Test func `silent connections at the balancer and at a node keep nobody out`() async throws {
        try await withCluster { cluster in
            for round in 0..<4 {
                // More than the nodes have places for newcomers of one source, twice over.
                let crowd = try SilentSockets(600, from: 4, to: cluster.at("balancer"))
                let direct = try SilentSockets(300, from: 5, to: cluster.at("node") + 1)
                for node in [nil, 1, 2] {
                    let answer = try await cluster.chat("hi", node: node)
                    #expect(answer.status == 0, "round \(round), \(node ?? 0): \(answer.error)")
                }
                withExtendedLifetime((crowd, direct)) {}
            }
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            let refused = page.split(separator: "\n").filter {
                $0.hasPrefix("sluice_connections_refused_total") && !$0.hasSuffix(" 0")
            }
            #expect(!refused.isEmpty, "refusals are counted by reason")
            try await cluster.waitForLine(with: "\"connections_refused\"", of: "node-1")
            // Rarely: a line for each of the few reasons, not for each of the hundreds of connections.
            #expect(cluster.log("node-1").components(separatedBy: "\"connections_refused\"").count < 12)
        }
    }

    @Test func `the networks of a key hold behind a balancer`() async throws {
        try await withCluster { cluster in
            func key(_ network: String) async throws -> String {
                let made = try await cluster.tool([
                    "keys", "create", "--org", "acme", "--team", "search", "--model", "*", "--network", network,
                    "--json",
                ])
                return try #require(made.json["key"]?.text)
            }
            // The client's own address, and that from which HAProxy connects.
            let (own, balancers) = (try await key("127.0.0.1/32"), try await key("127.0.0.2/32"))
            try await cluster.wait("the key is known") { try await cluster.chat("hi", key: own).status == 0 }
            #expect(try await cluster.chat("hi", key: balancers).status == 77)
            try await cluster.wait("the reason in a log") {
                (1...2).contains { node in
                    let log = cluster.log("node-\(node)")
                    return log.contains("may not be used from this address") && log.contains("from 127.0.0.1:")
                }
            }
            // Who comes from a balancer's address and names nobody is no client.
            _ = try SilentSockets(1, from: 2, to: cluster.at("node") + 1, saying: "not a header of 16 bytes")
            try await cluster.wait("its refusal") {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
                    .contains("sluice_connections_refused_total{reason=\"proxy_header\"} 1")
            }
        }
    }

    @Test func `a key has its part of a node's connections, and leaves the rest to others`() async throws {
        try await withCluster(nodes: "lanes = 1\nmax-connections = 8\nkey-connections-percent = 25") { cluster in
            let other = try await cluster.createKey(team: "search")
            let held = [try await RawConnection(cluster), try await RawConnection(cluster)]
            let third = try await RawConnection(cluster)
            #expect(third.now.answer == nil && third.now.isClosed)
            #expect(third.now.failure == .calm)
            let another = try await RawConnection(cluster, key: other)
            #expect(another.now.answer != nil)
            for connection in held { #expect(connection.now.answer != nil && !connection.now.isClosed) }
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            #expect(page.contains("sluice_tenant_refusals_total{holder=\"key\",what=\"connections\"} 1"))
            _ = await held[0].cut()
            try await cluster.wait("room for another") {
                try await RawConnection(cluster).now.answer != nil
            }
        }
    }

    @Test func `a key's bodies have their part of a node's memory, and a refusal says so`() async throws {
        try await withCluster(nodes: "lanes = 1\nkey-body-bytes = 1MiB") { cluster in
            let filler = String(repeating: "word ", count: 140_000)
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            async let first = caller.ask("\(filler)\nsim: first-token=2s tokens=2")
            try await cluster.wait("the first is at the provider") {
                let asked = await cluster.simulator()["chats"]?.integer ?? 0
                return try await cluster.metric("sluice_requests_under_way", node: 1) == 1 && asked > 3
            }
            let second = await caller.ask("\(filler)\nsim: tokens=2")
            #expect(second.refusal?.code == .overloaded && second.refusal?.retry == .safeElsewhere)
            #expect(second.refusal?.text.contains("this key's requests") == true)
            #expect(await first.end != nil)
            // What ended holds nothing.
            #expect(await caller.ask("\(filler)\nsim: tokens=2").end != nil)
        }
    }

    @Test func `idle connections to the admin ports take no node out, and leave the coordinator's to others`()
        async throws
    {
        try await withCluster { cluster in
            let ports = [cluster.at("nodeAdmin") + 1, cluster.at("nodeAdmin") + 2, cluster.at("admin")]
            var crowd: [SilentSockets] = []
            for round in 0..<4 {
                // Some say nothing, some begin a request and do not go on.
                for port in ports {
                    crowd.append(try SilentSockets(300, to: port))
                    crowd.append(try SilentSockets(100, to: port, saying: "GET /readyz HTTP/1.1\r\nHost: x\r\n"))
                    #expect(await cluster.http(port, "/readyz").status == 200, "round \(round)")
                    #expect(await cluster.http(port, "/livez").status == 200, "round \(round)")
                }
                #expect(try await cluster.tool(["status"]).status == 0)
                #expect(try await cluster.chat("hi").status == 0, "the balancer has nodes")
            }
            withExtendedLifetime(crowd) {}
        }
    }

    @Test func `a scrape that nobody reads, again and again, costs the node a bounded memory`() async throws {
        try await withCluster { cluster in
            let before = try await cluster.metric("process_resident_memory_bytes", node: 1)
            let request = "GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n"
            let crowd = try (0..<40).map { _ in
                try SilentSockets(
                    1, to: cluster.at("nodeAdmin") + 1, saying: String(repeating: request, count: 500))
            }
            for _ in 0..<5 { #expect(try await cluster.chat("hi", node: 1).status == 0) }
            let after = try await cluster.metric("process_resident_memory_bytes", node: 1)
            #expect(after - before < Double(64 << 20))
            withExtendedLifetime(crowd) {}
        }
    }
}
