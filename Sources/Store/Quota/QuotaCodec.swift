// Reserve and settle as the arguments of their scripts, and the scripts' replies as typed answers. Headers: Scripts/*.lua.

import Core
import Policy

/// Writes calls and reads replies. Keeps one scratch buffer, and the unchanging arguments of each set of limits.
struct QuotaCodec: ~Copyable {
    private var scratch = ByteBuffer()
    /// What does not change from call to call, by the identity of the layout, which is kept alive with it.
    private var plans: [ObjectIdentifier: Plan] = [:]
    /// Sets of limits that are remembered: at about 800 B each, 7 MiB at most. Beyond, all are forgotten and made again.
    private static let planLimit = 8192
    /// The plan of the last call: mostly that of the next one.
    private var latest: Plan?
    /// The last place in the sums, and its command part: requests of one key mostly go to the same.
    private var place: (place: UsagePlace, part: [UInt8])?
    /// What stands behind the value when an id is remembered.
    private let rememberTail: [UInt8]

    /// The unchanging command parts of one set of limits.
    fileprivate final class Plan {
        let layout: LimitLayout
        /// The tenant of the last call with these limits: almost always the same, since limits are made for one key.
        let tenant: Tenant
        /// With all limits, and with those that the end of one request can change.
        let whole: Form
        let end: Form
        /// The keys of the ledger.
        let ledgerKeys: [UInt8]
        /// The beginning of the command that remembers an id, up to the id.
        let remember: [UInt8]

        init(_ layout: LimitLayout, _ tenant: Tenant, like other: Plan? = nil) {
            self.layout = layout
            self.tenant = tenant
            whole = Form(
                layout, layout.logs, tenant,
                other?.whole.arguments ?? Form.arguments(layout.plan, layout.groups.flatMap(\.fields)),
                count: 1 + layout.fieldCount)
            end = Form(
                layout, layout.end.logs, tenant,
                other?.end.arguments ?? Form.arguments(layout.end.plan, layout.end.fields),
                count: 1 + layout.end.fields.count)
            ledgerKeys = Plan.ledgerKeys(of: tenant)
            remember = Plan.remember(tenant)
        }

        /// True when the keys are those of `other`; its feature counts only where a limit looks at it.
        func hasKeys(of other: Tenant) -> Bool {
            tenant.org == other.org && tenant.team == other.team && tenant.key == other.key
                && (tenant.feature == other.feature || !layout.groups.contains { $0.scope == .feature })
        }
    }

    /// The parts of a command that name keys, plan and fields.
    fileprivate struct Form {
        let keyCount: Int
        /// The number of keys, and the record's key as far as it is the tenant's.
        let record: [UInt8]
        /// The same for a settlement with a ledger entry, which has two keys more.
        let ledgerRecord: [UInt8]
        /// The end of that key, and the keys of the tenant's counters and logs.
        let keys: [UInt8]
        /// Plan and field names, and how many they are.
        let arguments: [UInt8]
        let argumentCount: Int
    }

    let times: QuotaTimes
    let retention: LedgerRetention

    init(times: QuotaTimes, retention: LedgerRetention) {
        self.times = times
        self.retention = retention
        var tail = ByteBuffer()
        tail.append(literal: "\r\n")
        RedisWriter.part(literal: "NX", in: &tail)
        RedisWriter.part(literal: "PX", in: &tail)
        RedisWriter.part(decimal: Int(times.recordMilliseconds), in: &tail)
        rememberTail = tail.array()
    }

    /// The command that reserves; `name` is the script's digest with EVALSHA, or its source with EVAL.
    mutating func write(_ call: ReserveCall, script: ScriptName, into output: inout ByteBuffer) {
        let head = Head(
            use: call.estimate, times: (call.holdMilliseconds * 1000, times.bucketMicroseconds), mark: nil,
            tail: call.isBlock ? [call.requests] : [])
        write(
            head, id: call.id, claim: call.claim, tenant: call.tenant, limits: call.limits, script: script,
            into: &output)
    }

