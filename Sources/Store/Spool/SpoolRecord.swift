// What the spool of a lane keeps: settlements that Redis has not confirmed, as bytes and back.

import Core
import Policy

/// One thing that must reach Redis.
public enum SpoolRecord: Sendable {
    /// A settlement; the clock (µs since 1970) when it was kept, and whether it may have been booked already.
    case settlement(SettleCall, keptAt: Int64, mayBeBooked: Bool)
    /// A block was granted; what is left of it has to be given back.
    case block(ReserveCall)
    /// A request that ran on a block, and the part in which it is settled.
    case use(block: Identifier128, part: Int64, covers: QuotaUse, BlockUse, Tenant)

    /// The kind of its entry.
    public var kind: UInt8 {
        switch self {
        case .settlement: 4  // 1 was one without a claim
        case .block: 2
        case .use: 3
        }
    }

    /// Appends its content.
    public func append(to output: inout ByteBuffer) {
        switch self {
        case .settlement(let call, let keptAt, let mayBeBooked):
            SpoolBytes.append(call.id, to: &output)
            output.append(integer: keptAt)
            output.append(UInt8(mayBeBooked ? 1 : 0))
            output.append(call.ending.rawValue)
            output.append(integer: call.claim)
            SpoolBytes.append(call.use, to: &output)
            SpoolBytes.append(call.tenant, to: &output)
            SpoolBytes.append(call.limits, to: &output)
            SpoolBytes.append(call.attempts, id: call.id, call.tenant, to: &output)
        case .block(let call):
            SpoolBytes.append(call.id, to: &output)
            output.append(integer: call.requests)
            output.append(integer: call.holdMilliseconds)
            SpoolBytes.append(call.estimate, to: &output)
            SpoolBytes.append(call.tenant, to: &output)
            SpoolBytes.append(call.limits, to: &output)
        case .use(let block, let part, let covers, let use, let tenant):
            SpoolBytes.append(block, to: &output)
            output.append(integer: part)
            SpoolBytes.append(covers, to: &output)
            SpoolBytes.append(use.id, to: &output)
            SpoolBytes.append(use.use, to: &output)
            SpoolBytes.append(use.feature, to: &output)
            SpoolBytes.append(use.attempts, id: use.id, tenant, to: &output)
        }
    }

    /// The record in an entry; nil when it is none, which a program of another version may have left.
    public init?(_ entry: SpoolEntry) {
        var reader = SpoolBytes(entry.content)
        switch entry.kind {
        case 4:
            let id = reader.identifier()
            let keptAt = reader.integer()
            let mayBeBooked = reader.byte() == 1
            guard let ending = SettleCall.Ending(rawValue: reader.byte()) else { return nil }
            let claim = reader.number(UInt32.self)
            let use = reader.use()
            let tenant = reader.tenant()
            guard let limits = reader.limits() else { return nil }
            let attempts = reader.attempts(of: tenant.org)
            self = .settlement(
                SettleCall(
                    id: id, claim: claim, tenant: tenant, use: use, ending: ending, limits: limits,
                    attempts: attempts),
                keptAt: keptAt, mayBeBooked: mayBeBooked)
        case 2:
            let id = reader.identifier()
            let (requests, hold) = (reader.integer(), reader.integer())
            let estimate = reader.use()
            let tenant = reader.tenant()
            guard let limits = reader.limits() else { return nil }
            self = .block(
                ReserveCall(
                    block: id, of: requests, tenant: tenant, estimate: estimate, holdMilliseconds: hold,
                    limits: limits))
        case 3:
            let block = reader.identifier()
            let part = reader.integer()
            let covers = reader.use()
            let id = reader.identifier()
            let use = reader.use()
            let feature = reader.text()
            let attempts = reader.attempts(of: "")
            self = .use(
                block: block, part: part, covers: covers,
                BlockUse(id: id, feature: feature, use: use, attempts: attempts), Tenant(org: "", team: "", key: ""))
        default: return nil
        }
        guard reader.isWhole else { return nil }
    }
}

/// Reads and writes the parts of a record. Reading beyond the end gives zeros, and `isWhole` is false then.
private struct SpoolBytes {
    private let bytes: [UInt8]
    private var position = 0
    private var isIntact = true

    init(_ bytes: [UInt8]) { self.bytes = bytes }

    /// Everything was read, and nothing was missing.
    var isWhole: Bool { isIntact && position == bytes.count }

