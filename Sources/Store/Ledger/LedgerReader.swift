// Reads the ledger for people: sums of hours, and everything that an audit compares.

import Core
import Policy

/// The ledger as a tool sees it. Confined to the lane of its Redis; marked Sendable so that a task on that lane may hold it.
public final class LedgerReader: @unchecked Sendable {
    private let redis: Redis
    /// Commands sent together.
    private static let batch = 64

    /// A reader over a Redis that is ready.
    public init(_ redis: Redis) { self.redis = redis }

    /// The clock of the server that keeps the org, in µs since the Unix epoch.
    public func now(of org: String) async throws(StoreError) -> Int64 {
        try Self.time(await reply(to: RedisCommand("TIME"), of: org))
    }

    /// Sums of the hours since 1970 in `hours`, in their order.
    public func sums(
        of org: String, hours: ClosedRange<Int64>, each: (Int64, [UsagePlace: UsageSums]) -> Void
    ) async throws(StoreError) {
        var next = hours.lowerBound
        while next <= hours.upperBound {
            let part = next...min(hours.upperBound, next + Int64(Self.batch) - 1)
            let replies = try await replies(
                to: part.map { RedisCommand(parts: [Array("HGETALL".utf8), Self.rollupKey(org, hour: $0)]) }, of: org)
            for (hour, reply) in zip(part, replies) {
                let sums = try LedgerReplies.sums(reply)
                if !sums.isEmpty { each(hour, sums) }
            }
            next = part.upperBound + 1
        }
    }

    /// Everything that is known of an org, compared. `retention` says how far back sums may reach.
    public func audit(
        of org: String, retention: LedgerRetention
    ) async throws(StoreError) -> (records: Int, findings: [LedgerAudit.Finding]) {
        let from = try await now(of: org)
        let settlements = try await settlements(of: org)
        let hour = from / 3_600_000_000
        let stream = Self.key { KeySchema.appendLedger(of: org, to: &$0) }
        let isTrimmed = try await isTrimmed(stream, of: org)
        var past: [Int64: [UsagePlace: UsageSums]] = [:]
        let oldest = hour - max(1, Int64(retention.rollups.milliseconds / 3_600_000)) - 1
        try await sums(of: org, hours: oldest...hour) { past[$0] = $1 }
        // The present hour and the budgets again, at one moment; hours before it do not change any more.
        let teams = Set(past.values.flatMap(\.keys).map(\.team)).sorted()
        let moment = try await self.moment(of: org, hour: hour, teams: teams)
        var audit = LedgerAudit(org: org, asOf: moment.at, searchedFrom: from, isTrimmed: isTrimmed)
        for (hour, sums) in past { audit.take(hour: hour, sums) }
        audit.take(hour: hour, moment.sums)
        for (id, record) in settlements {
            audit.take(settled: id, use: record.use, reservedAt: record.reservedAtMicroseconds)
        }
        var position = "-"
        // Beyond the moment there may be no end: others go on settling.
        while let last = try await records(stream, org, from: position, upTo: moment.at / 1000 + 5_000, into: &audit) {
            position = "(" + last
        }
        var findings = audit.findings()
        for (scope, team, field, start, spent) in moment.spent {
            if let finding = audit.budget(scope: scope, team: team, field: field, start: start, spent: spent) {
                findings.append(finding)
            }
        }
        return (audit.recordCount, findings)
    }

    // MARK: - Parts of the audit

    private func records(
        _ stream: [UInt8], _ org: String, from: String, upTo milliseconds: Int64, into audit: inout LedgerAudit
    ) async throws(StoreError) -> String? {
        let words = [from, "\(milliseconds)", "COUNT", "2000"].map { Array($0.utf8) }
        let reply = try await reply(to: RedisCommand(parts: [Array("XRANGE".utf8), stream] + words), of: org)
        let (records, last) = try LedgerReplies.records(reply, org: org)
        for record in records { audit.take(record) }
        return last
    }

    /// True when the stream has lost entries: more were added than are there.
    private func isTrimmed(_ stream: [UInt8], of org: String) async throws(StoreError) -> Bool {
        let exists = try await reply(to: RedisCommand(parts: [Array("EXISTS".utf8), stream]), of: org)
        guard exists == .integer(1) else { return true }
        let words = [Array("XINFO".utf8), Array("STREAM".utf8), stream]
        guard case .array(let parts) = try await reply(to: RedisCommand(parts: words), of: org) else { return true }
        func number(_ name: String) -> RedisReply? {
            parts.firstIndex { $0.text == name }.flatMap { $0 + 1 < parts.count ? parts[$0 + 1] : nil }
        }
        guard let length = number("length"), let added = number("entries-added") else { return true }
        return length != added
    }

    private typealias Moment = (
        at: Int64, sums: [UsagePlace: UsageSums],
        spent: [(scope: String, team: String?, field: String, start: Int64, spent: Int64)]
    )

