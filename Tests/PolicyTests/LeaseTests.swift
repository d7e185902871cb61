// Blocks of quota: nothing is spent twice, nothing is lost, and no limit is passed by lanes that spend them.
import Core
import Testing

@testable import Policy

@Suite struct LeaseTests {
    private let tenant = Tenant(org: "acme", team: "search", key: "k")

    func limits(_ limits: Limit...) throws -> LimitSet { try LimitSet(version: 1, limits: limits) }

    private func instant(_ milliseconds: Int64) -> Instant { Instant(nanoseconds: milliseconds * 1_000_000) }

    @Test func `a sliding log and a short burst cannot be leased`() throws {
        let log = try Limit(scope: .key, unit: .requests, amount: 1_000, algorithm: .slidingWindow)
        #expect(LeaseTerms(try limits(log)) == nil)
        #expect(LeaseTerms(.unlimited) != nil)
        let short = try Limit(scope: .key, unit: .requests, amount: 60_000, burst: 2_222)
        #expect(LeaseTerms(try limits(short)) == nil)
        let longer = try Limit(scope: .key, unit: .requests, amount: 60_000, burst: 2_223)
        #expect(LeaseTerms(try limits(longer)) != nil)
    }

    @Test func `a block is what a second needs, and at most a twentieth of every limit`() throws {
        let each = QuotaUse(inputTokens: 100, outputTokens: 50, microUSD: 20)
        let terms = try #require(
            LeaseTerms(
                try limits(
                    Limit(scope: .org, unit: .requests, amount: 100_000),
                    Limit(scope: .team, unit: .totalTokens, amount: 3_000_000), .concurrency(4_000, scope: .org))))
        #expect(terms.size(perSecond: 80, each: each)?.requests == 80)
        #expect(
            terms.size(perSecond: 80, each: each)?.use
                == QuotaUse(inputTokens: 8_000, outputTokens: 4_000, microUSD: 1_600))
        // Concurrency: 200; tokens: 150,000 / 150 = 1,000; requests: 5,000.
        #expect(terms.size(perSecond: 100_000, each: each)?.requests == 200)
        #expect(terms.size(perSecond: 3, each: each) == nil)
        let small = try #require(LeaseTerms(try limits(.concurrency(60, scope: .org))))
        #expect(small.size(perSecond: 1_000, each: each) == nil)
        // Never more than can be counted exactly.
        let open = try #require(LeaseTerms(.unlimited))
        let long = QuotaUse(inputTokens: 200_000, outputTokens: 10, microUSD: 1)
        #expect(open.size(perSecond: 1_000, each: long)?.requests == 5)
        #expect(open.size(perSecond: 1_000_000, each: each)?.requests == ReserveCall.maximumBlock)
        // A soft budget never refuses, so it does not bound a block.
        let soft = try Limit(
            scope: .org, unit: .microUSD, amount: 100, period: .calendarMonth, algorithm: .fixedWindow, isSoft: true)
        #expect(LeaseTerms(try limits(soft))?.size(perSecond: 500, each: each)?.requests == 500)
    }

    @Test func `a block ends with the window that it was counted in`() throws {
        let window = try Limit(scope: .org, unit: .requests, amount: 100_000, algorithm: .fixedWindow)
        let terms = try #require(LeaseTerms(try limits(window)))
        let minute: Int64 = 60_000_000
        #expect(terms.life(grantedAt: 40 * minute) == LeaseTerms.longestLife)
        #expect(terms.life(grantedAt: 41 * minute - 700_000) == .milliseconds(700))
        let bucket = try Limit(scope: .org, unit: .requests, amount: 100_000)
        #expect(LeaseTerms(try limits(bucket))?.life(grantedAt: 41 * minute - 1) == .milliseconds(1_350))
        // A bucket of 10 s counts a block a quarter of a second late, and its life is a tenth less.
        let small = try Limit(scope: .key, unit: .requests, amount: 60_000, burst: 10_000)
        let short = try #require(LeaseTerms(try limits(bucket, small)))
        #expect(short.life(grantedAt: 0) == .milliseconds(225))
        #expect(short.size(perSecond: 400, each: .none)?.requests == 90)
    }

    @Test func `demand is known within a quarter of a second, and forgotten as fast`() {
        var demand = LeaseDemand()
        for place in 0..<1_000 {
            demand.note(QuotaUse(inputTokens: 100, outputTokens: 41, microUSD: 9), at: instant(10_000 + Int64(place)))
        }
        let (hot, cold) = (demand.perSecond(at: instant(11_000)), demand.perSecond(at: instant(12_000)))
        #expect(hot == 1_000 && cold == 0)
        #expect(demand.usual == QuotaUse(inputTokens: 100, outputTokens: 41, microUSD: 9))
    }

    @Test func `what was granted is at each moment in one place, and comes back whole`() throws {
        var chance = Chance(seed: 11)
        for round in 0..<300 {
            let whole = QuotaUse(inputTokens: 40_000, outputTokens: 20_000, microUSD: 9_000)
            let call = ReserveCall(
                block: Identifier128(high: 1, low: UInt64(round)), of: 150, tenant: tenant, estimate: whole,
                holdMilliseconds: 1_000, limits: .unlimited)
            var block = LeaseBlock(call, expires: instant(1_000))
            var running: [QuotaUse] = []
            var parts: [PartCall] = []
            var (begun, ended, returned) = (0, 0, 0)
            func amount(_ limit: Int64) -> Int64 { Int64(chance.next() % UInt64(limit)) }
            for step in 0..<600 {
                switch chance.next() % 8 {
                case 0...3:
                    let use = QuotaUse(inputTokens: amount(900), outputTokens: amount(400), microUSD: amount(200))
                    if block.spend(use, at: instant(Int64(step * 3))) {
                        running.append(use)
                        begun += 1
                    }
                case 4...5 where !running.isEmpty:
                    let use = running.removeLast()
                    let real = QuotaUse(inputTokens: amount(1_000), outputTokens: amount(500), microUSD: amount(250))
                    _ = block.end(
                        use,
                        BlockUse(id: Identifier128(high: 2, low: UInt64(ended)), feature: "", use: real, attempts: []))
                    ended += 1
                case 6 where !running.isEmpty:
                    block.giveBack(running.removeLast())
                    returned += 1
                default: if let part = block.takePart() { parts.append(part) }
                }
            }
            block.close()
            let afterwards = block.spend(.none, at: instant(0))
            #expect(!afterwards)
            while let use = running.popLast() {
                _ = block.end(
                    use, BlockUse(id: Identifier128(high: 3, low: UInt64(ended)), feature: "", use: use, attempts: []))
                ended += 1
            }
            while let part = block.takePart() { parts.append(part) }
            #expect(block.isOver && parts.last?.isLast == true && parts.filter(\.isLast).count == 1)
            #expect(parts.map(\.number) == (1...Int64(parts.count)).map(\.self))
            #expect(parts.reduce(0) { $0 + $1.uses.count } == ended && ended == begun - returned)
            #expect(parts.reduce(0) { $0 + $1.requests } == 150)
            #expect(parts.reduce(QuotaUse.none) { $0 + $1.covers } == whole, "round \(round)")
        }
    }

    /// Four lanes with one tenant each spend blocks of the model as a lane does, far above the limit.
    @Test(arguments: [LimitAlgorithm.fixedWindow, .tokenBucket, .slidingCounter], [UInt64(1), 2, 3])
    func `lanes that spend blocks pass no limit and leave little of it`(algorithm: LimitAlgorithm, seed: UInt64) throws
    {
        let amount: Int64 = 60_000
        let limit = try Limit(
            scope: .org, unit: .requests, amount: amount, algorithm: algorithm,
            burst: algorithm == .tokenBucket ? 5_000 : nil)
        var rig = LeaseSimulation(limits: try limits(limit), seed: seed, start: 600_000_000)
        // Two whole minutes at 2,400 requests a second: 288,000 wanted where 120,000 fit.
        rig.run(milliseconds: 120_000, perSecond: 2_400)
        switch algorithm {
        case .tokenBucket:
            #expect(rig.passed.count <= 5_000 + 120_000)
            #expect(rig.passed.count >= 120_000 * 95 / 100)
        default:
            for minute in 0..<2 {
                let from = 600_000_000 + Int64(minute) * 60_000_000
                let passed = rig.passed.filter { $0 >= from && $0 < from + 60_000_000 }.count
                #expect(Int64(passed) <= amount)
                if algorithm == .fixedWindow { #expect(Int64(passed) >= amount * 95 / 100, "\(passed)") }
            }
        }
    }
}