    static func append(_ id: Identifier128, to output: inout ByteBuffer) {
        output.append(integer: id.high)
        output.append(integer: id.low)
    }

    static func append(_ use: QuotaUse, to output: inout ByteBuffer) {
        output.append(integer: UInt32(use.inputTokens))
        output.append(integer: UInt32(use.outputTokens))
        output.append(integer: use.microUSD)
    }

    static func append(_ name: String, to output: inout ByteBuffer) {
        let bytes = name.utf8.prefix(255)
        output.append(UInt8(bytes.count))
        if bytes.count == name.utf8.count { output.append(name) } else { output.append(Array(bytes)) }
    }

    static func append(_ tenant: Tenant, to output: inout ByteBuffer) {
        for name in [tenant.org, tenant.team, tenant.key, tenant.feature] { append(name, to: &output) }
    }

    static func append(_ limits: LimitSet, to output: inout ByteBuffer) {
        output.append(integer: limits.version)
        output.append(UInt8(limits.limits.count))
        for limit in limits.limits {
            output.append(limit.scope.rawValue)
            output.append(limit.unit.rawValue)
            output.append(limit.algorithm.rawValue)
            output.append(UInt8(limit.isSoft ? 1 : 0))
            output.append(integer: limit.amount)
            output.append(integer: limit.burst)
            let period: Int64 = if case .microseconds(let length) = limit.period { length } else { 0 }
            output.append(integer: period)
        }
    }

    static func append(
        _ attempts: [LedgerEntry], id: Identifier128, _ tenant: Tenant, to output: inout ByteBuffer
    ) {
        output.append(UInt8(attempts.count))
        for entry in attempts {
            let start = output.count
            output.append(integer: UInt16(0))
            LedgerBytes.append(entry, id: id, tenant: tenant, to: &output)
            output.overwrite(at: start, with: UInt16(output.count - start - 2))
        }
    }

    mutating func byte() -> UInt8 {
        guard position < bytes.count else {
            isIntact = false
            return 0
        }
        defer { position += 1 }
        return bytes[position]
    }

    mutating func number<T: FixedWidthInteger>(_ type: T.Type) -> T {
        var value: T = 0
        for _ in 0..<T.bitWidth / 8 { value = value << 8 | T(truncatingIfNeeded: byte()) }
        return value
    }

    mutating func integer() -> Int64 { number(Int64.self) }

    mutating func identifier() -> Identifier128 {
        let high = number(UInt64.self)
        return Identifier128(high: high, low: number(UInt64.self))
    }

    mutating func use() -> QuotaUse {
        let (input, output) = (number(UInt32.self), number(UInt32.self))
        return QuotaUse(inputTokens: Int64(input), outputTokens: Int64(output), microUSD: number(Int64.self))
    }

    mutating func text() -> String {
        let length = Int(byte())
        return String(decoding: (0..<length).map { _ in byte() }, as: UTF8.self)
    }

    mutating func tenant() -> Tenant {
        let (org, team, key) = (text(), text(), text())
        return Tenant(org: org, team: team, key: key, feature: text())
    }

    mutating func limits() -> LimitSet? {
        let version = number(UInt64.self)
        var limits: [Limit] = []
        for _ in 0..<byte() {
            let (scope, unit, algorithm) = (byte(), byte(), byte())
            let isSoft = byte() == 1
            let (amount, burst, period) = (integer(), integer(), integer())
            guard let scope = LimitScope(rawValue: scope), let unit = LimitUnit(rawValue: unit),
                let algorithm = LimitAlgorithm(rawValue: algorithm),
                let limit = try? Limit(
                    scope: scope, unit: unit, amount: amount,
                    period: period == 0 ? .calendarMonth : .microseconds(period), algorithm: algorithm, burst: burst,
                    isSoft: isSoft)
            else { return nil }
            limits.append(limit)
        }
        return try? LimitSet(version: version, limits: limits)
    }

    mutating func attempts(of org: String) -> [LedgerEntry] {
        var attempts: [LedgerEntry] = []
        for _ in 0..<min(Int(byte()), SettleCall.maximumAttempts) {
            let length = Int(number(UInt16.self))
            let content = (0..<length).map { _ in byte() }
            // Without its time, which Redis puts in front.
            guard let record = LedgerBytes.record([UInt8](repeating: 0, count: 7) + content, org: org) else {
                isIntact = false
                return attempts
            }
            attempts.append(record.entry)
        }
        return attempts
    }
}
