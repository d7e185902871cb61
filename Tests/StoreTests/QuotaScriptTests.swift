// Every exit of the quota scripts, one by one, as a person would tell it.

import Core
import Foundation
import Policy
import Testing

@testable import Store

@Suite(.serialized) struct QuotaScriptTests {
    private let server: RedisServer
    private let redis: BlockingRedis
    private let tenant = Tenant(org: "acme", team: "search", key: "k1", feature: "chat")
    /// Holds expire in steps of 20 ms here.
    private static let times = QuotaTimes(bucketMicroseconds: 20_000, recordMilliseconds: 400)

    init() throws {
        server = try RedisServer()
        redis = try BlockingRedis(path: server.socketPath, times: Self.times)
    }

    private func set(_ limits: Limit...) throws -> LimitSet { try LimitSet(version: 1, limits: limits) }

    private func call(
        _ id: UInt64, _ limits: LimitSet, input: Int64 = 0, output: Int64 = 0, money: Int64 = 0, hold: Int64 = 60_000
    ) -> ReserveCall {
        ReserveCall(
            id: Identifier128(high: 1, low: id), tenant: tenant,
            estimate: QuotaUse(inputTokens: input, outputTokens: output, microUSD: money), holdMilliseconds: hold,
            limits: limits)
    }

    private func remaining(_ reply: ReserveReply) -> [Int64] {
        if case .granted(let grant) = reply { grant.remaining } else { [] }
    }

    private func denial(_ reply: ReserveReply) throws -> QuotaDenial {
        guard case .denied(let denial) = reply else { throw RedisServerFailure.failed("not denied: \(reply)") }
        return denial
    }

    /// All keys with all of their contents.
    private func dump() throws -> [String: RedisReply] {
        guard case .array(let keys) = try redis.command("KEYS", "*") else { return [:] }
        var contents: [String: RedisReply] = [:]
        for key in keys.compactMap(\.text) { contents[key] = try redis.command("DUMP", key) }
        return contents
    }

