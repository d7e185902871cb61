// Every key that Sluice keeps in Redis, in one place.

import Core
import Policy

/// The names of all keys. Keys of one org share the hash tag `{org}`, so that one script may touch them all in a cluster.
///
/// | Key | Type | Holds | Lifetime |
/// |---|---|---|---|
/// | `q:{org}` | hash | counters of the org | until its last counter is back at zero, and a minute |
/// | `q:{org}:t:<team>` | hash | counters of a team | the same |
/// | `q:{org}:k:<key>` | hash | counters of an API key | the same |
/// | `q:{org}:f:<team>/<feature>` | hash | counters of a feature | the same |
/// | `<one of these>:<field>` | sorted set | log of a sliding window | its period and a minute |
/// | `q:{org}:r:<key>:<id>` | string | one reservation or settlement of an API key; `r:<key>:<claim><id>`: of a try that ran beside it | 15 min |
/// | `q:{org}:l` | stream | the ledger: one record an attempt | as `cluster.conf` says, see `LedgerRetention` |
/// | `q:{org}:u:<hour>` | hash | sums of one hour since 1970 by team, feature, model, provider | the same |
/// | `meta:{marker-<n>}` | string | a value that is made anew when it is missing: then all was lost | none |
/// | `coord:{lead}:lease` | hash | which coordinator leads, until when, and its epoch | none: the epoch must never fall |
/// | `coord:{lead}:kept` | hash | what is published, for the next leader; versions of the configuration; canaries | none |
/// | `brk:{breakers}` | string | a number that grows with each change of a breaker | none |
/// | `brk:{breakers}:<provider>:<model>` | string | the circuit breaker of a target | two hours after its last news or order |
/// | `meta:{keys}:keys` | hash | API key records, lines by key id | none: 90 days after its end a coordinator removes it; a lost one it writes back |
/// | `meta:{keys}:version` | string | another number after each change of a record, so that coordinators read all of them only then | none |
public enum KeySchema {
    /// Appends the key of a scope's counters.
    static func appendScope(_ scope: LimitScope, of tenant: Tenant, to output: inout ByteBuffer) {
        appendOrg(tenant.org, to: &output)
        switch scope {
        case .org: return
        case .team:
            output.append(literal: ":t:")
            appendName(tenant.team, to: &output)
        case .key:
            output.append(literal: ":k:")
            appendName(tenant.key, to: &output)
        case .feature:
            output.append(literal: ":f:")
            appendName(tenant.team, to: &output)
            output.append(UInt8(ascii: "/"))
            appendName(tenant.feature, to: &output)
        }
    }

    /// Appends the key of the log of a sliding window.
    static func appendLog(_ field: String, scope: LimitScope, of tenant: Tenant, to output: inout ByteBuffer) {
        appendScope(scope, of: tenant, to: &output)
        output.append(UInt8(ascii: ":"))
        output.append(field)
    }

    /// Appends the key of a reservation's record up to its id: clients choose ids, so each API key has its own.
    static func appendRecordPrefix(of tenant: Tenant, to output: inout ByteBuffer) {
        appendRecords(of: tenant.org, to: &output)
        appendName(tenant.key, to: &output)
        output.append(UInt8(ascii: ":"))
    }

    /// Appends what the keys of all records of an org begin with.
    static func appendRecords(of org: String, to output: inout ByteBuffer) {
        appendOrg(org, to: &output)
        output.append(literal: ":r:")
    }

    /// The API key in a record's key whose first `start` bytes are those of `appendRecords`; nil when there is none.
    static func apiKey(ofRecord key: [UInt8], from start: Int) -> String? {
        let rest = key.dropFirst(start)
        guard let colon = rest.firstIndex(of: UInt8(ascii: ":")) else { return nil }
        return name(of: Array(rest[..<colon]))
    }

    /// Appends the key of an org's own counters, which all other keys of the org begin with.
    private static func appendOrg(_ org: String, to output: inout ByteBuffer) {
        output.append(literal: "q:{")
        appendName(org, to: &output)
        output.append(UInt8(ascii: "}"))
    }

    /// Digits of an id in the key of a record.
    static let recordDigits = 22

    /// Appends the id of a record as 22 characters of base64url.
    static func appendRecord(_ id: Identifier128, to output: inout ByteBuffer) {
        var digits: [22 of UInt8] = .init(repeating: 0)
        var (low, high) = (id.low, id.high)
        for place in 0..<22 {
            // Safe: six bits, and the alphabet has 64 characters that live for ever.
            digits[place] = unsafe alphabet.utf8Start[Int(low & 63)]
            low = low >> 6 | high << 58
            high >>= 6
        }
        output.append(RawSpan(_elements: digits.span))
    }

