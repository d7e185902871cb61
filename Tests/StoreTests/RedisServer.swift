// A real redis-server of a test's own, on a Unix socket in a temporary folder, stopped at the end.

import Foundation
import TestSupport

/// One redis-server process.
final class RedisServer: @unchecked Sendable {
    let folder: URL
    private var process: Process?
    private let arguments: [String]

    var socketPath: String { folder.appendingPathComponent("redis.sock").path }

    init(_ arguments: [String] = []) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        self.arguments = arguments
        try start()
    }

    deinit {
        kill(SIGKILL)
        try? FileManager.default.removeItem(at: folder)
    }

    /// A cluster of one server, which has all slots.
    static func wholeCluster(_ arguments: [String] = []) throws -> RedisServer {
        let server = try RedisServer(
            [
                "--port", "\(HeldPort.next())", "--cluster-enabled", "yes", "--cluster-port", "\(HeldPort.next())",
            ] + arguments)
        let redis = try BlockingRedis(path: server.socketPath)
        _ = try redis.command("CLUSTER", "ADDSLOTSRANGE", "0", "16383")
        try waitOnThread("the cluster is whole") {
            try redis.command("CLUSTER", "INFO").text?.contains("cluster_state:ok") == true
        }
        return server
    }

    /// Starts the process and waits until its socket answers.
    func start() throws {
        let process = Process()
        let words = RedisCommand.words(
            socket: socketPath, folder: folder.path,
            ["--logfile", folder.appendingPathComponent("log").path] + arguments)
        process.executableURL = URL(fileURLWithPath: words[0])
        process.arguments = Array(words.dropFirst())
        process.standardOutput = FileHandle.nullDevice
        process.standardError = FileHandle.nullDevice
        try process.run()
        self.process = process
        Survivors.add(process.processIdentifier, folder.path)
        try waitOnThread("Redis answers", seconds: 30) {
            guard let redis = try? BlockingRedis(path: socketPath) else { return false }
            return (try? redis.command("PING")).map { $0 != .null } ?? false
        }
    }

    func signal(_ number: Int32) {
        if let process { Foundation.kill(process.processIdentifier, number) }
    }

    func kill(_ number: Int32) {
        guard let process else { return }
        if number != SIGKILL { Foundation.kill(process.processIdentifier, SIGCONT) }
        Foundation.kill(process.processIdentifier, number)
        process.waitUntilExit()
        Survivors.remove(process.processIdentifier)
        self.process = nil
    }
}

/// Servers that run, for the end of the test process: whatever still holds one then, such as a connection that its test did not close, must not
/// leave it behind.
private enum Survivors {
    private static let lock = NSLock()
    nonisolated(unsafe) private static var folders: [Int32: String] = [:]
    private static let armed: Void = { _ = atexit { Survivors.end() } }()

    static func add(_ pid: Int32, _ folder: String) {
        _ = armed
        lock.withLock { folders[pid] = folder }
    }

    static func remove(_ pid: Int32) { lock.withLock { folders[pid] = nil } }

    private static func end() {
        lock.withLock {
            for (pid, folder) in folders {
                Foundation.kill(pid, SIGKILL)
                try? FileManager.default.removeItem(atPath: folder)
            }
            folders = [:]
        }
    }
}

enum RedisServerFailure: Error {
    case socket(Int32)
    case closed
    case failed(String)
}
