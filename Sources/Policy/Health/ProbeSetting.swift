// How a coordinator asks a provider, now and then, whether it works: `probe = models 30s`, `probe-budget = 240 / hour`.
import Core

/// A provider's probe.
public struct ProbeSetting: Sendable, Equatable {
    /// What is asked.
    public enum Call: Sendable, Equatable {
        /// The list of models, which costs nothing: shows that the provider is there and takes the API key.
        case models
        /// One chat of one output token with this model, which the provider bills.
        case chat(model: String)
    }

    /// What is asked.
    public let call: Call
    /// How often, at least.
    public let interval: Duration
    /// The most probes in any hour.
    public let budget: Int

    /// The probe that these settings describe. Without a budget of its own it may be made twice as often as its interval takes: half of
    /// that is for looking sooner at a provider that failed.
    public init(_ call: Call, every interval: Duration, budget: Int? = nil) {
        self.call = call
        self.interval = interval
        self.budget = budget ?? 2 * ProbeSetting.count(every: interval)
    }

    /// The shortest and the longest interval.
    public static let intervals: ClosedRange<Duration> = .seconds(1) ... .seconds(3_600)
    /// The largest budget.
    public static let largestBudget = 10_000

    /// How many probes an hour an interval takes.
    static func count(every interval: Duration) -> Int {
        let (hour, each) = (Duration.seconds(3_600).nanoseconds, interval.nanoseconds)
        return Int((hour + each - 1) / each)
    }

    /// How long an answer is waited for: a list of models is at hand, one token may be far behind a prompt.
    public var deadline: Duration { call == .models ? .seconds(5) : .seconds(15) }

    /// True when the budget is not the usual one of the interval.
    var hasOwnBudget: Bool { budget != 2 * ProbeSetting.count(every: interval) }
}

// MARK: - Text

extension ValueForm where Value == ProbeSetting? {
    /// `off`, `models TIME` or `chat MODEL TIME`; with the usual budget of that time.
    static var probe: ValueForm {
        let times = ProbeSetting.intervals
        return ValueForm(
            words: """
                `off`, `models TIME` or `chat MODEL TIME`, `\(ConfigurationValue.words(times.lowerBound))` to \
                `\(ConfigurationValue.words(times.upperBound))`
                """, read: ProbeSetting.parse, write: { $0?.text ?? "off" })
    }
}

extension ValueForm where Value == Int {
    /// `240 / hour`.
    static var probeBudget: ValueForm {
        ValueForm(
            words: "1 to \(ProbeSetting.largestBudget) `/ hour`", read: ProbeSetting.parseBudget,
            write: { "\($0) / hour" })
    }
}

extension ProbeSetting {
    fileprivate var text: String {
        switch call {
        case .models: "models \(ConfigurationValue.words(interval))"
        case .chat(let model): "chat \(model) \(ConfigurationValue.words(interval))"
        }
    }

    fileprivate static func parse(_ text: String) throws(ValueProblem) -> ProbeSetting? {
        let words = text.split(separator: " ").map(String.init)
        switch (words.first, words.count) {
        case ("off", 1): return nil
        case ("models", 2):
            return ProbeSetting(.models, every: try ConfigurationValue.duration(words[1], in: intervals))
        case ("chat", 3):
            return ProbeSetting(
                .chat(model: words[1]), every: try ConfigurationValue.duration(words[2], in: intervals))
        default:
            throw ValueProblem(
                "expected 'off', 'models TIME' or 'chat MODEL TIME', such as models 30s, found '\(text)'")
        }
    }

    fileprivate static func parseBudget(_ text: String) throws(ValueProblem) -> Int {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 3, words[1] == "/", words[2] == "hour" else {
            throw ValueProblem("expected a number of probes such as '240 / hour', found '\(text)'")
        }
        return try ConfigurationValue.integer(words[0], in: 1...largestBudget)
    }
}
