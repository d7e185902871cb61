// What an operator wants of a canary: which target of which route, in which steps, and how much worse it may be.
import Core

/// A plan, checked for itself; `problem(in:)` compares it with a configuration.
public struct CanaryPlan: Sendable, Equatable {
    /// The route's alias.
    public let route: String
    /// The target on trial, as `provider/model`.
    public let target: String
    /// The target that it replaces; nil: its share comes from all targets of the route's first group.
    public let replaced: String?
    /// Shares of the requests, in hundredths of a per cent, rising.
    public var steps = [100, 500, 2_500, 5_000, 10_000]
    /// How long each step lasts at least.
    public var hold = Duration.seconds(300)
    /// How much worse it may be.
    public var limits = CanaryLimits()
    /// First attempts of the canary that each step needs.
    public var leastRequests = 200

    /// The most steps.
    public static let stepLimit = 16
    /// The times that a step may last.
    public static let holds: ClosedRange<Duration> = .seconds(1) ... .seconds(7 * 86_400)

    /// The least requests that may be asked for.
    public static let least = 10...1_000_000

    /// A plan with the usual steps and limits.
    public init(route: String, target: String, replaced: String? = nil) {
        (self.route, self.target, self.replaced) = (route, target, replaced)
    }

    /// Steps whose evidence is counted by themselves: at 100 % nothing is left to compare with, so that step goes on with the one before.
    var blockCount: Int { steps.last == 10_000 ? max(1, steps.count - 1) : steps.count }

    /// True when the steps can be taken.
    var isPossible: Bool {
        (1...CanaryPlan.stepLimit).contains(steps.count) && (1..<10_000).contains(steps[0])
            && zip(steps, steps.dropFirst()).allSatisfy { $0 < $1 } && steps.allSatisfy { $0 <= 10_000 }
            && CanaryPlan.holds.contains(hold) && CanaryPlan.least.contains(leastRequests)
            && (1...10_000).contains(limits.errorRate) && (1...1_000).contains(limits.firstToken)
            && (1...1_000).contains(limits.cost)
    }

    // MARK: - As people write it

    /// A plan of options such as `max-error-rate`, as `option` gives them; those that it does not give are as usual.
    ///
    /// - Throws: what is wrong with one, with its name.
    public static func read(
        route: String, target: String, replaced: String?, _ option: (String) -> String?
    ) throws(ValueProblem) -> CanaryPlan {
        var plan = CanaryPlan(route: route, target: target, replaced: replaced)
        func value<T>(_ name: String, _ parse: (String) throws(ValueProblem) -> T, _ take: (T) -> Void)
            throws(ValueProblem)
        {
            guard let text = option(name) else { return }
            do throws(ValueProblem) { take(try parse(text)) } catch { throw ValueProblem("\(name): \(error.message)") }
        }
        try value("steps", steps) { plan.steps = $0 }
        try value("hold", { text throws(ValueProblem) in try ConfigurationValue.duration(text, in: holds) }) {
            plan.hold = $0
        }
        try value("max-error-rate", points) { plan.limits.errorRate = $0 }
        try value("max-ttft-p95", percent) { plan.limits.firstToken = $0 }
        try value("max-cost", percent) { plan.limits.cost = $0 }
        try value("min-requests", { text throws(ValueProblem) in try ConfigurationValue.integer(text, in: least) }) {
            plan.leastRequests = $0
        }
        return plan
    }

    /// `1,5,25,50,100`, each perhaps with `%`.
    public static func steps(_ text: String) throws(ValueProblem) -> [Int] {
        var steps: [Int] = []
        for word in text.split(separator: ",", omittingEmptySubsequences: false) {
            guard let step = share(String(word)), step <= 10_000, step > steps.last ?? 0, steps.count < stepLimit else {
                throw ValueProblem(
                    "expected rising shares of 0.01 to 100 per cent such as 1,5,25,50,100, at most \(stepLimit), "
                        + "found '\(text)'")
            }
            steps.append(step)
        }
        guard steps[0] < 10_000 else {
            throw ValueProblem(
                "expected a first step below 100 per cent: with all requests there is nothing to compare")
        }
        return steps
    }

    /// `+1%`: hundredths of a percentage point.
    public static func points(_ text: String) throws(ValueProblem) -> Int {
        guard let points = share(text), (1...10_000).contains(points) else {
            throw ValueProblem("expected percentage points from +0.01% to +100%, found '\(text)'")
        }
        return points
    }

    /// `+20%`: whole per cent.
    public static func percent(_ text: String) throws(ValueProblem) -> Int {
        guard let share = share(text), share % 100 == 0, (1...1_000).contains(share / 100) else {
            throw ValueProblem("expected whole per cent from +1% to +1000%, found '\(text)'")
        }
        return share / 100
    }

    /// A number with at most two decimals, perhaps between `+` and `%`, times a hundred.
    private static func share(_ text: String) -> Int? {
        var digits = text[...]
        if digits.first == "+" { digits = digits.dropFirst() }
        if digits.last == "%" { digits = digits.dropLast() }
        guard let value = ConfigurationValue.decimal(String(digits), scale: 2), value > 0 else { return nil }
        return Int(exactly: value)
    }

    /// Hundredths of a per cent in words.
    public static func words(share: Int) -> String {
        let rest = share % 100
        if rest == 0 { return "\(share / 100) %" }
        return "\(share / 100).\(rest < 10 ? "0" : "")\(rest % 10 == 0 ? rest / 10 : rest) %"
    }
}
