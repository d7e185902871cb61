// Blocks in the model: parts of them end as settle.lua says.
import Core

extension QuotaModel {
    /// Ends a part of a block. See `Sources/Store/Scripts/settle.lua`.
    public mutating func settle(_ call: PartCall, at now: Int64) -> SettleReply {
        let key = RecordKey(call.tenant, call.id)
        let found = record(key, at: now)
        let left = found?.block ?? (0, 0)
        if let found, found.state != .reserved || call.number <= left.part { return .repeated(found.shown(at: now)) }
        let rest = found?.use ?? .none
        // With its last request all of its estimate ends: money without a request would be held by nobody.
        let isAll = call.isLast || call.requests >= left.requests
        let covers = isAll ? rest : call.covers.lowered(to: rest)
        let requests = isAll ? left.requests : call.requests
        let real = Real(use: call.use, requests: Int64(call.uses.count), isPart: true)
        let isLate = end(
            found, requests: requests, covers: covers, real, of: call.id, call.tenant, call.limits, at: now)
        let reservedAt = found?.reservedAt ?? now
        func kept(_ use: QuotaUse, _ state: Record.State, block: (Int64, Int64)?) -> Record {
            Record(
                state: state, claim: 0, reservedAt: reservedAt, use: use, bucket: found?.bucket ?? 0,
                holders: found?.holders ?? [], expires: now / 1000 + times.recordMilliseconds, block: block)
        }
        records[key] =
            call.isLast
            ? kept(call.use, .settled, block: nil)
            : kept(rest - covers, .reserved, block: (left.requests - requests, call.number))
        for use in call.uses {
            records[RecordKey(call.tenant, use.id)] = Record(
                state: .settled, claim: 0, reservedAt: reservedAt, use: use.use, bucket: 0, holders: [],
                expires: now / 1000 + times.recordMilliseconds)
            let tenant = Tenant(
                org: call.tenant.org, team: call.tenant.team, key: call.tenant.key, feature: use.feature)
            book(use.attempts, of: use.id, tenant, at: now)
        }
        let shown = QuotaRecord(atMicroseconds: now, reservedAtMicroseconds: reservedAt, use: call.use)
        guard found != nil else { return .unknown(shown) }
        return isLate ? .late(shown) : .settled(shown)
    }
}
