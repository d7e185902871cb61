// The counters of one scope in the model: what the hash (and the logs) of a scope hold in Redis.

import Core

extension QuotaModel {
    struct RecordKey: Hashable, Sendable {
        let org: String
        /// Clients choose ids, so each API key has its own.
        let key: String
        let id: Identifier128
        /// Of a try that ran beside another of its id.
        var claim: UInt32?

        init(_ tenant: Tenant, _ id: Identifier128) { (org, key, self.id) = (tenant.org, tenant.key, id) }
    }

    struct Record: Sendable {
        /// What became of the try that the record speaks of.
        enum State: Sendable {
            case reserved
            case settled
            /// Nothing came of it, and another try may reserve the id.
            case released
        }

        let state: State
        let claim: UInt32
        let reservedAt: Int64
        let use: QuotaUse
        let bucket: Int64
        let holders: Set<LimitScope>
        let expires: Int64
        /// Of a block: requests left, and the number of its last part.
        var block: (requests: Int64, part: Int64)?

        func shown(at now: Int64) -> QuotaRecord {
            QuotaRecord(atMicroseconds: now, reservedAtMicroseconds: reservedAt, use: use)
        }
    }

    struct AccountKey: Hashable, Sendable {
        let path: [String]

        init(tenant: Tenant, scope: LimitScope) {
            switch scope {
            case .org: path = [tenant.org]
            case .team: path = [tenant.org, "t", tenant.team]
            case .key: path = [tenant.org, "k", tenant.key]
            case .feature: path = [tenant.org, "f", tenant.team, tenant.feature]
            }
        }
    }

    struct LogEntry: Hashable, Sendable {
        let at: Int64
        let id: Identifier128
        let weight: Int64

        /// The order of a sorted set: by score, then by the bytes of the member.
        func precedes(_ other: LogEntry) -> Bool {
            (at, id.high, id.low, weight) < (other.at, other.id.high, other.id.low, other.weight)
        }
    }

    /// A charge at settlement: what was estimated at `reservedAt`, and what it came to.
    struct Correction {
        let id: Identifier128
        let reservedAt: Int64
        let old: Int64
        let new: Int64
        /// What a part of a block gives back to a token bucket counts where more than half of its burst is used: one that was empty since
        /// has refilled for it already.
        let isPart: Bool
    }

    struct Account: Sendable {
        var expires: Int64 = 0
        /// Until when anything that this call wrote matters, µs.
        var till: Int64 = 0
        var swept: Int64?
        var requestsHeld: Int64 = 0
        var moneyHeld: Int64 = 0
        var buckets: [Int64: (requests: Int64, money: Int64)] = [:]
        var counters: [String: (start: Int64, count: Int64, before: Int64)] = [:]
        var logs: [String: [LogEntry]] = [:]
        /// When the key of a log expires, ms; each change puts it off.
        var logExpires: [String: Int64] = [:]

        func extendingLife() -> Account {
            var account = self
            if till > 0, till / 1000 + 1000 > expires { account.expires = till / 1000 + 60_000 }
            return account
        }
    }
}

extension QuotaModel.Account {
    /// Clears holds that expired up to bucket `today`, at most `QuotaTimes.sweepLimit` buckets; returns how many there were.
    mutating func sweep(today: Int64) -> Int64 {
        var lost: Int64 = 0
        let from = min(swept ?? today, today)
        guard from < today, requestsHeld != 0 else {
            swept = from < today ? today : from
            if from < today { moneyHeld = 0 }
            return 0
        }
        let last = min(today, from + QuotaTimes.sweepLimit)
        for bucket in (from + 1)...last {
            guard let gone = buckets.removeValue(forKey: bucket) else { continue }
            requestsHeld -= gone.requests
            moneyHeld -= gone.money
            lost += gone.requests
        }
        swept = last
        return lost
    }

    mutating func hold(_ money: Int64, requests: Int64, in bucket: Int64) {
        requestsHeld += requests
        moneyHeld += money
        let held = buckets[bucket] ?? (0, 0)
        buckets[bucket] = (held.requests + requests, held.money + money)
    }

    /// Holds more money for a request that holds some; false when its hold had expired and was swept.
    mutating func raiseHold(by money: Int64, in bucket: Int64) -> Bool {
        guard let held = buckets[bucket] else { return false }
        moneyHeld += money
        buckets[bucket] = (held.requests, held.money + money)
        return true
    }

