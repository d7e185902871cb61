// How one request is answered: how fast, how long, and with which fault.

/// A setting that could not be read.
struct SettingProblem: Error, Equatable, CustomStringConvertible {
    let key: String
    let expected: String
    let found: String

    var description: String { "\(key): expected \(expected), found '\(found)'" }
}

/// How one request is answered. The command line gives the defaults, `/sim/faults` changes them, and a request overrides them
/// by `x-sim-…` headers or a `sim:` line in its last user message; all four use the same keys.
struct Behaviour: Equatable, Sendable {
    /// Wait before the first output token (or before the whole answer when not streaming).
    var firstToken: Duration = .zero
    /// Time between output tokens; without streaming the answer is late by all of it.
    var pace: Duration = .zero
    /// Output tokens of an answer, unless the request allows fewer.
    var tokens = 16
    /// Output tokens in one event.
    var tokensPerChunk = 1
    /// The fault, and how many of 10 000 requests it strikes.
    var fault: Fault?
    var faultShare = 10_000
    /// What a 429 or 503 says about waiting; nil to say nothing.
    var retryAfter: Duration?
    /// How it is said.
    var retryForm = RetryForm.both
    /// Chooses the words behind the echo, and which requests the fault strikes.
    var seed: UInt64 = 1
    /// Shown in the usage's details.
    var cachedTokens = 0
    var reasoningTokens = 0
    /// Answers with a call of this tool instead of text.
    var tool: String?
    /// A name for the answer's line on standard output, which tells what was served.
    var tag: String?

    /// All keys, in the order of the help text.
    static let keys = [
        "first-token", "pace", "tokens", "chunk", "error", "error-rate", "retry-after", "retry-form", "seed", "cached",
        "reasoning", "tool", "tag",
    ]

    /// Changes the setting `key`.
    mutating func set(_ key: Substring, to value: Substring) throws(SettingProblem) {
        func problem(_ expected: String) -> SettingProblem {
            SettingProblem(key: String(key), expected: expected, found: String(value.prefix(64)))
        }
        func number(_ range: ClosedRange<Int>) throws(SettingProblem) -> Int {
            guard let number = Int(value), range.contains(number) else {
                throw problem("a number from \(range.lowerBound) to \(range.upperBound)")
            }
            return number
        }
        func duration() throws(SettingProblem) -> Duration {
            guard let duration = Behaviour.duration(value) else { throw problem("a duration such as 200ms, up to 1h") }
            return duration
        }
        switch key {
        case "first-token": firstToken = try duration()
        case "pace": pace = try duration()
        case "tokens": tokens = try number(0...1_000_000)
        case "chunk": tokensPerChunk = try number(1...1000)
        case "cached": cachedTokens = try number(0...1_000_000_000)
        case "reasoning": reasoningTokens = try number(0...1_000_000_000)
        case "retry-after": retryAfter = value == "none" ? nil : try duration()
        case "retry-form":
            guard let form = RetryForm(rawValue: String(value)) else {
                throw problem(RetryForm.allCases.map(\.rawValue).joined(separator: ", "))
            }
            retryForm = form
        case "seed":
            guard let number = UInt64(value) else { throw problem("a whole number") }
            seed = number
        case "error":
            fault = value == "none" ? nil : Fault(value)
            if fault == nil, value != "none" {
                throw problem("none, a status from 400 to 599, or a fault such as hang")
            }
        case "error-rate":
            guard let share = Behaviour.share(value) else { throw problem("a share such as 2.5%") }
            faultShare = share
        case "tool":
            let isName = !value.isEmpty && value.utf8.count <= 64 && value.utf8.allSatisfy(Behaviour.isNameByte)
            guard isName else { throw problem("a tool's name, none to answer with text") }
            tool = value == "none" ? nil : String(value)
        case "tag":
            let isName = !value.isEmpty && value.utf8.count <= 64 && value.utf8.allSatisfy(Behaviour.isNameByte)
            guard isName else { throw problem("a name of letters, digits, '-' and '_', none for no line") }
            tag = value == "none" ? nil : String(value)
        default:
            throw SettingProblem(
                key: "setting", expected: "one of \(Behaviour.keys.joined(separator: ", "))",
                found: String(key.prefix(64)))
        }
    }

    /// Changes every setting of a text such as `tokens=64 pace=10ms error=cut-after=5`.
    mutating func set(all text: Substring) throws(SettingProblem) {
        for word in text.split(whereSeparator: { $0 == " " || $0 == "\t" || $0 == "\n" || $0 == "\r" || $0 == "\r\n" })
        {
            guard let equals = word.firstIndex(of: "=") else {
                throw SettingProblem(key: "setting", expected: "key=value", found: String(word.prefix(64)))
            }
            try set(word[..<equals], to: word[word.index(after: equals)...])
        }
    }

    /// The settings as a text that `set(all:)` reads back.
    var settings: String {
        var words = [
            "first-token=\(Behaviour.text(firstToken))", "pace=\(Behaviour.text(pace))", "tokens=\(tokens)",
            "chunk=\(tokensPerChunk)", "error=\(fault?.setting ?? "none")",
            "error-rate=\(faultShare / 100).\(faultShare % 100 / 10)\(faultShare % 10)%",
            "retry-after=\(retryAfter.map(Behaviour.text) ?? "none")", "retry-form=\(retryForm.rawValue)",
        ]
        words += [
            "seed=\(seed)", "cached=\(cachedTokens)", "reasoning=\(reasoningTokens)", "tool=\(tool ?? "none")",
            "tag=\(tag ?? "none")",
        ]
        return words.joined(separator: " ")
    }

    private static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "-"):
            true
        default: false
        }
    }

    /// `us`, `ms`, `s` and `m`; at most an hour.
    static func duration(_ text: Substring) -> Duration? {
        let digits = text.prefix { $0.isASCII && $0.isNumber }
        guard digits.utf8.count <= 12, let amount = Int64(digits) else { return nil }
        let duration: Duration
        switch text[digits.endIndex...] {
        case "us": duration = .microseconds(amount)
        case "ms": duration = .milliseconds(amount)
        case "s": duration = .seconds(amount)
        case "m": duration = .seconds(amount * 60)
        case "": duration = amount == 0 ? .zero : .seconds(-1)
        default: return nil
        }
        return duration >= .zero && duration <= .seconds(3600) ? duration : nil
    }

    private static func text(_ duration: Duration) -> String {
        let microseconds = duration / .microseconds(1)
        return microseconds.truncatingRemainder(dividingBy: 1000) == 0
            ? "\(Int64(microseconds) / 1000)ms" : "\(Int64(microseconds))us"
    }

    /// Parts of 10 000; `2.5%` is 250.
    private static func share(_ text: Substring) -> Int? {
        guard text.hasSuffix("%"), let percent = Double(text.dropLast()), percent >= 0, percent <= 100 else {
            return nil
        }
        return Int(percent * 100 + 0.5)
    }
}
