// A real Redis Cluster or Sentinel set of a test's own, and a lane that uses it; all of it ends with the test.

import Core
import Foundation
import Net
import TestSupport
import Testing

@testable import Store

/// Processes on loopback, started by the script that proofs use as well; they end when this object, or the test process, does.
final class RedisShape: @unchecked Sendable {
    let folder: URL
    /// The ports of servers and of sentinels, in their order.
    private(set) var servers: [UInt16] = []
    private(set) var sentinels: [UInt16] = []
    private var pids: [UInt16: Int32] = [:]
    private let process = Process()
    private let input = Pipe()
    private let output = Pipe()

    /// `nodeTimeout`: ms until a server counts as failed; long where none shall.
    init(_ kind: String, nodeTimeout: Int = 2000) throws {
        folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        process.executableURL = root.appendingPathComponent("Scripts/lib/redis-shape")
        process.arguments = [kind, folder.path]
        process.environment = ProcessInfo.processInfo.environment.merging(["SLUICE_NODE_TIMEOUT": "\(nodeTimeout)"]) {
            $1
        }
        process.standardInput = input
        process.standardOutput = output
        try process.run()
        var text = ""
        while !text.hasSuffix("ready\n") {
            let part = output.fileHandleForReading.availableData
            guard !part.isEmpty else { throw RedisServerFailure.failed("Scripts/lib/redis-shape \(kind): \(text)") }
            text += String(decoding: part, as: UTF8.self)
        }
        for line in text.split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count == 3, let port = UInt16(words[1]), let pid = Int32(words[2]) else { continue }
            pids[port] = pid
            if words[0] == "sentinel" { sentinels.append(port) } else { servers.append(port) }
        }
        servers.sort()
        sentinels.sort()
    }

    deinit {
        try? input.fileHandleForWriting.close()
        process.waitUntilExit()
        try? FileManager.default.removeItem(at: folder)
    }

    static func endpoints(_ ports: [UInt16]) -> [Endpoint] { ports.map { .host("127.0.0.1", port: $0) } }

    func signal(_ port: UInt16, _ number: Int32) { if let pid = pids[port] { _ = kill(pid, number) } }

    /// redis-cli's answer.
    @discardableResult
    func cli(_ port: UInt16, _ words: String...) throws -> String { try cli(port, words) }

    func cli(_ port: UInt16, _ words: [String]) throws -> String {
        let asked = Process()
        let answer = Pipe()
        asked.executableURL = URL(fileURLWithPath: "/usr/bin/redis-cli")
        asked.arguments = ["-p", "\(port)"] + words
        asked.standardOutput = answer
        asked.standardError = FileHandle.nullDevice
        try asked.run()
        let data = answer.fileHandleForReading.readDataToEndOfFile()
        asked.waitUntilExit()
        return String(decoding: data, as: UTF8.self).trimmingCharacters(in: .newlines)
    }

    /// The server that has a key's slot.
    func owner(of key: String) throws -> UInt16 {
        let slot = Int(RedisSlot(key: Array(key.utf8)).number)
        for port in servers {
            for line in try cli(port, "cluster", "nodes").split(separator: "\n") where line.contains("myself,master") {
                let isOwner = line.split(separator: " ").dropFirst(8).contains { range in
                    let ends = range.split(separator: "-").compactMap { Int($0) }
                    return !range.hasPrefix("[") && (ends.first ?? .max) <= slot && slot <= (ends.last ?? -1)
                }
                if isOwner { return port }
            }
        }
        throw RedisServerFailure.failed("nobody has \(key)")
    }

    /// A replica of the server on `port`.
    func replica(of port: UInt16) throws -> UInt16 {
        let primary = try identity(port)
        for line in try cli(port, "cluster", "nodes").split(separator: "\n") {
            let words = line.split(separator: " ")
            guard words.count > 3, words[3] == primary, words[2].contains("slave") else { continue }
            let address = words[1].prefix { $0 != "@" }
            if let port = address.split(separator: ":").last.flatMap({ UInt16($0) }) { return port }
        }
        throw RedisServerFailure.failed("\(port) has no replica")
    }

    func identity(_ port: UInt16) throws -> String { try cli(port, "cluster", "myid") }
}

/// Redis on a lane of its own, for tests that wait.
final class LaneRedis: @unchecked Sendable {
    let lane: Lane
    let redis: Redis
    /// Lives as long as this does.
    private let servers: AnyObject

    init(
        _ place: RedisPlace, of servers: AnyObject, timeout: Duration = .seconds(2), tls: TLSContext? = nil,
        _ configure: (inout RedisConfiguration) -> Void = { _ in }
    ) throws {
        self.servers = servers
        lane = try #require(try Lane.start(count: 1, name: "shape").first)
        var configuration = RedisConfiguration()
        configuration.commandTimeout = timeout
        configure(&configuration)
        redis = Redis(place, network: LaneNetwork(lane: lane, tls: tls), configuration: configuration, seed: 1)
        lane.execute { [self] in redis.start() }
    }

    deinit { lane.stop() }

    /// Calls `body` on the lane and waits for what it says.
    func ask<T: Sendable>(_ body: @escaping @Sendable (Redis, @escaping @Sendable (T) -> Void) -> Void) async -> T {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in body(redis) { continuation.resume(returning: $0) } }
        }
    }

    /// A look at it, on the lane.
    func look<T: Sendable>(_ body: @escaping @Sendable (Redis) -> T) async -> T {
        await ask { redis, then in then(body(redis)) }
    }

    func send(_ words: String...) async -> Result<RedisReply, StoreError> {
        await ask { redis, then in
            redis.send(RedisCommand(parts: words.map { Array($0.utf8) })) { then($0) }
        }
    }

    func close() async { await look { $0.close() } }
}