    /// The command that extends: the script that reserves, told so by one byte more.
    mutating func write(_ call: ExtendCall, script: ScriptName, into output: inout ByteBuffer) {
        let head = Head(use: call.estimate, times: (0, times.bucketMicroseconds), mark: 1)
        write(
            head, id: call.id, claim: call.claim, tenant: call.tenant, limits: call.limits, script: script,
            into: &output)
    }

    /// The command that settles.
    mutating func write(_ call: SettleCall, script: ScriptName, into output: inout ByteBuffer) {
        let head = Head(
            use: call.use, times: (retention.records.milliseconds, retention.maximumRecords),
            mark: call.ending.rawValue, rollups: retention.rollups.milliseconds, endsOne: call.ending.countsRequest)
        write(
            head, id: call.id, claim: call.claim, tenant: call.tenant, limits: call.limits,
            further: 2 * call.attempts.count, script: script, into: &output)
        write(call.attempts, id: call.id, tenant: call.tenant, into: &output)
    }

    /// The command that ends a part of a block.
    mutating func write(_ call: PartCall, script: ScriptName, into output: inout ByteBuffer) {
        let head = Head(
            use: call.use, times: (retention.records.milliseconds, retention.maximumRecords), mark: 0,
            rollups: retention.rollups.milliseconds,
            tail: [
                call.number, Int64(call.uses.count), call.requests, call.covers.inputTokens, call.covers.outputTokens,
                call.covers.microUSD, call.isLast ? 1 : 0, Int64(call.uses.count),
            ])
        let attempts = call.uses.reduce(0) { $0 + $1.attempts.count }
        write(
            head, id: call.id, claim: 0, tenant: call.tenant, limits: call.limits,
            further: call.uses.count + 2 * attempts, script: script, into: &output)
        for use in call.uses {
            KeySchema.appendRecord(use.id, to: &scratch)
            scratch.append(lowest: 3, of: use.use.inputTokens)
            scratch.append(lowest: 3, of: use.use.outputTokens)
            scratch.append(lowest: 6, of: use.use.microUSD)
            flushPart(into: &output)
        }
        for use in call.uses where !use.attempts.isEmpty {
            var tenant = call.tenant
            if tenant.feature != use.feature {
                tenant = Tenant(org: tenant.org, team: tenant.team, key: tenant.key, feature: use.feature)
            }
            write(use.attempts, id: use.id, tenant: tenant, into: &output)
        }
    }

    /// The key under which a request is remembered.
    static func recordKey(of id: Identifier128, _ tenant: Tenant) -> [UInt8] {
        var key = ByteBuffer()
        KeySchema.appendRecordPrefix(of: tenant, to: &key)
        KeySchema.appendRecord(id, to: &key)
        return key.array()
    }

    /// The command that remembers a request which runs on a block, as reserve.lua remembers one that is reserved by itself:
    /// but it holds nothing of its own.
    mutating func remembering(_ call: ReserveCall, grantedAt: Int64) -> RedisCommand {
        let use = call.estimate
        scratch.append(plan(of: call.limits.layout, call.tenant).remember)
        KeySchema.appendRecord(call.id, to: &scratch)
        // One byte for its kind, its four numbers, its claim; the others are zero.
        scratch.append(literal: "\r\n$31\r\nR")
        scratch.append(lowest: 7, of: grantedAt)
        scratch.append(lowest: 3, of: use.inputTokens)
        scratch.append(lowest: 3, of: use.outputTokens)
        scratch.append(lowest: 6, of: use.microUSD)
        scratch.append(integer: call.claim)
        scratch.append(lowest: 7, of: 0)
        scratch.append(rememberTail)
        defer { scratch.removeAll() }
        return RedisCommand(ready: scratch.array())
    }

    /// Ledger records, each with its place in the sums.
    private mutating func write(
        _ attempts: [LedgerEntry], id: Identifier128, tenant: Tenant, into output: inout ByteBuffer
    ) {
        // By place: a loop over the elements would copy each.
        for number in attempts.indices {
            LedgerBytes.append(attempts[number], id: id, tenant: tenant, to: &scratch)
            flushPart(into: &output)
            if let place, place.place.isPlace(of: attempts[number], tenant) {
                output.append(place.part)
            } else {
                let place = UsagePlace(attempts[number], of: tenant)
                KeySchema.appendPlace(place, to: &scratch)
                var part = ByteBuffer()
                flushPart(into: &part)
                output.append(part.bytes)
                self.place = (place, part.array())
            }
        }
    }