extension LeaseTests {
    /// Loud and silent by turns: where a block is taken early and spent late, a bucket must not have refilled for it meanwhile.
    @Test(arguments: UInt64(1)...3, [Int64(2_500), 10_000, 60_000])
    func `what is spent late from blocks fits the bucket at the moment at which it is spent`(
        seed: UInt64, burst: Int64
    ) throws {
        let limit = try Limit(scope: .org, unit: .requests, amount: 60_000, burst: burst)
        var rig = LeaseSimulation(limits: try limits(limit), seed: seed, start: 600_000_000)
        var chance = Chance(seed: seed)
        for _ in 0..<8 {
            rig.run(milliseconds: 500 + Int64(chance.next() % 4_000), perSecond: 600 + Int64(chance.next() % 4_000))
            rig.run(milliseconds: Int64(chance.next() % 5_000), perSecond: Int64(chance.next() % 200))
        }
        // One bucket that counts each request when it passed.
        let rule = LimitRule(limit)
        var full: Int64 = 0
        var beyond: Int64 = 0
        for at in rig.passed {
            full = max(full, at) + rule.refill(1)
            beyond = max(beyond, full - at - rule.numbers.d)
        }
        #expect(beyond == 0, "\(beyond) µs beyond the burst")
    }

    @Test func `below its limits a hot tenant costs few scripts`() throws {
        let limit = try Limit(scope: .org, unit: .requests, amount: 200_000)
        var rig = LeaseSimulation(limits: try limits(limit), seed: 1, start: 600_000_000)
        rig.run(milliseconds: 10_000, perSecond: 2_000)
        #expect(rig.refused == 0 && rig.passed.count == 20_000)
        #expect(rig.scripts * 10 <= rig.passed.count, "\(rig.scripts) scripts for \(rig.passed.count) requests")
    }
}

