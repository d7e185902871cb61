// The quota scripts in pure Swift: their specification. The same calls at the same times give the same replies.

import Core

/// What reserve and settle mean. Store's Lua scripts take the same steps; tests send the same operations to both.
///
/// It takes the time from its caller: in a test, the time that the script's reply reports.
public struct QuotaModel: Sendable {
    /// How holds are rounded and how long ids are remembered.
    public let times: QuotaTimes
    /// Requests whose hold expired without a settlement, over all scopes.
    public private(set) var lost: Int64 = 0

    var records: [RecordKey: Record] = [:]
    var accounts: [AccountKey: Account] = [:]
    var ledgers: [String: Ledger] = [:]

    /// A state in which nothing was ever used.
    public init(times: QuotaTimes = .standard) { self.times = times }

    /// May this request run? See `Sources/Store/Scripts/reserve.lua`.
    public mutating func reserve(_ call: ReserveCall, at now: Int64) -> ReserveReply {
        let key = RecordKey(call.tenant, call.id)
        if let record = record(key, at: now), record.state != .released || record.claim == call.claim {
            return record.state == .reserved ? .repeated(record.shown(at: now)) : .duplicate(record.shown(at: now))
        }
        let bucket = times.bucket(now: now, holdMilliseconds: call.holdMilliseconds)
        var changed: [(AccountKey, Account)] = []
        var remaining: [Int64] = []
        var worst: (index: Int, wait: Int64, left: Int64)?
        var holders: Set<LimitScope> = []
        for group in call.limits.layout.groups {
            let place = AccountKey(tenant: call.tenant, scope: group.scope)
            var account = open(place, for: group, of: call.limits, at: now)
            for index in group.range {
                let rule = call.limits.layout.rules[index]
                let field = call.limits.limits[index].field
                let cost = call.estimate.amount(of: rule.unit, requests: call.requests)
                let verdict = account.charge(
                    rule, field: field, cost: cost, id: call.id, isBlock: call.isBlock, at: now)
                remaining.append(rule.remaining(max(0, verdict.left)))
                if let wait = verdict.wait, wait > (worst?.wait ?? -1) {
                    worst = (index, wait, rule.remaining(max(0, verdict.left)))
                }
            }
            if group.isHeld {
                account.hold(call.estimate.microUSD, requests: call.requests, in: bucket)
                account.till = max(account.till, bucket * times.bucketMicroseconds)
                holders.insert(group.scope)
            }
            changed.append((place, account))
        }
        if let worst {
            return .denied(
                QuotaDenial(
                    atMicroseconds: now, index: worst.index, limit: call.limits.limits[worst.index],
                    remaining: worst.left, retry: QuotaRetry(wait: worst.wait)))
        }
        for (place, account) in changed { accounts[place] = account.extendingLife() }
        records[key] = Record(
            state: .reserved, claim: call.claim, reservedAt: now, use: call.estimate, bucket: bucket, holders: holders,
            expires: now / 1000 + times.recordMilliseconds, block: call.isBlock ? (call.requests, 0) : nil)
        return .granted(QuotaGrant(atMicroseconds: now, remaining: remaining))
    }

    /// Ends a reservation with what was really used. See `Sources/Store/Scripts/settle.lua`.
    public mutating func settle(_ call: SettleCall, at now: Int64) -> SettleReply {
        var key = RecordKey(call.tenant, call.id)
        var found = record(key, at: now)
        if let other = found, other.claim != call.claim {
            switch (other.state, call.ending) {
            case (.released, _): found = nil
            case (_, .ran):
                // It ran beside the other, which keeps its own reservation.
                key.claim = call.claim
                found = record(key, at: now)
            case (_, .released), (_, .failed), (_, .onBlock): return .repeated(other.shown(at: now))
            }
        }
        if let found, found.state != .reserved { return .repeated(found.shown(at: now)) }
        let real = Real(use: call.use, requests: call.ending.countsRequest ? 1 : 0)
        let isLate = end(
            found, requests: 1, covers: found?.use ?? .none, real, of: call.id, call.tenant, call.limits, at: now)
        let record = Record(
            state: call.ending.leavesIDFree ? .released : .settled, claim: call.claim,
            reservedAt: found?.reservedAt ?? now, use: call.use, bucket: 0, holders: [],
            expires: now / 1000 + times.recordMilliseconds)
        records[key] = record
        book(call.attempts, of: call.id, call.tenant, at: now)
        guard found != nil else { return .unknown(record.shown(at: now)) }
        return isLate ? .late(record.shown(at: now)) : .settled(record.shown(at: now))
    }

