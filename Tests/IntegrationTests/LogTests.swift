// Logs that nobody reads or that cannot be written: clients notice nothing, operators are warned, and no exit waits.
import Core
import Foundation
import Testing

/// A named pipe that the test holds open without reading it.
private final class Fifo {
    let path: String
    private var descriptor: Int32

    init(_ path: String) throws {
        self.path = path
        guard mkfifo(path, 0o600) == 0 else { throw ClusterFailure(description: "no FIFO at \(path)") }
        descriptor = open(path, O_RDWR | O_NONBLOCK | O_CLOEXEC)
    }

    deinit { closeReader() }

    /// Fills it, so that the next byte finds no room.
    func fill() {
        let zeros = [UInt8](repeating: 0, count: 4_096)
        while write(descriptor, zeros, zeros.count) > 0 {}
    }

    func closeReader() {
        if descriptor >= 0 { close(descriptor) }
        descriptor = -1
    }
}

@Suite struct LogTests {
    /// The exit code; nil when the process still runs after a time that no exit needs.
    private func exit(of child: Child) async -> Int32? {
        for _ in 0..<1_500 where child.isRunning { try? await Task.sleep(for: .milliseconds(20)) }
        return child.isRunning ? nil : await child.exit()
    }

    @Test func `a log whose reader stopped holds up neither answers nor an exit`() async throws {
        try await withCluster { cluster in
            for name in ["node-2", "coordinator"] {
                try await cluster.kill(name)
                let fifo = try Fifo(cluster.path("\(name).fifo"))
                defer { fifo.closeReader() }
                fifo.fill()
                try await cluster.launch(name, output: fifo.path)
                if name == "node-2" {
                    try await cluster.waitReady(2)
                    for _ in 0..<3 { #expect(try await cluster.chat("hi", node: 2).status == 0) }
                } else {
                    try await cluster.wait("the coordinator") {
                        await cluster.http(cluster.at("admin"), "/readyz").status == 200
                    }
                }
                let child = try cluster.child(name)
                child.signal(SIGTERM)
                // A second one ends a node's drain; a coordinator is on its way out already.
                try await cluster.wait("the signal") {
                    if name == "coordinator" { return true }
                    return await cluster.http(cluster.at("nodeAdmin") + 2, "/readyz").status == 503
                }
                child.signal(SIGTERM)
                #expect(await exit(of: child) == 0, "\(name)")
            }
        }
    }

    @Test func `lines that cannot be written are counted and warned of, and answers go on`() async throws {
        try await withCluster { cluster in
            let fifo = try Fifo(cluster.path("closed.fifo"))
            defer { fifo.closeReader() }
            for (number, output, reason) in [(1, "/dev/full", "No space left"), (2, fifo.path, "Broken pipe")] {
                try await cluster.kill("node-\(number)")
                try await cluster.launch("node-\(number)", output: output)
                try await cluster.waitReady(number)
                if number == 2 { fifo.closeReader() }
                #expect(try await cluster.chat("hi", node: number).status == 0)
                try await cluster.wait("the warning") {
                    let page = await cluster.http(cluster.at("nodeAdmin") + number, "/readyz")
                    return page.status == 200 && page.body.contains("log lines are lost")
                        && page.body.contains(reason)
                }
                #expect(try await cluster.metric("sluice_log_dropped_bytes_total", node: number) > 100)
            }
            try await cluster.kill("coordinator")
            try await cluster.launch("coordinator", output: "/dev/full")
            try await cluster.wait("the coordinator's warning") {
                await cluster.http(cluster.at("admin"), "/readyz").body.contains("log lines are lost")
            }
            let page = await cluster.http(cluster.at("admin"), "/metrics").body
            let line = page.split(separator: "\n").first { $0.hasPrefix("sluice_log_dropped_bytes_total ") }
            let value = line.flatMap { Int($0.split(separator: " ").last ?? "") }
            #expect((value ?? 0) > 0, "\(line ?? "no metric")")
        }
    }
}