/// Lanes, the model in the place of Redis, and requests that end at once.
private struct LeaseSimulation {
    private var model = QuotaModel()
    private let limits: LimitSet
    private let terms: LeaseTerms
    private var chance: Chance
    private var blocks: [LeaseBlock?] = [nil, nil, nil, nil]
    private var pauses: [Int64] = [0, 0, 0, 0]
    private var start: Int64
    private var serial: UInt64 = 0
    private(set) var scripts = 0
    private(set) var refused = 0
    /// When each request passed, µs.
    private(set) var passed: [Int64] = []

    init(limits: LimitSet, seed: UInt64, start: Int64) {
        self.limits = limits
        self.start = start
        chance = Chance(seed: seed)
        guard let terms = LeaseTerms(limits) else { preconditionFailure("limits that can be leased") }
        self.terms = terms
    }

    mutating func run(milliseconds: Int64, perSecond: Int64) {
        for millisecond in 0..<milliseconds {
            let now = start + millisecond * 1_000
            for lane in 0..<4 {
                if let block = blocks[lane], instant(now) >= block.expires { settle(lane, now) }
            }
            let wanted = Double(perSecond) / 1_000
            let count = Int(wanted) + (chance.unit() < wanted - wanted.rounded(.down) ? 1 : 0)
            for _ in 0..<count { ask(Int(chance.next() % 4), now) }
        }
        start += milliseconds * 1_000
    }

    private func instant(_ microseconds: Int64) -> Instant { Instant(nanoseconds: microseconds * 1_000) }

    private mutating func ask(_ lane: Int, _ now: Int64) {
        let one = QuotaUse(inputTokens: 10, outputTokens: 10, microUSD: 1)
        let moment = instant(now)
        if blocks[lane]?.spend(one, at: moment) == true {
            serial += 1
            _ = blocks[lane]?.end(
                one, BlockUse(id: Identifier128(high: 1, low: serial), feature: "", use: one, attempts: []))
            return passed.append(now)
        }
        if blocks[lane] != nil { settle(lane, now) }
        guard now >= pauses[lane] else { return single(one, now) }
        serial += 1
        guard let size = terms.size(perSecond: 600, each: one) else { return single(one, now) }
        let call = ReserveCall(
            block: Identifier128(high: 2, low: serial), of: size.requests,
            tenant: Tenant(org: "acme", team: "t", key: "k"), estimate: size.use, holdMilliseconds: 60_000,
            limits: limits)
        scripts += 1
        guard case .granted(let grant) = model.reserve(call, at: now) else {
            pauses[lane] = now + 500_000
            return single(one, now)
        }
        blocks[lane] = LeaseBlock(call, expires: instant(now) + terms.life(grantedAt: grant.atMicroseconds))
        ask(lane, now)
    }

    private mutating func single(_ use: QuotaUse, _ now: Int64) {
        serial += 1
        let call = ReserveCall(
            id: Identifier128(high: 3, low: serial), tenant: Tenant(org: "acme", team: "t", key: "k"), estimate: use,
            holdMilliseconds: 1_000, limits: limits)
        guard case .granted = model.reserve(call, at: now) else { return refused += 1 }
        scripts += 2
        _ = model.settle(SettleCall(of: call, use: use), at: now)
        passed.append(now)
    }

    private mutating func settle(_ lane: Int, _ now: Int64) {
        blocks[lane]?.close()
        while true {
            guard let part = blocks[lane]?.takePart() else { break }
            scripts += 1
            _ = model.settle(part, at: now)
        }
        blocks[lane] = nil
    }
}
