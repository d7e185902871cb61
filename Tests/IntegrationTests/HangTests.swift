// A lane of a real node that hangs: the node says so on its admin port, and again when the lane goes on.
import Core
import Foundation
import TestSupport
import Testing

@Suite struct HangTests {
    @Test func `a lane that hangs makes livez and readyz say 503 until it goes on`() async throws {
        try await withCluster(nodes: "lanes = 2") { cluster in
            let port = cluster.at("nodeAdmin") + 1
            #expect(await cluster.http(port, "/livez").status == 200)
            let node = try cluster.child("node-1")
            let thread = try #require(StoppedThread.number(named: "lane-1", of: node.pid))
            let stopped = try await StoppedThread(thread)
            try await cluster.wait("livez to notice", seconds: 60) { await cluster.http(port, "/livez").status == 503 }
            #expect(await cluster.http(port, "/livez").body.contains("[1]"))
            let ready = await cluster.http(port, "/readyz")
            #expect(ready.status == 503 && ready.body.contains("lane 1 hangs"), "\(ready)")
            #expect(await cluster.http(port, "/metrics").status == 503, "half the figures would be wrong figures")
            try await cluster.waitForLine(with: "lane_hangs", of: "node-1")
            await stopped.release()
            try await cluster.wait("livez to recover", seconds: 60) { await cluster.http(port, "/livez").status == 200 }
            try await cluster.wait("readiness") { await cluster.http(port, "/readyz").status == 200 }
            #expect(try await cluster.chat("hi", node: 1).status == 0)
            try await cluster.waitForLine(with: "lane_runs", of: "node-1")
        }
    }

    @Test func `a hanging lane does not keep a node from ending`() async throws {
        try await withCluster(nodes: "lanes = 2") { cluster in
            let node = try cluster.child("node-1")
            let thread = try #require(StoppedThread.number(named: "lane-1", of: node.pid))
            let stopped = try await StoppedThread(thread)
            node.signal(SIGTERM)
            try await cluster.waitForLine(with: "draining", of: "node-1")
            node.signal(SIGTERM)
            // Its main thread leaves while one thread is still stopped; the kernel ends that one when it is let go.
            try await cluster.wait("the admin port to close", seconds: 60) {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/livez").status == 0
            }
            await stopped.release()
            #expect(await node.exit() == 0)
        }
    }
    @Test func `a node ends when the lane that should end it hangs, and its exit code says so`() async throws {
        try await withCluster(nodes: "lanes = 2") { cluster in
            let node = try cluster.child("node-1")
            let thread = try #require(StoppedThread.number(named: "lane-0", of: node.pid))
            let stopped = try await StoppedThread(thread)
            node.signal(SIGTERM)
            try await cluster.waitForLine(with: "ended_hanging", of: "node-1")
            try await cluster.wait("the admin port to close", seconds: 60) {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/livez").status == 0
            }
            await stopped.release()
            #expect(await node.exit() == 70)
        }
    }
}
