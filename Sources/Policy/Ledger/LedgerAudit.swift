// Compares what three places say was used: the ledger's records, the sums of the hours, the settlements themselves.
import Core

/// One org under audit. Fed with what Redis holds, in any order; then `findings`.
///
/// Records, sums and spent budgets are compared as of one moment, `asOf`, at which sums and budgets were read together: what is
/// settled meanwhile is in none of them.
public struct LedgerAudit: Sendable {
    /// One comparison.
    public struct Finding: Hashable, Sendable {
        /// What is compared.
        public let what: String
        /// What the ledger, or its sums, say.
        public let expected: Int64
        /// What the other place says.
        public let found: Int64
        /// True when a difference has a harmless reason; it stands in `what`.
        public var isNote = false
        /// True when both say the same.
        public var isEqual: Bool { expected == found }
    }

    /// The org.
    public let org: String
    /// The moment of the comparison, by Redis' clock in µs.
    public let asOf: Int64
    /// When the search for settlements began.
    private let searchedFrom: Int64
    /// True when records were dropped for their age or number: then the oldest hour that is left is not whole.
    private let isTrimmed: Bool
    private var hours: [Int64: [UsagePlace: UsageSums]] = [:]
    private var recorded: [Int64: [UsagePlace: UsageSums]] = [:]
    private var settled: [Request: (use: QuotaUse, reservedAt: Int64)] = [:]
    private var recent: [Request: (use: QuotaUse, at: Int64)] = [:]
    private var attempts: Set<Attempt> = []
    private var doubled: [String] = []
    private var firstAt: Int64?
    /// Records that were read.
    public private(set) var recordCount = 0

    /// One request: ids are chosen by clients, each API key for itself.
    public struct Request: Hashable, Sendable, CustomStringConvertible {
        /// The id of the API key.
        public let key: String
        /// The request's idempotency key.
        public let id: Identifier128

        /// A request of an API key.
        public init(key: String, id: Identifier128) { (self.key, self.id) = (key, id) }

        /// As findings name it.
        public var description: String { "\(id) of the key \(key)" }
    }

    private struct Attempt: Hashable {
        let request: Request
        let number: UInt8
    }

    /// For how long settlements are remembered, in µs.
    private static let memory: Int64 = QuotaTimes.standard.recordMilliseconds * 1000
    /// Records of the last minute of that time may still have their settlement or not any more, in µs.
    private static let margin: Int64 = 60_000_000

    /// An audit as of a moment.
    public init(org: String, asOf: Int64, searchedFrom: Int64, isTrimmed: Bool) {
        self.org = org
        self.asOf = asOf
        self.searchedFrom = searchedFrom
        self.isTrimmed = isTrimmed
    }

    /// The sums of an hour since 1970.
    public mutating func take(hour: Int64, _ sums: [UsagePlace: UsageSums]) { hours[hour] = sums }

    /// A settlement that is remembered.
    public mutating func take(settled request: Request, use: QuotaUse, reservedAt: Int64) {
        if use != .none { settled[request] = (use, reservedAt) }
    }

    /// A record of the ledger.
    public mutating func take(_ record: LedgerRecord) {
        recordCount += 1
        firstAt = min(firstAt ?? record.atMicroseconds, record.atMicroseconds)
        if record.atMicroseconds <= asOf {
            let place = UsagePlace(record.entry, of: record.tenant)
            recorded[record.atMicroseconds / 3_600_000_000, default: [:]][place, default: UsageSums()].add(record.entry)
        }
        // Every settlement that the search can have found, the oldest among them.
        guard record.atMicroseconds >= searchedFrom - Self.memory - Self.margin else { return }
        let request = Request(key: record.tenant.key, id: record.id)
        if !attempts.insert(Attempt(request: request, number: record.entry.attempt)).inserted {
            doubled.append("\(request), attempt \(record.entry.attempt)")
        }
        let old = recent[request]?.use ?? .none
        let entry = record.entry
        recent[request] = (
            QuotaUse(
                inputTokens: old.inputTokens + entry.tokens.input, outputTokens: old.outputTokens + entry.tokens.output,
                microUSD: old.microUSD + entry.microUSD), record.atMicroseconds
        )
    }

    /// The first hour of which all records are there.
    private var firstWholeHour: Int64 {
        guard isTrimmed else { return .min }
        return (firstAt ?? asOf) / 3_600_000_000 + 1
    }

    /// All comparisons; those of single hours, places and requests only where they differ.
    public func findings() -> [Finding] { compareSums() + compareSettlements() }