    /// What really happened.
    struct Real {
        let use: QuotaUse
        let requests: Int64
        var isPart = false
    }

    /// Replaces `covers` of a reservation by what really happened; true when its hold had expired before.
    mutating func end(
        _ found: Record?, requests: Int64, covers: QuotaUse, _ real: Real, of id: Identifier128, _ tenant: Tenant,
        _ limits: LimitSet, at now: Int64
    ) -> Bool {
        var isLate = false
        for group in limits.layout.groups {
            let place = AccountKey(tenant: tenant, scope: group.scope)
            var account = openAccount(place, at: now)
            if let found, found.holders.contains(group.scope) {
                if !account.release(covers.microUSD, requests: requests, from: found.bucket) { isLate = true }
            }
            for index in group.range {
                let rule = limits.layout.rules[index]
                let field = limits.limits[index].field
                let new = real.use.amount(of: rule.unit, requests: real.requests)
                if rule.kind == .budget {
                    account.spend(rule, field: field, amount: new, at: now)
                } else if let found {
                    let old = covers.amount(of: rule.unit, requests: requests)
                    let step = Correction(
                        id: id, reservedAt: found.reservedAt, old: old, new: new, isPart: real.isPart)
                    if old != new { account.correct(rule, field: field, by: step, at: now) }
                }
            }
            accounts[place] = account.extendingLife()
        }
        return isLate
    }

    /// Requests under way that a scope counts at present, as last swept.
    public func held(by tenant: Tenant, scope: LimitScope) -> (requests: Int64, microUSD: Int64) {
        guard let account = accounts[AccountKey(tenant: tenant, scope: scope)] else { return (0, 0) }
        return (account.requestsHeld, account.moneyHeld)
    }

    /// A scope's account with what had expired cleared, which is true whatever is decided; of logs, those that the call costs something.
    mutating func open(
        _ place: AccountKey, for group: LimitLayout.Group, of limits: LimitSet, at now: Int64,
        costs: (LimitUnit) -> Bool = { _ in true }
    ) -> Account {
        var account = openAccount(place, at: now)
        var kept = account.swept
        if group.isHeld {
            let today = now / times.bucketMicroseconds
            let cleared = account.sweep(today: today)
            lost += cleared
            // Looking through empty buckets is not worth a write of its own; a grant stores how far it came.
            if cleared > 0 || account.swept != today { kept = account.swept }
        }
        for index in group.range where limits.layout.rules[index].kind == .log && costs(limits.limits[index].unit) {
            let field = limits.limits[index].field
            account.expire(log: field, at: now)
            account.clear(log: field, before: now - limits.layout.rules[index].numbers.b)
        }
        accounts[place] = account
        accounts[place]?.swept = kept
        return account
    }

    func record(_ key: RecordKey, at now: Int64) -> Record? {
        guard let record = records[key], record.expires > now / 1000 else { return nil }
        return record
    }

    func openAccount(_ key: AccountKey, at now: Int64) -> Account {
        guard var account = accounts[key], account.expires == 0 || account.expires > now / 1000 else {
            return Account()
        }
        account.till = 0
        return account
    }
}

extension LimitLayout.Group {
    /// Some of its limits are held back by running requests.
    public var isHeld: Bool { holdsRequests || holdsMoney }
}

extension QuotaRetry {
    /// The number that stands for "never" in a reply: 2⁵².
    public static let neverNumber: Int64 = 1 << 52

    /// The meaning of the number in a reply: µs to wait, 0 for a release, 2⁵² for never.
    public init(wait: Int64) {
        switch wait {
        case 0: self = .whenReleased
        case Self.neverNumber...: self = .never
        default: self = .after(microseconds: wait)
        }
    }
}
