// Limits as people write them: `600 requests / minute burst 100`, `$500 / month`, `64 concurrent`.
import Core

extension Limit {
    /// Reads one limit. Forms: `AMOUNT UNIT / PERIOD [burst N] [sliding-window|sliding-counter|fixed-window|token-bucket]`,
    /// `$AMOUNT / PERIOD [soft] [warn N% N% …|warn off]`, `N concurrent`.
    public static func parse(_ text: String, scope: LimitScope) throws(ValueProblem) -> Limit {
        var words = text.split(separator: " ").map(String.init)[...]
        guard let first = words.popFirst() else { throw ValueProblem("expected a limit, found nothing") }
        if words == ["concurrent"] {
            let amount = try ConfigurationValue.count(first)
            return try make { () throws(LimitProblem) in try .concurrency(amount, scope: scope) }
        }
        let isMoney = first.hasPrefix("$")
        let amount = isMoney ? try ConfigurationValue.money(first).amount : try ConfigurationValue.count(first)
        let unit = isMoney ? .microUSD : try unit(&words)
        guard words.popFirst() == "/", let word = words.popFirst() else {
            throw ValueProblem("expected '/ PERIOD' such as '/ minute', in '\(text)'")
        }
        let period = try period(word)
        var burst: Int64?
        var isSoft = false
        var warnings: [UInt8]?
        // Money is a budget of calendar periods; everything else refills smoothly unless said otherwise.
        var algorithm: LimitAlgorithm = isMoney || period == .calendarMonth ? .fixedWindow : .tokenBucket
        while let word = words.popFirst() {
            if word == "burst", let number = words.popFirst() {
                burst = try ConfigurationValue.count(number)
            } else if word == "soft" {
                isSoft = true
            } else if word == "warn" {
                warnings = try percents(&words)
            } else if let named = algorithms.first(where: { $0.name == word }) {
                algorithm = named.algorithm
            } else {
                let other = isMoney ? "'soft' or 'warn N%'" : "'burst N' or an algorithm"
                throw ValueProblem("expected \(other), found '\(word)'")
            }
        }
        if burst != nil, algorithm != .tokenBucket { throw ValueProblem("only a token-bucket limit has a burst") }
        return try make { () throws(LimitProblem) in
            try Limit(
                scope: scope, unit: unit, amount: amount, period: period, algorithm: algorithm, burst: burst,
                isSoft: isSoft, warnings: warnings)
        }
    }

    /// The percents behind `warn`, or none for `off`.
    private static func percents(_ words: inout ArraySlice<String>) throws(ValueProblem) -> [UInt8] {
        if words.first == "off" {
            words.removeFirst()
            return []
        }
        var percents: [UInt8] = []
        while let word = words.first, word.hasSuffix("%") {
            words.removeFirst()
            guard let percent = UInt8(word.dropLast()), (1...100).contains(percent) else {
                throw ValueProblem("expected a percentage from 1% to 100%, found '\(word)'")
            }
            percents.append(percent)
        }
        guard !percents.isEmpty else {
            throw ValueProblem("expected percentages behind 'warn', such as 80% 100%, or 'off'")
        }
        return percents
    }

    private static let algorithms: [(name: String, algorithm: LimitAlgorithm)] = [
        ("token-bucket", .tokenBucket), ("fixed-window", .fixedWindow), ("sliding-window", .slidingWindow),
        ("sliding-counter", .slidingCounter),
    ]

    private static func make(_ body: () throws(LimitProblem) -> Limit) throws(ValueProblem) -> Limit {
        do { return try body() } catch { throw ValueProblem(error.description) }
    }

    private static func unit(_ words: inout ArraySlice<String>) throws(ValueProblem) -> LimitUnit {
        switch words.popFirst() {
        case "requests": return .requests
        case "tokens": return .totalTokens
        case "input" where words.popFirst() == "tokens": return .inputTokens
        case "output" where words.popFirst() == "tokens": return .outputTokens
        default: throw ValueProblem("expected requests, tokens, input tokens or output tokens")
        }
    }

    private static func period(_ word: String) throws(ValueProblem) -> LimitPeriod {
        switch word {
        case "second": return .second
        case "minute": return .minute
        case "hour": return .hour
        case "day": return .day
        case "month": return .calendarMonth
        default: throw ValueProblem("expected second, minute, hour, day or month, found '\(word)'")
        }
    }
}

// MARK: - Writing

extension Limit {
    /// The form that `parse` reads.
    public var text: String {
        switch unit {
        case .concurrency: return "\(amount) concurrent"
        case .microUSD:
            let percents = warnings.isEmpty ? " off" : warnings.map { " \($0)%" }.joined()
            let warn = warnings == Limit.usualWarnings ? "" : " warn\(percents)"
            return "\(MicroUSD(amount)) / \(periodText)\(isSoft ? " soft" : "")\(warn)"
        case .requests, .inputTokens, .outputTokens, .totalTokens:
            let algorithms = ["token-bucket", "fixed-window", "sliding-window", "sliding-counter"]
            let burstText = algorithm == .tokenBucket ? " burst \(burst)" : ""
            return "\(amount) \(unitText) / \(periodText)\(burstText) \(algorithms[Int(algorithm.rawValue) - 1])"
        }
    }

    /// The unit in words.
    public var unitText: String {
        switch unit {
        case .requests: "requests"
        case .inputTokens: "input tokens"
        case .outputTokens: "output tokens"
        case .totalTokens: "tokens"
        case .concurrency: "concurrent"
        case .microUSD: "micro-USD"
        }
    }

    /// The period in a word.
    public var periodText: String {
        switch period {
        case .calendarMonth: "month"
        case .second: "second"
        case .minute: "minute"
        case .hour: "hour"
        default: "day"
        }
    }
}