    @Test func aDenialNamesTheLimitAndTheExactTimeAndChangesNothing() throws {
        let limits = try set(
            Limit(scope: .org, unit: .requests, amount: 600),
            Limit(scope: .team, unit: .totalTokens, amount: 60_000, burst: 1000), .concurrency(5, scope: .key),
            Limit(scope: .key, unit: .microUSD, amount: 5000, period: .day, algorithm: .fixedWindow))
        #expect(
            remaining(try redis.reserve(call(1, limits, input: 600, output: 200, money: 100))) == [599, 200, 4, 4900])
        let before = try dump()
        let denial = try denial(redis.reserve(call(2, limits, input: 400, output: 200, money: 100)))
        #expect(denial.limit.scope == .team && denial.limit.unit == .totalTokens && denial.index == 1)
        #expect((200...240).contains(denial.remaining))
        guard case .after(let microseconds) = denial.retry else {
            Issue.record("\(denial.retry)")
            return
        }
        #expect(try dump() == before, "a denial changes nothing")
        // 400 units are missing and one refills each millisecond; what passed since the first call is off.
        #expect(microseconds <= 400_000 && microseconds > 300_000)
        usleep(UInt32(microseconds) + 1000)
        if case .granted = try redis.reserve(call(2, limits, input: 400, output: 200, money: 100)) {
        } else {
            Issue.record("at the stated time there is room")
        }
    }

    @Test func aCallLargerThanTheLimitNeverFits() throws {
        let kinds: [Limit] = [
            try Limit(scope: .org, unit: .inputTokens, amount: 100),
            try Limit(scope: .org, unit: .inputTokens, amount: 100, algorithm: .fixedWindow),
            try Limit(scope: .org, unit: .inputTokens, amount: 100, algorithm: .slidingCounter),
            try Limit(scope: .org, unit: .inputTokens, amount: 100, algorithm: .slidingWindow),
            try Limit(scope: .org, unit: .microUSD, amount: 100, period: .calendarMonth, algorithm: .fixedWindow),
        ]
        for (index, limit) in kinds.enumerated() {
            let denial = try denial(redis.reserve(call(UInt64(index), set(limit), input: 101, money: 101)))
            #expect(denial.retry == .never && denial.remaining == 100, "\(limit)")
        }
        #expect(try dump().isEmpty)
    }

    @Test func aSoftBudgetNeverRefusesAndCountsOn() throws {
        let soft = try set(
            Limit(
                scope: .org, unit: .microUSD, amount: 100, period: .calendarMonth, algorithm: .fixedWindow, isSoft: true
            ))
        for (id, left) in [(1, 40), (2, 0), (3, 0)] as [(UInt64, Int64)] {
            let call = call(id, soft, money: 60)
            #expect(remaining(try redis.reserve(call)) == [left])
            _ = try redis.settle(SettleCall(of: call, use: call.estimate))
        }
        #expect(remaining(try redis.reserve(call(4, soft, money: 1_000))) == [0], "larger than the whole of it")
        let big = call(5, soft, money: 1)
        #expect(remaining(try redis.reserve(big)) == [0])
        let more = ExtendCall(of: big, to: QuotaUse(inputTokens: 0, outputTokens: 0, microUSD: 5_000))
        guard case .granted = try redis.extend(more) else {
            Issue.record("an extension was refused")
            return
        }
        // The same counter as a hard one: what passed was booked in full.
        let hard = try set(
            Limit(scope: .org, unit: .microUSD, amount: 10_000, period: .calendarMonth, algorithm: .fixedWindow))
        #expect(remaining(try redis.reserve(call(6, hard))) == [10_000 - 180 - 1_000 - 5_000])
    }

    @Test func theLimitThatStandsInTheWayLongestIsNamed() throws {
        let limits = try set(
            .concurrency(1, scope: .org), Limit(scope: .team, unit: .requests, amount: 1, period: .second),
            Limit(scope: .key, unit: .requests, amount: 1, period: .day))
        _ = try redis.reserve(call(1, limits))
        let denial = try denial(redis.reserve(call(2, limits)))
        #expect(denial.limit.scope == .key)
        guard case .after(let wait) = denial.retry else { throw RedisServerFailure.failed("\(denial)") }
        #expect(wait > 86_390_000_000)
    }

    @Test func placesComeBackAtSettlement() throws {
        let limits = try set(.concurrency(2, scope: .team))
        let first = call(1, limits)
        #expect(remaining(try redis.reserve(first)) == [1])
        #expect(remaining(try redis.reserve(call(2, limits))) == [0])
        #expect(try denial(redis.reserve(call(3, limits))).retry == .whenReleased)
        if case .settled = try redis.settle(SettleCall(of: first, use: .none)) {} else { Issue.record("not settled") }
        #expect(remaining(try redis.reserve(call(3, limits))) == [0])
    }

    /// The leak that a random test once missed: what was swept before a denial must be stored although the denial returns early.
    @Test func expiredHoldsAreClearedForGoodEvenWhenTheBudgetDenies() throws {
        let limits = try set(
            .concurrency(3, scope: .org),
            Limit(scope: .org, unit: .microUSD, amount: 1000, period: .calendarMonth, algorithm: .fixedWindow))
        for id in 1...3 { _ = try redis.reserve(call(UInt64(id), limits, money: 300, hold: 10)) }
        usleep(60_000)
        let denial = try denial(redis.reserve(call(4, limits, money: 1001)))
        #expect(denial.retry == .never && denial.remaining == 1000, "the expired holds are gone")
        #expect(try redis.command("HGET", "q:{acme}", "lost") == .bytes(Array("3".utf8)))
        for id in 5...7 {
            if case .granted = try redis.reserve(call(UInt64(id), limits, money: 300)) {
            } else {
                Issue.record("place \(id) leaked")
            }
        }
        #expect(try self.denial(redis.reserve(call(8, limits, money: 100))).limit.unit == .concurrency)
    }

    @Test func moneyIsHeldThenSpent() throws {
        let limits = try set(
            Limit(scope: .org, unit: .microUSD, amount: 1000, period: .calendarMonth, algorithm: .fixedWindow))
        #expect(remaining(try redis.reserve(call(1, limits, money: 700))) == [300])
        #expect(try denial(redis.reserve(call(2, limits, money: 400))).retry == .whenReleased)
        _ = try redis.settle(
            SettleCall(of: call(1, limits), use: QuotaUse(inputTokens: 0, outputTokens: 0, microUSD: 500)))
        #expect(remaining(try redis.reserve(call(2, limits, money: 400))) == [100])
        // An overrun is booked in full, and the rest waits for the next month.
        _ = try redis.settle(
            SettleCall(of: call(2, limits), use: QuotaUse(inputTokens: 0, outputTokens: 0, microUSD: 900)))
        let denial = try denial(redis.reserve(call(3, limits, money: 1)))
        #expect(denial.remaining == 0)
        guard case .after(let wait) = denial.retry else { throw RedisServerFailure.failed("\(denial)") }
        #expect(wait > 0 && wait <= 31 * 86_400_000_000)
    }

    @Test func anOverrunIsADebtThatRefillPays() throws {
        let limits = try set(Limit(scope: .key, unit: .outputTokens, amount: 1000, period: .second))
        let first = call(1, limits, output: 100)
        #expect(remaining(try redis.reserve(first)) == [900])
        _ = try redis.settle(SettleCall(of: first, use: QuotaUse(inputTokens: 0, outputTokens: 1300, microUSD: 0)))
        let denial = try denial(redis.reserve(call(2, limits, output: 1)))
        #expect(denial.remaining == 0)
        guard case .after(let wait) = denial.retry else { throw RedisServerFailure.failed("\(denial)") }
        #expect(wait > 250_000 && wait <= 301_000, "300 ms of debt and one token: \(wait)")
    }

    @Test func aRefundGivesBackNoMoreThanWasTaken() throws {
        let limits = try set(Limit(scope: .key, unit: .outputTokens, amount: 1000, period: .day))
        let first = call(1, limits, output: 800)
        _ = try redis.reserve(first)
        _ = try redis.settle(SettleCall(of: first, use: .none))
        #expect(remaining(try redis.reserve(call(2, limits, output: 1))) == [999])
    }

    @Test func aReleaseGivesTheRequestBackToo() throws {
        let limits = try set(Limit(scope: .key, unit: .requests, amount: 2, period: .day))
        let first = call(1, limits)
        #expect(remaining(try redis.reserve(first)) == [1])
        _ = try redis.settle(.release(of: first))
        #expect(remaining(try redis.reserve(call(2, limits))) == [1])
    }

    @Test func theSameIdReservesOnceAndSettlesOnce() throws {
        let limits = try set(.concurrency(5, scope: .org), Limit(scope: .org, unit: .requests, amount: 5, period: .day))
        let first = call(1, limits, input: 10, output: 20, money: 30)
        #expect(remaining(try redis.reserve(first)) == [4, 4])
        let before = try dump()
        guard case .repeated(let held) = try redis.reserve(first) else {
            Issue.record("not repeated")
            return
        }
        #expect(held.use == first.estimate)
        #expect(try dump() == before)
        let real = QuotaUse(inputTokens: 10, outputTokens: 25, microUSD: 33)
        guard case .settled(let settled) = try redis.settle(SettleCall(of: first, use: real)) else {
            Issue.record("not settled")
            return
        }
        #expect(settled.use == real && settled.reservedAtMicroseconds == held.reservedAtMicroseconds)
        let after = try dump()
        guard case .repeated(let again) = try redis.settle(.release(of: first)),
            case .duplicate(let duplicate) = try redis.reserve(first)
        else {
            Issue.record("a settled id came to life again")
            return
        }
        #expect(again.use == real && duplicate.use == real)
        #expect(try dump() == after)
    }

    @Test func aSettlementAfterTheSweepOnlyAddsWhatWasUsed() throws {
        let limits = try set(
            .concurrency(5, scope: .org),
            Limit(scope: .org, unit: .microUSD, amount: 1000, period: .calendarMonth, algorithm: .fixedWindow))
        let first = call(1, limits, money: 600, hold: 10)
        _ = try redis.reserve(first)
        usleep(50_000)
        #expect(remaining(try redis.reserve(call(2, limits, money: 100))) == [4, 900], "swept")
        let use = QuotaUse(inputTokens: 0, outputTokens: 0, microUSD: 550)
        if case .late = try redis.settle(SettleCall(of: first, use: use)) {} else { Issue.record("not late") }
        #expect(remaining(try redis.reserve(call(3, limits, money: 100))) == [3, 250], "no double release")
    }

    @Test func anUnknownSettlementBooksTheMoneyOnceAndNothingElse() throws {
        let limits = try set(
            .concurrency(5, scope: .org), Limit(scope: .org, unit: .totalTokens, amount: 1000, period: .day),
            Limit(scope: .org, unit: .microUSD, amount: 1000, period: .calendarMonth, algorithm: .fixedWindow))
        let lost = SettleCall(of: call(9, limits), use: QuotaUse(inputTokens: 50, outputTokens: 50, microUSD: 400))
        if case .unknown = try redis.settle(lost) {} else { Issue.record("not unknown") }
        if case .repeated = try redis.settle(lost) {} else { Issue.record("booked twice") }
        #expect(remaining(try redis.reserve(call(10, limits))) == [4, 1000, 600])
    }

    /// The hash of a scope and the log of its sliding window expire at different times; neither may outlive its meaning.
    @Test func aLogAndItsSumMayExpireOneWithoutTheOther() throws {
        let log = try Limit(
            scope: .org, unit: .inputTokens, amount: 1000, period: .microseconds(20_000), algorithm: .slidingWindow)
        let month = try Limit(
            scope: .org, unit: .requests, amount: 100, period: .calendarMonth, algorithm: .fixedWindow)
        let limits = try set(log, month)
        #expect(remaining(try redis.reserve(call(1, limits, input: 300))) == [700, 99])
        _ = try redis.command("DEL", "q:{acme}:li20")
        #expect(remaining(try redis.reserve(call(2, limits, input: 300))) == [700, 98], "the log went, the sum stayed")
        usleep(30_000)
        _ = try redis.command("DEL", "q:{acme}")
        #expect(remaining(try redis.reserve(call(3, limits, input: 300))) == [700, 99], "the sum went, the log stayed")
        usleep(30_000)
        _ = try redis.command("DEL", "q:{acme}")
        let use = QuotaUse(inputTokens: 400, outputTokens: 0, microUSD: 0)
        if case .settled = try redis.settle(SettleCall(of: call(3, limits), use: use)) {
        } else {
            Issue.record("settle")
        }
        #expect(remaining(try redis.reserve(call(4, limits, input: 300))) == [600, 99], "the overrun of 100 counts")
    }

    @Test func everyKeyHasALifetime() throws {
        let limits = try set(
            .concurrency(50, scope: .org), Limit(scope: .org, unit: .requests, amount: 1000, algorithm: .slidingWindow),
            Limit(scope: .team, unit: .totalTokens, amount: 100_000, algorithm: .slidingCounter),
            Limit(scope: .key, unit: .inputTokens, amount: 100_000),
            Limit(scope: .feature, unit: .requests, amount: 100, period: .calendarMonth, algorithm: .fixedWindow))
        for id in 1...5 {
            let call = call(UInt64(id), limits, input: 10, output: 10)
            _ = try redis.reserve(call)
            if id % 2 == 0 { _ = try redis.settle(.release(of: call)) }
        }
        let keys = try dump().keys
        #expect(keys.count == 10, "\(keys.sorted())")
        #expect(keys.allSatisfy { $0.hasPrefix("q:{acme}") }, "all in one slot")
        for key in keys {
            guard case .integer(let life) = try redis.command("PTTL", key) else { continue }
            #expect(life > 0, "\(key) lives for ever")
        }
    }

    @Test func namesCannotReachTheCountersOfOthers() throws {
        let limits = try set(Limit(scope: .feature, unit: .requests, amount: 5))
        let sly = ReserveCall(
            id: Identifier128(high: 1, low: 1), tenant: Tenant(org: "a}:t:b", team: "x/y", key: "k", feature: "{z} %"),
            estimate: .none, holdMilliseconds: 10, limits: limits)
        _ = try redis.reserve(sly)
        #expect(try dump().keys.contains("q:{a%7D%3At%3Ab}:f:x%2Fy/%7Bz%7D%20%25"))
    }

    @Test("c6: months of the scripts are the civil calendar's") func monthsOfTheScriptsAreTheCivilCalendars() throws {
        let source = String(decoding: RedisScript.reserve.source, as: UTF8.self)
        let start = try #require(source.range(of: "-- window begin"))
        let end = try #require(source.range(of: "-- window end"))
        let script =
            "local floor, DAY = math.floor, 86400000000\n" + source[start.lowerBound..<end.lowerBound]
            + "\nlocal a, b = window(0, tonumber(ARGV[1])) return {a, b}"
        var calendar = Calendar(identifier: .gregorian)
        calendar.timeZone = try #require(TimeZone(identifier: "UTC"))
        var chance = SeededChance(state: 5)
        for _ in 0..<3000 {
            let seconds = chance.below(8_000_000_000)
            let interval = try #require(
                calendar.dateInterval(of: .month, for: Date(timeIntervalSince1970: Double(seconds))))
            let reply = try redis.command("EVAL", script, "0", "\(seconds * 1_000_000 + chance.below(1_000_000))")
            let expected = [interval.start, interval.end].map {
                RedisReply.integer(Int64($0.timeIntervalSince1970) * 1_000_000)
            }
            #expect(reply == .array(expected), "\(seconds)")
        }
    }

    @Test("c1: twelve writers never overshoot") func twelveWritersNeverOvershoot() throws {
        let limits = try set(
            .concurrency(9, scope: .org), Limit(scope: .team, unit: .requests, amount: 700, period: .day),
            Limit(scope: .org, unit: .microUSD, amount: 60_000, period: .calendarMonth, algorithm: .fixedWindow),
            Limit(scope: .key, unit: .totalTokens, amount: 100_000, period: .day, algorithm: .slidingWindow))
        let tally = Tally()
        let path = server.socketPath
        DispatchQueue.concurrentPerform(iterations: 12) { [tenant] writer in
            do {
                let redis = try BlockingRedis(path: path)
                var chance = SeededChance(state: UInt64(writer))
                for serial in 0..<250 {
                    let money = Int64(100 + chance.below(100))
                    let call = ReserveCall(
                        id: Identifier128(high: UInt64(100 + writer), low: UInt64(serial)), tenant: tenant,
                        estimate: QuotaUse(inputTokens: 60, outputTokens: 90, microUSD: money),
                        holdMilliseconds: 60_000,
                        limits: limits)
                    guard case .granted = try redis.reserve(call) else {
                        tally.add { $0.denied += 1 }
                        continue
                    }
                    tally.add {
                        $0.running += 1
                        $0.mostRunning = max($0.mostRunning, $0.running)
                    }
                    let real = QuotaUse(
                        inputTokens: 60, outputTokens: Int64(chance.below(90)),
                        microUSD: Int64(chance.below(Int(money))))
                    let settlement = SettleCall(of: call, use: real)
                    tally.add { $0.running -= 1 }
                    _ = try redis.settle(settlement)
                    if chance.below(10) < 3 { _ = try redis.settle(settlement) }
                    tally.add {
                        $0.granted += 1
                        $0.money += real.microUSD
                        $0.tokens += real.totalTokens
                    }
                }
            } catch {
                tally.add { $0.failures.append("\(error)") }
            }
        }
        let total = tally.total
        #expect(total.failures.isEmpty, "\(total.failures)")
        #expect(total.mostRunning <= 9 && total.granted <= 700 && total.money <= 60_000 && total.tokens <= 100_000)
        #expect(total.denied > 100, "the limits must bind: \(total)")
        // What Redis counts is exactly what was settled.
        let check = try remaining(
            redis.reserve(
                call(
                    99,
                    set(
                        .concurrency(9, scope: .org),
                        Limit(
                            scope: .org, unit: .microUSD, amount: 60_000, period: .calendarMonth,
                            algorithm: .fixedWindow)))))
        #expect(check == [8, 60_000 - total.money])
    }
}

/// What twelve writers did together.
private final class Tally: @unchecked Sendable {
    struct Total {
        var running = 0
        var mostRunning = 0
        var granted = 0
        var denied = 0
        var money: Int64 = 0
        var tokens: Int64 = 0
        var failures: [String] = []
    }

    private let lock = NSLock()
    private var state = Total()

    var total: Total { lock.withLock { state } }
    func add(_ change: (inout Total) -> Void) { lock.withLock { change(&state) } }
}