    private struct Head {
        let use: QuotaUse
        /// Hold and bucket width in µs; when it settles, how long (ms) and how many ledger records are kept.
        let times: (Int64, Int64)
        /// The last byte of the head: how it ended when it settles, 1 when it extends, absent when it reserves.
        let mark: UInt8?
        /// When it settles: how long sums are kept, in ms.
        var rollups: Int64?
        /// It settles one request that counts as one.
        var endsOne = false
        /// What a block and its parts say further.
        var tail: [Int64] = []
    }

    private mutating func write(
        _ head: Head, id: Identifier128, claim: UInt32, tenant: Tenant, limits: LimitSet, further: Int = 0,
        script: ScriptName, into output: inout ByteBuffer
    ) {
        let layout = limits.layout
        let plan = plan(of: layout, tenant)
        let form = head.endsOne ? plan.end : plan.whole
        let hasLedger = further > 0
        let parts = 4 + form.keyCount + form.argumentCount + (hasLedger ? 2 + further : 0)
        RedisWriter.begin(parts, in: &output)
        script.write(into: &output)
        output.append(hasLedger ? form.ledgerRecord : form.record)
        KeySchema.appendRecord(id, to: &output)
        output.append(form.keys)
        if hasLedger { output.append(plan.ledgerKeys) }
        append(head.use.inputTokens)
        append(head.use.outputTokens)
        append(head.use.microUSD)
        append(head.times.0)
        append(head.times.1)
        append(times.recordMilliseconds)
        scratch.append(UInt8(layout.groups.count))
        scratch.append(integer: id.high)
        scratch.append(integer: id.low)
        scratch.append(integer: claim)
        if let mark = head.mark { scratch.append(mark) }
        if let rollups = head.rollups { append(rollups) }
        for number in head.tail { append(number) }
        flushPart(into: &output)
        output.append(form.arguments)
    }

    private mutating func flushPart(into output: inout ByteBuffer) {
        RedisWriter.part(scratch.bytes, in: &output)
        scratch.removeAll()
    }

    /// A little-endian double; every number of a call is far below 2⁵³.
    private mutating func append(_ value: Int64) {
        scratch.append(integer: Double(value).bitPattern.byteSwapped)
    }

    private mutating func plan(of layout: LimitLayout, _ tenant: Tenant) -> Plan {
        if let latest, latest.layout === layout, latest.hasKeys(of: tenant) { return latest }
        let plan = otherPlan(of: layout, tenant)
        latest = plan
        return plan
    }

    private mutating func otherPlan(of layout: LimitLayout, _ tenant: Tenant) -> Plan {
        let identity = ObjectIdentifier(layout)
        if let known = plans[identity] {
            if known.hasKeys(of: tenant) { return known }
            let fresh = Plan(layout, tenant, like: known)
            plans[identity] = fresh
            return fresh
        }
        let fresh = Plan(layout, tenant)
        if plans.count >= Self.planLimit { plans.removeAll(keepingCapacity: true) }
        plans[identity] = fresh
        return fresh
    }
}

extension QuotaCodec.Plan {
    fileprivate static func remember(_ tenant: Tenant) -> [UInt8] {
        var name = ByteBuffer()
        KeySchema.appendRecordPrefix(of: tenant, to: &name)
        var text = ByteBuffer()
        RedisWriter.begin(6, in: &text)
        RedisWriter.part(literal: "SET", in: &text)
        RedisWriter.beginPart(name.count + KeySchema.recordDigits, in: &text)
        text.append(name.bytes)
        return text.array()
    }

    fileprivate static func ledgerKeys(of tenant: Tenant) -> [UInt8] {
        var keys = ByteBuffer()
        var name = ByteBuffer()
        KeySchema.appendLedger(of: tenant.org, to: &name)
        RedisWriter.part(name.bytes, in: &keys)
        name.removeAll()
        KeySchema.appendRollups(of: tenant.org, to: &name)
        RedisWriter.part(name.bytes, in: &keys)
        return keys.array()
    }

}

