// How each limit stands for a request, without taking anything: the specification of peek.lua.
import Core

/// How the limits of a request stand.
public struct QuotaPeek: Hashable, Sendable {
    /// One limit.
    public struct Standing: Hashable, Sendable {
        /// What it has left before the request, in its unit; of a token bucket, of its burst.
        public let remaining: Int64
        /// When the request would have room, if nobody else came between; nil: it has.
        public let retry: QuotaRetry?

        /// A standing.
        public init(remaining: Int64, retry: QuotaRetry?) {
            self.remaining = remaining
            self.retry = retry
        }
    }

    /// Redis' clock, in µs since the Unix epoch.
    public let atMicroseconds: Int64
    /// In the order of the limits.
    public let standings: [Standing]

    /// All standings at a time.
    public init(atMicroseconds: Int64, standings: [Standing]) {
        self.atMicroseconds = atMicroseconds
        self.standings = standings
    }

    /// Which limit `reserve` would name in a denial: the one that stands in the way longest; nil when it would grant.
    public var binding: Int? {
        func number(_ retry: QuotaRetry) -> Int64 {
            switch retry {
            case .whenReleased: 0
            case .after(let microseconds): microseconds
            case .never: QuotaRetry.neverNumber
            }
        }
        var worst: (index: Int, wait: Int64)?
        for (index, standing) in standings.enumerated() {
            guard let retry = standing.retry, number(retry) > (worst?.wait ?? -1) else { continue }
            worst = (index, number(retry))
        }
        return worst?.index
    }
}

extension QuotaModel {
    /// What `reserve` would find at this time, limit by limit. See `Sources/Store/Scripts/peek.lua`.
    public func peek(_ call: ReserveCall, at now: Int64) -> QuotaPeek {
        var standings: [QuotaPeek.Standing] = []
        for group in call.limits.layout.groups {
            var account = openAccount(AccountKey(tenant: call.tenant, scope: group.scope), at: now)
            if group.isHeld { _ = account.sweep(today: now / times.bucketMicroseconds) }
            for index in group.range {
                let rule = call.limits.layout.rules[index]
                let field = call.limits.limits[index].field
                if rule.kind == .log {
                    account.expire(log: field, at: now)
                    account.clear(log: field, before: now - rule.numbers.b)
                }
                let cost = call.estimate.amount(of: rule.unit, requests: 1)
                var trial = account
                let verdict = trial.charge(rule, field: field, cost: cost, id: call.id, at: now)
                // A refusal tells what is left before the charge, a grant what is left after it.
                let charged = rule.kind == .bucket ? rule.refill(cost) : cost
                let left = max(0, verdict.wait == nil ? verdict.left + charged : verdict.left)
                standings.append(
                    QuotaPeek.Standing(
                        remaining: rule.remaining(left), retry: verdict.wait.map { QuotaRetry(wait: $0) }))
            }
        }
        return QuotaPeek(atMicroseconds: now, standings: standings)
    }
}