    private func compareSums() -> [Finding] {
        var (records, sums) = (UsageSums(), UsageSums())
        var differing: [Finding] = []
        let all = Set(hours.keys).union(recorded.keys).filter { $0 >= firstWholeHour && $0 <= asOf / 3_600_000_000 }
        for hour in all.sorted() {
            let (left, right) = Self.comparable(recorded[hour] ?? [:], hours[hour] ?? [:])
            for place in Set(left.keys).union(right.keys).sorted() {
                let (record, sum) = (left[place] ?? UsageSums(), right[place] ?? UsageSums())
                records.add(record)
                sums.add(sum)
                let name = "hour \(hour), \(place.team)/\(place.feature) \(place.provider)/\(place.model)"
                for (what, number, other) in Self.pairs(record, sum) where number != other {
                    differing.append(Finding(what: "\(name): \(what)", expected: number, found: other))
                }
            }
        }
        let whole = Self.pairs(records, sums).map {
            Finding(what: "\($0.0) in records and in sums of \(all.count) hours", expected: $0.1, found: $0.2)
        }
        return whole + differing
    }

    /// Where features beyond the bound share a place, features are left out on both sides.
    private static func comparable(
        _ left: [UsagePlace: UsageSums], _ right: [UsagePlace: UsageSums]
    ) -> ([UsagePlace: UsageSums], [UsagePlace: UsageSums]) {
        guard right.keys.contains(where: { $0.feature == UsagePlace.otherFeature }) else { return (left, right) }
        func merged(_ sums: [UsagePlace: UsageSums]) -> [UsagePlace: UsageSums] {
            sums.reduce(into: [:]) { $0[$1.key.shared, default: UsageSums()].add($1.value) }
        }
        return (merged(left), merged(right))
    }

    private static func pairs(_ left: UsageSums, _ right: UsageSums) -> [(String, Int64, Int64)] {
        [
            ("attempts", left.attempts, right.attempts), ("input tokens", left.tokens.input, right.tokens.input),
            ("cached tokens", left.tokens.cached, right.tokens.cached),
            ("cache-write tokens", left.tokens.cacheWrite, right.tokens.cacheWrite),
            ("output tokens", left.tokens.output, right.tokens.output),
            ("reasoning tokens", left.tokens.reasoning, right.tokens.reasoning),
            ("micro-USD", left.microUSD, right.microUSD),
        ]
    }

    private func compareSettlements() -> [Finding] {
        var differing = doubled.map { Finding(what: "request \($0) stands twice in the ledger", expected: 1, found: 2) }
        var (booked, billed, count): (Int64, Int64, Int64) = (0, 0, 0)
        for (id, settlement) in settled {
            // Settled so long ago that its record may have been dropped, where many are.
            if isTrimmed, recent[id] == nil, settlement.reservedAt < firstAt ?? .max { continue }
            let record = recent[id]?.use ?? .none
            count += recent[id] == nil ? 0 : 1
            booked += settlement.use.microUSD
            billed += record.microUSD
            if record != settlement.use {
                differing.append(
                    Finding(
                        what: "request \(id): micro-USD in the ledger and as settled", expected: record.microUSD,
                        found: settlement.use.microUSD))
            }
        }
        let (first, last) = (asOf - Self.memory + Self.margin, searchedFrom)
        for (id, record) in recent where settled[id] == nil && record.use != .none {
            guard first <= record.at, record.at < last else { continue }
            differing.append(
                Finding(
                    what: "request \(id): micro-USD in the ledger, but never settled", expected: record.use.microUSD,
                    found: 0))
        }
        let whole = Finding(
            what: "micro-USD in records and in \(count) settlements of the last 15 minutes", expected: billed,
            found: booked)
        return [whole] + differing.sorted { $0.what < $1.what }
    }

    /// Compares what a budget says is spent with the sums of its window.
    ///
    /// - Parameter field: the budget's field in the scope's hash, such as `fuM`; others are passed over.
    public func budget(scope: String, team: String?, field: String, start: Int64, spent: Int64) -> Finding? {
        guard field.hasPrefix("fu"), let period = Self.period(field.dropFirst(2)) else { return nil }
        let hour: Int64 = 3_600_000_000
        guard period == 0 || period % hour == 0, Window(period: period, holding: asOf).start == start else {
            return nil
        }
        var sums = UsageSums()
        for (number, places) in hours where number * hour >= start && number * hour <= asOf {
            for (place, sum) in places where team == nil || place.team == team { sums.add(sum) }
        }
        let name = period == 0 ? "month" : period == 24 * hour ? "day" : "\(period / hour) hours"
        let what = "micro-USD in sums and spent on \(scope) this \(name)"
        // Less than the sums is what a budget counts that is younger than its window; more is money nobody recorded.
        guard spent < sums.microUSD else { return Finding(what: what, expected: sums.microUSD, found: spent) }
        return Finding(
            what: what + " (counted since later)", expected: sums.microUSD, found: spent, isNote: true)
    }

    /// The period in µs that a field's name says; 0 for the calendar month.
    private static func period(_ text: Substring) -> Int64? {
        text == "M" ? 0 : Int64(text).flatMap { $0 > 0 ? $0 * 1000 : nil }
    }
}
