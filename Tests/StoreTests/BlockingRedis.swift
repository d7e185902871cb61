// The Redis machine on a blocking Unix socket: the shortest driver there is, for tests that compare many replies.

import Core
import Glibc
import Policy

@testable import Store

/// One connection; each command waits for its reply.
final class BlockingRedis {
    private let socket: Int32
    private var machine = RedisMachine()
    private var input = ByteBuffer()
    private var output = ByteBuffer()
    private var digests: [RedisScript: [UInt8]] = [:]
    private var codec: QuotaCodec

    init(path: String, times: QuotaTimes = .standard, retention: LedgerRetention = .standard) throws {
        codec = QuotaCodec(times: times, retention: retention)
        socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(path.utf8) + [0]) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        // Closed by deinit, which runs also when this throws, because everything is initialised: a second close here would hit whatever
        // descriptor another test opened in between.
        guard result == 0 else { throw RedisServerFailure.socket(errno) }
    }

    deinit { Glibc.close(socket) }

    func command(_ parts: String...) throws -> RedisReply { try command(parts.map { Array($0.utf8) }) }

    func command(_ parts: [[UInt8]]) throws -> RedisReply {
        try exchange { RedisCommand(parts: parts).write(into: &$0) }
    }

    func name(_ script: RedisScript) throws -> ScriptName {
        if let digest = digests[script] { return ScriptName(script: script, digest: digest) }
        let reply = try command([Array("SCRIPT".utf8), Array("LOAD".utf8), script.source])
        guard let text = reply.text else { throw RedisServerFailure.failed("\(reply)") }
        var part = ByteBuffer()
        RedisWriter.part(Array(text.utf8), in: &part)
        digests[script] = part.array()
        return ScriptName(script: script, digest: part.array())
    }

    func reserve(_ call: ReserveCall) throws -> ReserveReply {
        let name = try name(.reserve)
        let reply = try exchange { codec.write(call, script: name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try QuotaReplyReader.reserve(reply, of: call)
    }

    /// True when the id was new.
    func remember(_ call: ReserveCall, grantedAt: Int64) throws -> Bool {
        let command = codec.remembering(call, grantedAt: grantedAt)
        return try exchange { command.write(into: &$0) } == .status("OK")
    }

    func extend(_ call: ExtendCall) throws -> ExtendReply {
        let name = try name(.reserve)
        let reply = try exchange { codec.write(call, script: name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try QuotaReplyReader.extend(reply, of: call)
    }

    func peek(_ call: ReserveCall) throws -> QuotaPeek {
        let name = try name(.peek)
        let reply = try exchange { codec.write(call, script: name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try QuotaReplyReader.peek(reply, of: call)
    }

    func settle(_ call: SettleCall) throws -> SettleReply {
        let name = try name(.settle)
        let reply = try exchange { codec.write(call, script: name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try QuotaReplyReader.settle(reply)
    }

    func settle(_ call: PartCall) throws -> SettleReply {
        let name = try name(.settle)
        let reply = try exchange { codec.write(call, script: name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try QuotaReplyReader.settle(reply)
    }

    /// Sends `calls` in one write and waits for all replies; none may be an error.
    func pipeline(_ reserves: [ReserveCall], _ settles: [SettleCall]) throws {
        let (reserve, settle) = (try name(.reserve), try name(.settle))
        let never = Instant.distantFuture
        for call in reserves {
            _ = machine.send(deadline: never) { codec.write(call, script: reserve, into: &$0) }
        }
        for call in settles {
            _ = machine.send(deadline: never) { codec.write(call, script: settle, into: &$0) }
        }
        for reply in try drain(reserves.count + settles.count) {
            if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        }
    }

    /// All records of an org's ledger.
    func ledger(of org: String) throws -> [LedgerRecord] {
        var records: [LedgerRecord] = []
        var from = "-"
        while true {
            let part = try LedgerReplies.records(
                command("XRANGE", "q:{\(org)}:l", from, "+", "COUNT", "1000"), org: org)
            records += part.records
            guard let last = part.last else { return records }
            from = "(" + last
        }
    }

    /// All sums of an org, by hour since 1970.
    func rollups(of org: String) throws -> [Int64: [UsagePlace: UsageSums]] {
        guard case .array(let keys) = try command("KEYS", "q:{\(org)}:u:*") else { return [:] }
        var hours: [Int64: [UsagePlace: UsageSums]] = [:]
        for key in keys.compactMap(\.text) {
            guard let hour = Int64(key.split(separator: ":").last ?? "") else { continue }
            hours[hour] = try LedgerReplies.sums(command("HGETALL", key))
        }
        return hours
    }

    func lead(_ call: LeaseCall) throws -> LeaseReply {
        let name = try name(.lead)
        let reply = try exchange { CoordinationStore.write(call, name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try CoordinationStore.read(reply)
    }

    func breaker(
        _ call: BreakerCall, on provider: String, _ model: String, jitter: Int64, _ times: BreakerTimes
    ) throws -> BreakerReply {
        let name = try name(.breaker)
        let key = BreakerStore.key(provider, model)
        let reply = try exchange { BreakerStore.write(call, key: key, jitter: jitter, times, name, into: &$0) }
        if case .error(let message) = reply { throw RedisServerFailure.failed(message) }
        return try BreakerStore.read(reply)
    }

    /// One field of `INFO`.
    func info(_ section: String, _ field: String) throws -> String? {
        let text = try command("INFO", section).text ?? ""
        return text.split(separator: "\r\n").first { $0.hasPrefix(field + ":") }
            .map { String($0.dropFirst(field.count + 1)) }
    }

    private func exchange(_ write: (inout ByteBuffer) -> Void) throws -> RedisReply {
        guard machine.send(deadline: .distantFuture, write) != nil else { throw RedisServerFailure.closed }
        guard let reply = try drain(1).first else { throw RedisServerFailure.closed }
        return reply
    }

    private func drain(_ count: Int) throws -> [RedisReply] {
        let now = Instant(nanoseconds: 0)
        machine.transmit(into: &output, at: now)
        while output.count > 0 {
            let sent = output.withUnsafeReadableBytes {
                Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
            }
            guard sent > 0 else { throw RedisServerFailure.closed }
            output.consume(sent)
        }
        var replies: [RedisReply] = []
        while true {
            switch machine.receive(&input, at: now) {
            case .reply(_, let reply):
                replies.append(reply)
                if replies.count == count { return replies }
                continue
            case .failed(let reason): throw RedisServerFailure.failed(reason)
            case .expired: throw RedisServerFailure.failed("expired")
            case nil: break
            }
            var received = 0
            _ = input.withUnsafeWritableBytes(minimum: 65_536) { room in
                received = Glibc.recv(socket, room.baseAddress, room.count, 0)
                return max(0, received)
            }
            guard received > 0 else { throw RedisServerFailure.closed }
        }
    }
}