extension QuotaCodec.Form {
    fileprivate init(
        _ layout: LimitLayout, _ logs: [(scope: LimitScope, field: String)], _ tenant: Tenant, _ arguments: [UInt8],
        count: Int
    ) {
        keyCount = 1 + layout.groups.count + logs.count
        record = Self.record(of: tenant, keyCount)
        ledgerRecord = Self.record(of: tenant, keyCount + 2)
        keys = Self.keys(of: layout, logs, tenant)
        self.arguments = arguments
        argumentCount = count
    }

    fileprivate static func arguments(_ plan: [UInt8], _ fields: [String]) -> [UInt8] {
        var arguments = ByteBuffer()
        RedisWriter.part(plan, in: &arguments)
        for field in fields { RedisWriter.part(Array(field.utf8), in: &arguments) }
        return arguments.array()
    }

    private static func record(of tenant: Tenant, _ keyCount: Int) -> [UInt8] {
        var name = ByteBuffer()
        KeySchema.appendRecordPrefix(of: tenant, to: &name)
        var text = ByteBuffer()
        RedisWriter.part(decimal: keyCount, in: &text)
        RedisWriter.beginPart(name.count + KeySchema.recordDigits, in: &text)
        text.append(name.bytes)
        return text.array()
    }

    private static func keys(
        of layout: LimitLayout, _ logs: [(scope: LimitScope, field: String)], _ tenant: Tenant
    ) -> [UInt8] {
        var keys = ByteBuffer()
        keys.append(literal: "\r\n")
        var name = ByteBuffer()
        for group in layout.groups {
            KeySchema.appendScope(group.scope, of: tenant, to: &name)
            RedisWriter.part(name.bytes, in: &keys)
            name.removeAll()
        }
        for log in logs {
            KeySchema.appendLog(log.field, scope: log.scope, of: tenant, to: &name)
            RedisWriter.part(name.bytes, in: &keys)
            name.removeAll()
        }
        return keys.array()
    }
}

/// How a script is named in a command.
struct ScriptName {
    let script: RedisScript
    /// The digest that SCRIPT LOAD gave, as a whole command part; nil: send the source.
    let digest: [UInt8]?

    func write(into output: inout ByteBuffer) {
        if let digest {
            RedisWriter.part(literal: "EVALSHA", in: &output)
            output.append(digest)
        } else {
            RedisWriter.part(literal: "EVAL", in: &output)
            RedisWriter.part(script.source, in: &output)
        }
    }
}

/// Reads the packed replies of the quota scripts.
struct QuotaReplyReader {
    private let bytes: [UInt8]
    private var position = 1

    /// The first byte says what kind of reply it is.
    let code: UInt8

    init(_ reply: RedisReply) throws(StoreError) {
        guard case .bytes(let bytes) = reply, let code = bytes.first else { throw Self.misfit(reply) }
        self.bytes = bytes
        self.code = code
    }

    static func reserve(_ reply: RedisReply, of call: ReserveCall) throws(StoreError) -> ReserveReply {
        var reader = try QuotaReplyReader(reply)
        let rules = call.limits.layout.rules
        switch reader.code {
        case UInt8(ascii: "G"):
            guard reader.bytes.count == 9 + 8 * rules.count else { throw misfit(reply) }
            let now = reader.double()
            var remaining: [Int64] = []
            remaining.reserveCapacity(rules.count)
            for rule in rules { remaining.append(rule.remaining(reader.double())) }
            return .granted(QuotaGrant(atMicroseconds: now, remaining: remaining))
        case UInt8(ascii: "D"): return .denied(try reader.denial(reply, call.limits))
        case UInt8(ascii: "R"), UInt8(ascii: "B"): return .repeated(try reader.record())
        case UInt8(ascii: "S"), UInt8(ascii: "C"): return .duplicate(try reader.record())
        default: throw misfit(reply)
        }
    }

    static func extend(_ reply: RedisReply, of call: ExtendCall) throws(StoreError) -> ExtendReply {
        var reader = try QuotaReplyReader(reply)
        switch (reader.code, reader.bytes.count) {
        case (UInt8(ascii: "G"), 9): return .granted(atMicroseconds: reader.double())
        case (UInt8(ascii: "U"), 9): return .unknown(atMicroseconds: reader.double())
        case (UInt8(ascii: "D"), _): return .denied(try reader.denial(reply, call.limits))
        case (UInt8(ascii: "S"), _): return .settled(try reader.record())
        default: throw misfit(reply)
        }
    }

