// How values of settings are written: what is accepted, how it is read, and how it is written again.
import Core

/// One way to write a value. The reader of files, the published text, `sluice config get` and the documents share it.
struct ValueForm<Value: Sendable>: Sendable {
    /// What is accepted, as the tables of Docs/configuration.md say it: the kind of value, then its range.
    let words: String
    /// True for an address that a program listens on: no two settings may have the same.
    var isListened = false
    /// Reads a value, or says what was expected.
    let read: @Sendable (String) throws(ValueProblem) -> Value
    /// Writes a value as `read` takes it; empty where there is nothing to write.
    let write: @Sendable (Value) -> String
}

extension ValueForm where Value == Duration {
    /// A duration within a range.
    static func duration(_ least: Duration, to most: Duration) -> ValueForm {
        ValueForm(
            words: "duration, `\(ConfigurationValue.words(least))` to `\(ConfigurationValue.words(most))`",
            read: { text throws(ValueProblem) in try ConfigurationValue.duration(text, in: least...most) },
            write: ConfigurationValue.words)
    }
}

extension ValueForm where Value: FixedWidthInteger {
    /// A whole number within a range.
    static func number(_ range: ClosedRange<Int>) -> ValueForm {
        ValueForm(
            words: "\(range.lowerBound) to \(range.upperBound)",
            read: { text throws(ValueProblem) in Value(clamping: try ConfigurationValue.integer(text, in: range)) },
            write: { "\($0)" })
    }
}

extension ValueForm where Value == Int64 {
    /// A count such as `20k` within a range.
    static func count(_ range: ClosedRange<Int64>) -> ValueForm {
        let least = ConfigurationValue.words(count: range.lowerBound)
        let most = ConfigurationValue.words(count: range.upperBound)
        return ValueForm(
            words: "count, `\(least)` to `\(most)`",
            read: { text throws(ValueProblem) in
                let count = try ConfigurationValue.count(text)
                guard range.contains(count) else {
                    throw ValueProblem("expected a count from \(least) to \(most), found '\(text)'")
                }
                return count
            }, write: { ConfigurationValue.words(count: $0) })
    }
}

extension ValueForm where Value == Int {
    /// A size in bytes within a range.
    static func size(_ range: ClosedRange<Int>) -> ValueForm {
        let least = ConfigurationValue.words(bytes: range.lowerBound)
        let most = ConfigurationValue.words(bytes: range.upperBound)
        return ValueForm(
            words: "size, `\(least)` to `\(most)`",
            read: { text throws(ValueProblem) in try ConfigurationValue.bytes(text, in: range) },
            write: { ConfigurationValue.words(bytes: $0) })
    }
}

extension ValueForm where Value == Bool {
    /// `yes` or `no`.
    static var flag: ValueForm { either("yes", or: "no") }

    /// One word for true, one for false.
    static func either(_ yes: String, or no: String) -> ValueForm {
        ValueForm(
            words: "`\(yes)` or `\(no)`",
            read: { text throws(ValueProblem) in try ConfigurationValue.choice(text, of: [yes, no]) == yes },
            write: { $0 ? yes : no })
    }
}

extension ValueForm where Value == String {
    /// A text of some kind, which `read` checks.
    static func text(
        _ kind: String, read: @escaping @Sendable (String) throws(ValueProblem) -> String = PlainText.any
    ) -> ValueForm { ValueForm(words: kind, read: read, write: { $0 }) }

    /// One of some words.
    static func word(of words: String...) -> ValueForm {
        ValueForm(
            words: ValueForm.choice(words),
            read: { text throws(ValueProblem) in try ConfigurationValue.choice(text, of: words) }, write: { $0 })
    }

    /// The path of a file.
    static var path: ValueForm { text("path") }

    /// An address that a program listens on.
    static var listenedAddress: ValueForm {
        ValueForm(words: "address to listen on", isListened: true, read: PlainText.numericAddress, write: { $0 })
    }
}

extension ValueForm where Value: CaseIterable & RawRepresentable & Equatable, Value.RawValue == String {
    /// One of the words of a closed vocabulary.
    static var word: ValueForm {
        let words = Value.allCases.map(\.rawValue)
        return ValueForm(
            words: ValueForm<String>.choice(words),
            read: { text throws(ValueProblem) in
                if let value = Value(rawValue: text) { return value }
                throw ValueProblem("expected \(ConfigurationValue.choice(of: words)), found '\(text)'")
            }, write: \.rawValue)
    }
}

extension ValueForm {
    /// Words of which one is written, as documents say it.
    static func choice(_ words: [String]) -> String { ConfigurationValue.choice(of: words.map { "`\($0)`" }) }
}

extension ValueForm where Value == SecretReference {
    /// Where a secret is kept.
    static var secret: ValueForm {
        ValueForm(words: "secret", read: ConfigurationValue.secret, write: \.description)
    }
}