    /// Gives a hold back; false when it had expired and was swept.
    mutating func release(_ money: Int64, requests: Int64, from bucket: Int64) -> Bool {
        guard let held = buckets[bucket] else { return requests + money == 0 }
        requestsHeld -= requests
        moneyHeld -= money
        buckets[bucket] = held.requests > requests ? (held.requests - requests, held.money - money) : nil
        return true
    }

    /// A log whose key has expired counts nothing any more.
    mutating func expire(log field: String, at now: Int64) {
        guard let end = logExpires[field], end <= now / 1000 else { return }
        logExpires[field] = nil
        logs[field] = nil
        counters[field] = (0, 0, 0)
    }

    /// Drops at most 512 entries of a log that are not younger than `before`.
    mutating func clear(log field: String, before: Int64) {
        let entries = logs[field] ?? []
        let old = entries.prefix(512).prefix { $0.at <= before }
        guard !old.isEmpty else { return }
        logs[field] = Array(entries.dropFirst(old.count))
        counters[field, default: (0, 0, 0)].count -= old.reduce(0) { $0 + $1.weight }
    }

    /// Charges one limit; `wait` is nil when there was room. `left` is after the charge, or before it when there was none.
    /// `known` is what the request reserved before, when it is extended. A token bucket counts a block as if all of it
    /// were spent at the end of its life: its refill begins no earlier than for what is really spent.
    mutating func charge(
        _ rule: LimitRule, field: String, cost: Int64, id: Identifier128,
        known: (amount: Int64, reservedAt: Int64)? = nil, isBlock: Bool = false, at now: Int64
    ) -> (left: Int64, wait: Int64?) {
        let (a, b, c, d) = rule.numbers
        let state = counters[field] ?? (0, 0, 0)
        switch rule.kind {
        case .bucket:
            let time = rule.refill(cost)
            let arrival = max(state.start, now + (isBlock ? LeaseTerms.span(ofBurst: d) : 0))
            let left = d - (arrival - now) - time
            if left < 0 { return (left + time, time > d ? QuotaRetry.neverNumber : -left) }
            counters[field] = (arrival + time, 0, 0)
            till = max(till, arrival + time)
            return (left, nil)
        case .window, .budget:
            let window = Window(period: b, holding: now)
            let used = state.start == window.start ? state.count : 0
            let left = a - used - (rule.kind == .budget ? moneyHeld : 0) - cost
            let isSoft = rule.kind == .budget && c != 0
            if left < 0, !isSoft {
                let wait = used + cost > a ? window.end - now : 0
                return (left + cost, cost > a ? QuotaRetry.neverNumber : wait)
            }
            counters[field] = (window.start, rule.kind == .budget ? used : used + cost, 0)
            till = max(till, window.end)
            return (left, nil)
        case .counter:
            return chargeCounter(rule, field: field, cost: cost, at: now)
        case .log:
            let left = a - state.count - cost
            if left < 0 { return (left + cost, cost > a ? QuotaRetry.neverNumber : leaves(field, -left, b, now)) }
            counters[field] = (0, state.count + cost, 0)
            if cost > 0 {
                // What an extension adds belongs to the request's entry, as long as that counts.
                if let known, known.amount > 0, remove(known.amount, of: id, from: field) {
                    add(known.amount + cost, of: id, at: known.reservedAt, into: field)
                } else {
                    add(cost, of: id, at: now, into: field)
                }
                logExpires[field] = now / 1000 + b / 1000 + 60_000
            }
            till = max(till, now + b)
            return (left, nil)
        case .concurrency:
            let left = a - requestsHeld - cost
            return left < 0 ? (left + cost, 0) : (left, nil)
        }
    }

    private mutating func chargeCounter(
        _ rule: LimitRule, field: String, cost: Int64, at now: Int64
    ) -> (left: Int64, wait: Int64?) {
        let (amount, period, tick, _) = rule.numbers
        let (start, used, older) = roll(field, period: period, at: now)
        let before = min(older, rule.counterCeiling)
        let share = before * ((period - (now - start)) / tick) / (period / tick)
        let left = amount - used - share - cost
        guard left < 0 else {
            counters[field] = (start, used + cost, before)
            till = max(till, start + 2 * period)
            return (left, nil)
        }
        if cost > amount { return (left + cost, QuotaRetry.neverNumber) }
        let fitsThisWindow = amount - used - cost >= 0
        let room = fitsThisWindow ? amount - used - cost : amount - cost
        let weighed = fitsThisWindow ? before : min(used, rule.counterCeiling)
        let ticks = period / tick
        let most = weighed == 0 ? ticks : ((room + 1) * ticks - 1) / weighed
        let elapsed = max(0, period - (most + 1) * tick + 1)
        return (left + cost, max(1, elapsed + (fitsThisWindow ? 0 : period) - (now - start)))
    }