    private mutating func denial(_ reply: RedisReply, _ limits: LimitSet) throws(StoreError) -> QuotaDenial {
        guard bytes.count == 26, bytes[25] < limits.limits.count else { throw Self.misfit(reply) }
        let (now, left, wait) = (double(), double(), double())
        let index = Int(bytes[25])
        return QuotaDenial(
            atMicroseconds: now, index: index, limit: limits.limits[index],
            remaining: limits.layout.rules[index].remaining(left), retry: QuotaRetry(wait: wait))
    }

    static func peek(_ reply: RedisReply, of call: ReserveCall) throws(StoreError) -> QuotaPeek {
        var reader = try QuotaReplyReader(reply)
        let rules = call.limits.layout.rules
        guard reader.code == UInt8(ascii: "P"), reader.bytes.count == 9 + 17 * rules.count else { throw misfit(reply) }
        let now = reader.double()
        var standings: [QuotaPeek.Standing] = []
        for rule in rules {
            let hasRoom = reader.integer(1) == 1
            let (left, wait) = (reader.double(), reader.double())
            let retry = hasRoom ? nil : QuotaRetry(wait: wait)
            standings.append(QuotaPeek.Standing(remaining: rule.remaining(left), retry: retry))
        }
        return QuotaPeek(atMicroseconds: now, standings: standings)
    }

    static func settle(_ reply: RedisReply) throws(StoreError) -> SettleReply {
        var reader = try QuotaReplyReader(reply)
        switch reader.code {
        case UInt8(ascii: "S"): return .settled(try reader.record())
        case UInt8(ascii: "L"): return .late(try reader.record())
        case UInt8(ascii: "R"): return .repeated(try reader.record())
        case UInt8(ascii: "U"): return .unknown(try reader.record())
        default: throw misfit(reply)
        }
    }

    /// The settlement that is kept under an id; nil for a reservation, and for what is neither. Its time of answer is not known: 0.
    static func settlement(_ record: [UInt8]) -> QuotaRecord? {
        guard record.count == 24, record[0] == UInt8(ascii: "S"),
            var reader = try? QuotaReplyReader(.bytes(record))
        else { return nil }
        let reserved = reader.integer(7)
        let (input, output, money) = (reader.integer(3), reader.integer(3), reader.integer(6))
        return QuotaRecord(
            atMicroseconds: 0, reservedAtMicroseconds: reserved,
            use: QuotaUse(inputTokens: input, outputTokens: output, microUSD: money))
    }

    private static func misfit(_ reply: RedisReply) -> StoreError {
        .unexpectedReply("a quota script replied \(reply.shape)")
    }

    private mutating func integer(_ count: Int) -> Int64 {
        var value: Int64 = 0
        for _ in 0..<count {
            value = value << 8 | Int64(bytes[position])
            position += 1
        }
        return value
    }

    /// A little-endian double that holds an integer in 0..<2⁵³, taken apart by hand; anything else becomes 0.
    private mutating func double() -> Int64 {
        var bits: UInt64 = 0
        for index in 0..<8 { bits |= UInt64(bytes[position + index]) << UInt64(8 * index) }
        position += 8
        let fraction = 1075 - Int64(bits >> 52)  // bits of the significand behind the point; the sign must be 0
        guard (0...52).contains(fraction) else { return 0 }
        return (Int64(bits & (1 << 52 - 1)) | 1 << 52) >> fraction
    }

    private mutating func record() throws(StoreError) -> QuotaRecord {
        guard bytes.count == 28 else { throw .unexpectedReply("a quota record of \(bytes.count) bytes") }
        let now = double()
        let reserved = integer(7)
        let (input, output, money) = (integer(3), integer(3), integer(6))
        return QuotaRecord(
            atMicroseconds: now, reservedAtMicroseconds: reserved,
            use: QuotaUse(inputTokens: input, outputTokens: output, microUSD: money))
    }
}
