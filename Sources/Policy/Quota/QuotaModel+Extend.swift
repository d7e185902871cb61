// A reservation grows while its request runs: the same check as at its start, for what is added.

import Core

extension QuotaModel {
    /// May this request use more? See `Sources/Store/Scripts/reserve.lua`.
    public mutating func extend(_ call: ExtendCall, at now: Int64) -> ExtendReply {
        let key = RecordKey(call.tenant, call.id)
        guard let record = record(key, at: now), record.state != .released else {
            return .unknown(atMicroseconds: now)
        }
        guard record.state == .reserved else { return .settled(record.shown(at: now)) }
        guard record.claim == call.claim else { return .unknown(atMicroseconds: now) }
        let use = call.estimate.raised(to: record.use)
        var changed: [(AccountKey, Account)] = []
        var worst: (index: Int, wait: Int64, left: Int64)?
        for group in call.limits.layout.groups {
            let place = AccountKey(tenant: call.tenant, scope: group.scope)
            var account = open(place, for: group, of: call.limits, at: now) {
                use.amount(of: $0, requests: 1) > record.use.amount(of: $0, requests: 1)
            }
            var hasChanged = false
            for index in group.range {
                let rule = call.limits.layout.rules[index]
                let old = record.use.amount(of: rule.unit, requests: 1)
                let cost = use.amount(of: rule.unit, requests: 1) - old
                guard cost > 0 else { continue }
                let field = call.limits.limits[index].field
                let window = account.counters[field]?.start
                let verdict = account.charge(
                    rule, field: field, cost: cost, id: call.id, known: (old, record.reservedAt), at: now)
                // A budget whose window stands has nothing to write, and then it is not kept how far was swept.
                if rule.kind != .budget || account.counters[field]?.start != window { hasChanged = true }
                if let wait = verdict.wait, wait > (worst?.wait ?? -1) {
                    worst = (index, wait, rule.remaining(max(0, verdict.left)))
                }
            }
            if group.isHeld {
                let added = use.microUSD - record.use.microUSD
                if record.holders.contains(group.scope), account.raiseHold(by: added, in: record.bucket) {
                    hasChanged = true
                }
                account.till = max(account.till, record.bucket * times.bucketMicroseconds)
            }
            if hasChanged { changed.append((place, account)) }
        }
        if let worst {
            return .denied(
                QuotaDenial(
                    atMicroseconds: now, index: worst.index, limit: call.limits.limits[worst.index],
                    remaining: worst.left, retry: QuotaRetry(wait: worst.wait)))
        }
        for (place, account) in changed { accounts[place] = account.extendingLife() }
        records[key] = Record(
            state: .reserved, claim: record.claim, reservedAt: record.reservedAt, use: use, bucket: record.bucket,
            holders: record.holders, expires: now / 1000 + times.recordMilliseconds)
        return .granted(atMicroseconds: now)
    }
}

extension QuotaUse {
    /// The larger of each amount: a reservation never shrinks before it is settled.
    public func raised(to other: QuotaUse) -> QuotaUse {
        QuotaUse(
            inputTokens: max(inputTokens, other.inputTokens), outputTokens: max(outputTokens, other.outputTokens),
            microUSD: max(microUSD, other.microUSD))
    }
}