    private func moment(of org: String, hour: Int64, teams: [String]) async throws(StoreError) -> Moment {
        let scopes =
            [(LimitScope.org, Tenant(org: org, team: "", key: ""))]
            + teams.map { (LimitScope.team, Tenant(org: org, team: $0, key: "")) }
        let hashes =
            [Self.rollupKey(org, hour: hour)]
            + scopes.map { scope, tenant in Self.key { KeySchema.appendScope(scope, of: tenant, to: &$0) } }
        let all = try await replies(
            to: [RedisCommand("MULTI"), RedisCommand("TIME")]
                + hashes.map { RedisCommand(parts: [Array("HGETALL".utf8), $0]) } + [RedisCommand("EXEC")], of: org)
        guard case .array(let results)? = all.last, results.count == hashes.count + 1 else {
            throw .unexpectedReply("a transaction that was not executed")
        }
        var moment: Moment = (try Self.time(results[0]), try LedgerReplies.sums(results[1]), [])
        for ((scope, tenant), result) in zip(scopes, results.dropFirst(2)) {
            guard case .array(let parts) = result else { continue }
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                guard let field = parts[index].text, field.hasPrefix("fu"), case .bytes(let value) = parts[index + 1],
                    value.count == 16
                else { continue }
                moment.spent.append(
                    (
                        tenant.words(for: scope), scope == .team ? tenant.team : nil, field,
                        LedgerReplies.number(value, at: 0), LedgerReplies.number(value, at: 8)
                    ))
            }
        }
        return moment
    }

    /// The settlements that are remembered: a search through all keys of the server that keeps the org.
    private func settlements(of org: String) async throws(StoreError) -> [(LedgerAudit.Request, QuotaRecord)] {
        let prefix = Self.key { KeySchema.appendRecords(of: org, to: &$0) }
        let pattern = Self.literally(prefix) + Array("*".utf8)
        var found: [(LedgerAudit.Request, QuotaRecord)] = []
        var cursor = Array("0".utf8)
        repeat {
            let words = [
                Array("SCAN".utf8), cursor, Array("MATCH".utf8), pattern, Array("COUNT".utf8), Array("1000".utf8),
            ]
            guard case .array(let parts) = try await reply(to: RedisCommand(parts: words), of: org), parts.count == 2,
                case .bytes(let next) = parts[0], case .array(let names) = parts[1]
            else { throw .unexpectedReply("a search that cannot be read") }
            var keys: [[UInt8]] = []
            for case .bytes(let key) in names { keys.append(key) }
            let values = try await replies(to: keys.map { RedisCommand(parts: [Array("GET".utf8), $0]) }, of: org)
            for (key, value) in zip(keys, values) {
                guard case .bytes(let bytes) = value, let id = KeySchema.id(ofRecord: key),
                    let owner = KeySchema.apiKey(ofRecord: key, from: prefix.count),
                    let record = QuotaReplyReader.settlement(bytes)
                else { continue }
                found.append((LedgerAudit.Request(key: owner, id: id), record))
            }
            cursor = next
        } while cursor != Array("0".utf8)
        return found
    }

    /// A text in which no character means more than itself in a pattern.
    private static func literally(_ text: [UInt8]) -> [UInt8] {
        text.flatMap { Array("*?[]^\\-".utf8).contains($0) ? [UInt8(ascii: "\\"), $0] : [$0] }
    }

    // MARK: - Commands

    /// Also a command without a key, such as TIME, goes to the server that keeps the org.
    private func replies(to commands: [RedisCommand], of org: String) async throws(StoreError) -> [RedisReply] {
        let slot = KeySchema.slot(ofOrg: org)
        var replies: [RedisReply] = []
        var rest = commands[...]
        while !rest.isEmpty {
            let part = Array(rest.prefix(Self.batch))
            rest = rest.dropFirst(part.count)
            let results = await withCheckedContinuation { continuation in
                let gathering = Gathering(part.count) { continuation.resume(returning: $0) }
                for command in part {
                    redis.send(command, slot: slot, timeout: .seconds(10)) { gathering.take($0) }
                }
            }
            for result in results { replies.append(try result.get()) }
        }
        return replies
    }

    private func reply(to command: RedisCommand, of org: String) async throws(StoreError) -> RedisReply {
        let replies = try await replies(to: [command], of: org)
        return replies[0]
    }

    /// Replies come in the order of their commands; the last one ends the wait.
    private final class Gathering {
        private var results: [Result<RedisReply, StoreError>] = []
        private let count: Int
        private let then: ([Result<RedisReply, StoreError>]) -> Void

        init(_ count: Int, _ then: @escaping ([Result<RedisReply, StoreError>]) -> Void) {
            self.count = count
            self.then = then
        }

        func take(_ result: Result<RedisReply, StoreError>) {
            results.append(result)
            if results.count == count { then(results) }
        }
    }

    private static func time(_ reply: RedisReply) throws(StoreError) -> Int64 {
        guard case .array(let parts) = reply, parts.count == 2, let seconds = parts[0].text.flatMap({ Int64($0) }),
            let rest = parts[1].text.flatMap({ Int64($0) })
        else { throw .unexpectedReply("a time that is none") }
        return seconds * 1_000_000 + rest
    }

    private static func rollupKey(_ org: String, hour: Int64) -> [UInt8] {
        key {
            KeySchema.appendRollups(of: org, to: &$0)
            $0.append("\(hour)")
        }
    }

    private static func key(_ write: (inout ByteBuffer) -> Void) -> [UInt8] {
        var name = ByteBuffer()
        write(&name)
        return name.array()
    }
}
