// Limits: what may be written, and exact arithmetic at the edges of what a double holds.

import Policy
import Testing

@Suite struct LimitTests {
    @Test func moneyTakesOnlyFixedWindows() {
        #expect(throws: LimitProblem.unsupported(.tokenBucket, .microUSD)) {
            try Limit(scope: .org, unit: .microUSD, amount: 5_000_000, period: .day)
        }
        #expect(throws: Never.self) {
            try Limit(scope: .org, unit: .microUSD, amount: 5, period: .calendarMonth, algorithm: .fixedWindow)
        }
    }

    @Test func aMonthTakesOnlyFixedWindows() {
        #expect(throws: LimitProblem.unsupported(.slidingCounter, .requests)) {
            try Limit(scope: .org, unit: .requests, amount: 5, period: .calendarMonth, algorithm: .slidingCounter)
        }
    }

    @Test func amountsBeyondExactArithmeticAreRefused() {
        #expect(throws: LimitProblem.amountOutOfRange(0, allowed: 1...1 << 30)) {
            try Limit(scope: .org, unit: .requests, amount: 0)
        }
        #expect(throws: LimitProblem.amountOutOfRange(1 << 31, allowed: 1...1 << 30)) {
            try Limit(scope: .org, unit: .totalTokens, amount: 1 << 31)
        }
        #expect(throws: LimitProblem.burstOutOfRange(400)) {
            try Limit(scope: .org, unit: .requests, amount: 1, period: .day, burst: 400)
        }
        #expect(throws: LimitProblem.periodOutOfRange(10)) {
            try Limit(scope: .org, unit: .requests, amount: 1, period: .microseconds(10))
        }
    }

    @Test func twoLimitsThatWouldShareACounterAreRefused() throws {
        let first = try Limit(scope: .team, unit: .requests, amount: 5)
        let second = try Limit(scope: .team, unit: .requests, amount: 6)
        #expect(throws: LimitProblem.repeated(.team, .requests)) { try LimitSet(version: 1, limits: [first, second]) }
        let elsewhere = try Limit(scope: .key, unit: .requests, amount: 6)
        #expect(try LimitSet(version: 1, limits: [elsewhere, first]).limits == [first, elsewhere])
    }

    @Test func refillIsRoundedUpAndExactAtTheLargestNumbers() throws {
        for (amount, period) in [
            (7, 60_000_000), (1 << 30, 86_400_000_000), ((1 << 30) - 1, 60_000_000), (1, 86_400_000_000),
        ] {
            let limit = try Limit(
                scope: .org, unit: .totalTokens, amount: Int64(amount), period: .microseconds(Int64(period)), burst: 1)
            let rule = try LimitSet(version: 1, limits: [limit]).layout.rules[0]
            for cost in [Int64(0), 1, 2, 999, 1_000_003, Limit.maximumTokensPerCall] {
                let exact = (Int128(cost) * Int128(period) + Int128(amount) - 1) / Int128(amount)
                #expect(
                    Int128(rule.refill(cost)) == min(exact, Int128(Limit.maximumSpan)), "\(cost) of \(amount)/\(period)"
                )
                #expect(cost * rule.numbers.b < 1 << 53, "every product is an exact double")
            }
        }
    }
}
