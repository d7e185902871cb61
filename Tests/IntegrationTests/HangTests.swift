// A lane of a real node that hangs: the node says so on its admin port, and again when the lane goes on.
import Core
import Foundation
import Testing

/// One thread of a child process, stopped by the kernel as a debugger does it: the others go on.
private final class StoppedThread: @unchecked Sendable {
    private typealias Trace = @convention(c) (Int, Int, Int, Int) -> Int
    private let goOn = DispatchSemaphore(value: 0)
    private let isStopped = DispatchSemaphore(value: 0)
    private var code = 0

    /// Stops a thread until `release`. Whoever stopped a thread must be the one who lets it go, so a thread of our own does both.
    init(_ thread: Int32) async throws {
        // A function of C with a variable number of arguments cannot be imported; on Linux all of them are passed in registers.
        guard let symbol = dlsym(nil, "ptrace") else { throw ClusterFailure(description: "no ptrace") }
        let trace = unsafeBitCast(symbol, to: Trace.self)
        let (seize, interrupt, detach) = (0x4206, 0x4207, 17)
        Thread.detachNewThread { [self] in
            code = trace(seize, Int(thread), 0, 0) | trace(interrupt, Int(thread), 0, 0)
            var status: Int32 = 0
            if code == 0 { waitpid(thread, &status, Int32(bitPattern: 0x4000_0000)) }
            isStopped.signal()
            goOn.wait()
            if code == 0 { _ = trace(detach, Int(thread), 0, 0) }
            isStopped.signal()
        }
        await Self.wait(isStopped)
        guard code == 0 else { throw ClusterFailure(description: "thread \(thread) cannot be stopped") }
    }

    func release() async {
        goOn.signal()
        await Self.wait(isStopped)
    }

    private static func wait(_ semaphore: DispatchSemaphore) async {
        await withCheckedContinuation { continuation in
            Thread.detachNewThread {
                semaphore.wait()
                continuation.resume()
            }
        }
    }

    /// The number of the thread of that name.
    static func number(named name: String, of process: Int32) -> Int32? {
        let folder = "/proc/\(process)/task"
        return (try? FileManager.default.contentsOfDirectory(atPath: folder))?.first { thread in
            (try? String(contentsOfFile: "\(folder)/\(thread)/comm", encoding: .utf8)) == "\(name)\n"
        }.flatMap { Int32($0) }
    }
}

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
}