    private func roll(_ field: String, period: Int64, at now: Int64) -> (start: Int64, count: Int64, before: Int64) {
        let state = counters[field] ?? (0, 0, 0)
        let current = now - now % period
        if state.start == current { return state }
        return (current, 0, state.start == current - period ? state.count : 0)
    }

    private func leaves(_ field: String, _ need: Int64, _ period: Int64, _ now: Int64) -> Int64 {
        var need = need
        var at = now
        for entry in (logs[field] ?? []).prefix(128) {
            need -= entry.weight
            at = entry.at
            if need <= 0 { break }
        }
        return max(1, at + period - now)
    }

    /// A new entry; one of the same id and weight is the same member of the sorted set, and is taken along.
    private mutating func add(_ weight: Int64, of id: Identifier128, at score: Int64, into field: String) {
        var weight = weight
        while remove(weight, of: id, from: field) { weight += weight }
        insert(QuotaModel.LogEntry(at: score, id: id, weight: weight), into: field)
    }

    private mutating func remove(_ weight: Int64, of id: Identifier128, from field: String) -> Bool {
        let entries = logs[field] ?? []
        guard let place = entries.firstIndex(where: { $0.id == id && $0.weight == weight }) else { return false }
        logs[field]?.remove(at: place)
        return true
    }

    private mutating func insert(_ entry: QuotaModel.LogEntry, into field: String) {
        var entries = logs[field] ?? []
        let index = entries.lastIndex { $0.precedes(entry) }.map { $0 + 1 } ?? 0
        entries.insert(entry, at: index)
        logs[field] = entries
    }
}

extension QuotaModel.Account {
    /// Books money in the present window.
    mutating func spend(_ rule: LimitRule, field: String, amount: Int64, at now: Int64) {
        guard amount > 0 else { return }
        let window = Window(period: rule.numbers.b, holding: now)
        let state = counters[field] ?? (0, 0, 0)
        counters[field] = (window.start, (state.start == window.start ? state.count : 0) + amount, 0)
        till = max(till, window.end)
    }

    /// Corrects one limit from the estimate to the real use.
    mutating func correct(_ rule: LimitRule, field: String, by step: QuotaModel.Correction, at now: Int64) {
        let state = counters[field] ?? (0, 0, 0)
        let period = rule.numbers.b
        let change = step.new - step.old
        switch rule.kind {
        case .concurrency, .budget: return
        case .bucket:
            let arrival = max(state.start, now)
            var back = rule.refill(step.old) - rule.refill(step.new)
            if step.isPart, back > 0 { back = min(back, max(0, arrival - now - rule.numbers.d / 2)) }
            let moved = max(now, arrival - back)
            counters[field] = (moved, 0, 0)
            till = max(till, moved)
        case .window:
            let window = Window(period: period, holding: now)
            let used = state.start == window.start ? state.count : 0
            let isSameWindow = Window(period: period, holding: step.reservedAt) == window
            counters[field] = (window.start, max(0, used + (isSameWindow ? change : max(0, change))), 0)
            till = max(till, window.end)
        case .counter:
            var (start, used, before) = roll(field, period: period, at: now)
            switch start - (step.reservedAt - step.reservedAt % period) {
            case 0: used = max(0, used + change)
            case period: before = max(0, before + change)
            default: used += max(0, change)
            }
            counters[field] = (start, used, before)
            till = max(till, start + 2 * period)
        case .log:
            expire(log: field, at: now)
            correctLog(field, by: step, at: now)
            logExpires[field] = now / 1000 + period / 1000 + 60_000
            till = max(till, now + period)
        }
    }

    private mutating func correctLog(_ field: String, by step: QuotaModel.Correction, at now: Int64) {
        if step.old > 0, remove(step.old, of: step.id, from: field) {
            counters[field, default: (0, 0, 0)].count += step.new - step.old
            if step.new > 0 { add(step.new, of: step.id, at: step.reservedAt, into: field) }
        } else if step.new > step.old {
            counters[field, default: (0, 0, 0)].count += step.new - step.old
            add(step.new - step.old, of: step.id, at: now, into: field)
        }
    }
}

extension LimitRule {
    /// The most that a sliding counter takes the older window for: with at most 2¹⁷ steps the product stays below 2⁵³.
    var counterCeiling: Int64 { 1 << 36 }
}