    /// The id at the end of a record's key; nil when there is none.
    static func id(ofRecord key: [UInt8]) -> Identifier128? {
        guard key.count >= recordDigits else { return nil }
        var (high, low): (UInt64, UInt64) = (0, 0)
        for digit in key.suffix(recordDigits).reversed() {
            let value: UInt8
            switch digit {
            case UInt8(ascii: "A")...UInt8(ascii: "Z"): value = digit - 65
            case UInt8(ascii: "a")...UInt8(ascii: "z"): value = digit - 71
            case UInt8(ascii: "0")...UInt8(ascii: "9"): value = digit + 4
            case UInt8(ascii: "-"): value = 62
            case UInt8(ascii: "_"): value = 63
            default: return nil
            }
            high = high << 6 | low >> 58
            low = low << 6 | UInt64(value)
        }
        return Identifier128(high: high, low: low)
    }

    private static var alphabet: StaticString { "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_" }

    /// Appends the key of an org's ledger.
    static func appendLedger(of org: String, to output: inout ByteBuffer) {
        appendOrg(org, to: &output)
        output.append(literal: ":l")
    }

    /// Appends what the keys of an org's hourly sums begin with; the hour since 1970 follows.
    static func appendRollups(of org: String, to output: inout ByteBuffer) {
        appendOrg(org, to: &output)
        output.append(literal: ":u:")
    }

    /// Appends the field of a place in the sums: `team/feature/model/provider`.
    static func appendPlace(_ place: UsagePlace, to output: inout ByteBuffer) {
        appendName(place.team, to: &output)
        for name in [place.feature, place.model, place.provider] {
            output.append(UInt8(ascii: "/"))
            appendName(name, to: &output)
        }
    }

    /// Tells whether a server's data are those of before; in a cluster one whose slot `isOwned`, nil when none of some hundred is.
    static func marker(where isOwned: (RedisSlot) -> Bool = { _ in true }) -> [UInt8]? {
        for number in 0..<256 {
            let key = Array("meta:{marker-\(number)}".utf8)
            if isOwned(RedisSlot(key: key)) { return key }
        }
        return nil
    }

    /// The lease of the leading coordinator.
    static let lease = Array("coord:{lead}:lease".utf8)

    /// What coordinators keep for each other.
    static let kept = Array("coord:{lead}:kept".utf8)

    /// Grows with each change of a circuit breaker. All breakers share its slot, so that one command reads them.
    static let breakers = Array("brk:{breakers}".utf8)

    /// Appends the key of a target's circuit breaker.
    static func appendBreaker(_ provider: String, _ model: String, to output: inout ByteBuffer) {
        output.append(breakers)
        output.append(UInt8(ascii: ":"))
        appendName(provider, to: &output)
        output.append(UInt8(ascii: ":"))
        appendName(model, to: &output)
    }

    /// The hash of API key records.
    static let apiKeys = Array("meta:{keys}:keys".utf8)

    /// The version of all API key records.
    static let apiKeysVersion = Array("meta:{keys}:version".utf8)

    /// Appends a name; bytes that mean something in a key (`{ } : / %`, spaces, controls) as `%XX`, so that no name
    /// that a client chose can reach the counters of another.
    static func appendName(_ name: String, to output: inout ByteBuffer) {
        // Almost all names are plain and are copied as one.
        if name.utf8.allSatisfy(isPlain) { return output.append(name) }
        escape(name) { output.append($0) }
    }

    private static func escape(_ name: String, each: (UInt8) -> Void) {
        for byte in name.utf8 {
            switch byte {
            case 0...0x20, 0x7f, UInt8(ascii: "{"), UInt8(ascii: "}"), UInt8(ascii: ":"), UInt8(ascii: "/"),
                UInt8(ascii: "%"):
                each(UInt8(ascii: "%"))
                each(hexDigit(byte >> 4))
                each(hexDigit(byte & 15))
            default: each(byte)
            }
        }
    }

    /// The slot of all keys of an org: of its escaped name, the hash tag that they share.
    static func slot(ofOrg org: String) -> RedisSlot {
        var sum = SlotSum()
        escape(org) { sum.add($0) }
        return sum.slot
    }

    /// The name that `appendName` wrote.
    static func name(of bytes: [UInt8]) -> String {
        guard bytes.contains(UInt8(ascii: "%")) else { return String(decoding: bytes, as: UTF8.self) }
        var plain: [UInt8] = []
        var rest = bytes[...]
        while let byte = rest.popFirst() {
            let digits = rest.prefix(2).compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
            if byte == UInt8(ascii: "%"), digits.count == 2 {
                plain.append(UInt8(digits[0] << 4 | digits[1]))
                rest.removeFirst(2)
            } else {
                plain.append(byte)
            }
        }
        return String(decoding: plain, as: UTF8.self)
    }

    private static func isPlain(_ byte: UInt8) -> Bool {
        byte > 0x2F ? byte != 0x3A && byte != 0x7B && byte != 0x7D && byte != 0x7F : byte == 0x2D || byte == 0x2E
    }

    private static func hexDigit(_ value: UInt8) -> UInt8 { value < 10 ? 48 + value : 55 + value }
}
