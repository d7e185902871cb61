// Redis' replies about the ledger as typed values: records of the stream, sums of an hour.

import Core
import Policy

/// Reads what the settlement script wrote.
enum LedgerReplies {
    /// A part of a stream, and the id of its last entry; nil when it is empty.
    static func records(
        _ reply: RedisReply, org: String
    ) throws(StoreError) -> (records: [LedgerRecord], last: String?) {
        guard case .array(let entries) = reply else { throw misfit(reply) }
        var records: [LedgerRecord] = []
        records.reserveCapacity(entries.count)
        var last: String?
        for entry in entries {
            guard case .array(let parts) = entry, parts.count == 2, let id = parts[0].text,
                case .array(let fields) = parts[1], fields.count == 2, case .bytes(let bytes) = fields[1],
                let record = LedgerBytes.record(bytes, org: org)
            else { throw .unexpectedReply("a ledger entry that cannot be read") }
            records.append(record)
            last = id
        }
        return (records, last)
    }

    /// All sums of one hour.
    static func sums(_ reply: RedisReply) throws(StoreError) -> [UsagePlace: UsageSums] {
        guard case .array(let parts) = reply, parts.count % 2 == 0 else { throw misfit(reply) }
        var sums: [UsagePlace: UsageSums] = [:]
        for index in stride(from: 0, to: parts.count, by: 2) {
            // `#team` counts rows.
            if case .bytes(let field) = parts[index], field.first == UInt8(ascii: "#") { continue }
            guard case .bytes(let field) = parts[index], let place = place(field),
                case .bytes(let value) = parts[index + 1], value.count == 56
            else { throw .unexpectedReply("sums of an hour that cannot be read") }
            let numbers = (0..<7).map { number(value, at: 8 * $0) }
            var sum = UsageSums()
            sum.attempts = numbers[0]
            sum.tokens = TokenCounts(
                input: numbers[1], cached: numbers[2], cacheWrite: numbers[3], output: numbers[4],
                reasoning: numbers[5])
            sum.microUSD = numbers[6]
            sums[place, default: UsageSums()].add(sum)
        }
        return sums
    }

    /// The place that a field of the sums names.
    static func place(_ field: [UInt8]) -> UsagePlace? {
        let names = field.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false)
        guard names.count == 4 else { return nil }
        let plain = names.map { KeySchema.name(of: Array($0)) }
        return UsagePlace(team: plain[0], feature: plain[1], model: plain[2], provider: plain[3])
    }

    /// A little-endian double that holds an integer; 0 for what a script never writes.
    static func number(_ bytes: [UInt8], at offset: Int) -> Int64 {
        let bits = (0..<8).reduce(UInt64(0)) { $0 | UInt64(bytes[offset + $1]) << UInt64(8 * $1) }
        return Int64(exactly: Double(bitPattern: bits)) ?? 0
    }

    private static func misfit(_ reply: RedisReply) -> StoreError {
        .unexpectedReply("the ledger replied \(reply.shape)")
    }
}
