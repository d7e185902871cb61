// A ledger record as bytes: written by the node that settles, stamped with the time by the script, read by people's tools.
import Core

/// The form of a record in Redis, big-endian; the script reads only the numbers that it adds up.
///
/// | Bytes | Content |
/// |---|---|
/// | 7 | settled at, µs since the Unix epoch: put in front by the script |
/// | 16 | request id |
/// | 3 each | input, cached, cache-write, output, reasoning tokens |
/// | 6 | micro-USD |
/// | 1, 1 | attempt, provenance |
/// | 8 | price version |
/// | 4, 4 | first token, duration, in ms |
/// | 1 + n each | team, key, feature, model, provider, outcome |
public enum LedgerBytes {
    /// Bytes in front of the names, without the time.
    static let fixedCount = 16 + 15 + 6 + 2 + 8 + 8

    /// Appends an entry without its time. Names end after 255 bytes.
    public static func append(_ entry: LedgerEntry, id: Identifier128, tenant: Tenant, to output: inout ByteBuffer) {
        output.append(integer: id.high)
        output.append(integer: id.low)
        output.append(lowest: 3, of: entry.tokens.input)
        output.append(lowest: 3, of: entry.tokens.cached)
        output.append(lowest: 3, of: entry.tokens.cacheWrite)
        output.append(lowest: 3, of: entry.tokens.output)
        output.append(lowest: 3, of: entry.tokens.reasoning)
        output.append(lowest: 6, of: entry.microUSD)
        output.append(entry.attempt)
        output.append(entry.provenance.rawValue)
        output.append(integer: entry.priceVersion.number)
        output.append(integer: entry.firstTokenMilliseconds)
        output.append(integer: entry.durationMilliseconds)
        append(tenant.team, to: &output)
        append(tenant.key, to: &output)
        append(tenant.feature, to: &output)
        append(entry.model, to: &output)
        append(entry.provider, to: &output)
        append(entry.outcome, to: &output)
    }

    private static func append(_ name: String, to output: inout ByteBuffer) {
        let name = name.utf8Span.span
        let length = min(255, name.count)
        output.append(UInt8(length))
        output.append(RawSpan(_elements: name.extracting(0..<length)))
    }

    /// Reads a record of `org`; nil when it is none.
    public static func record(_ bytes: [UInt8], org: String) -> LedgerRecord? {
        guard bytes.count >= 7 + fixedCount else { return nil }
        var position = 0
        func number(_ count: Int) -> Int64 {
            defer { position += count }
            return bytes[position..<position + count].reduce(0) { $0 << 8 | Int64($1) }
        }
        func bits() -> UInt64 {
            defer { position += 8 }
            return bytes[position..<position + 8].reduce(0) { $0 << 8 | UInt64($1) }
        }
        let at = number(7)
        let id = Identifier128(high: bits(), low: bits())
        let tokens = TokenCounts(
            input: number(3), cached: number(3), cacheWrite: number(3), output: number(3), reasoning: number(3))
        let money = number(6)
        let attempt = UInt8(number(1))
        guard let provenance = Provenance(rawValue: UInt8(number(1))) else { return nil }
        let version = PriceVersion(bits())
        let (first, duration) = (UInt32(number(4)), UInt32(number(4)))
        var names: [String] = []
        for _ in 0..<6 {
            guard position < bytes.count, position + 1 + Int(bytes[position]) <= bytes.count else { return nil }
            let end = position + 1 + Int(bytes[position])
            names.append(String(decoding: bytes[position + 1..<end], as: UTF8.self))
            position = end
        }
        guard position == bytes.count else { return nil }
        return LedgerRecord(
            atMicroseconds: at, id: id, tenant: Tenant(org: org, team: names[0], key: names[1], feature: names[2]),
            entry: LedgerEntry(
                attempt: attempt, provider: names[4], model: names[3], tokens: tokens, microUSD: money,
                priceVersion: version, provenance: provenance, firstTokenMilliseconds: first,
                durationMilliseconds: duration, outcome: names[5]))
    }
}
