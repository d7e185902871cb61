// Command lines: options with values, flags, and the words that are left.

/// Why a command line is refused: one sentence, and what to do when that is not simply to read the command's help.
struct UsageProblem: Error {
    let text: String
    var hint: String?
}

/// A parsed command line. Options that nobody asked for are reported.
struct Arguments {
    private var values: [String: [String]] = [:]
    private var flags: Set<String> = []
    private(set) var words: [String] = []

    /// Reads `arguments`; `valued` and `plain` are the options that exist, `most` how many words may be left.
    /// A value stands behind its option, or joined to it by `=`.
    init(
        _ arguments: [String], valued: Set<String> = [], plain: Set<String> = [], most: Int = .max
    ) throws(UsageProblem) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                words += rest
                break
            } else if valued.contains(argument) {
                guard let value = rest.popFirst(), !value.hasPrefix("--") else {
                    throw UsageProblem(text: "\(argument) needs a value")
                }
                values[argument, default: []].append(value)
            } else if plain.contains(argument) {
                flags.insert(argument)
            } else if argument.hasPrefix("-"), argument.count > 1 {
                try take(joined: argument, valued, plain)
            } else {
                words.append(argument)
            }
        }
        if words.count > most { throw UsageProblem(text: "unexpected word '\(words[most])'") }
    }

    private mutating func take(joined argument: String, _ valued: Set<String>, _ plain: Set<String>)
        throws(UsageProblem)
    {
        let parts = argument.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
        guard parts.count == 2, valued.contains(parts[0]) else {
            let isFlag = parts.count == 2 && plain.contains(parts[0])
            throw UsageProblem(text: isFlag ? "\(parts[0]) takes no value" : "unknown option '\(argument)'")
        }
        values[parts[0], default: []].append(parts[1])
    }

    func has(_ flag: String) -> Bool { flags.contains(flag) }
    func value(_ option: String) -> String? { values[option]?.last }
    func all(_ option: String) -> [String] { values[option] ?? [] }

    func number(_ option: String, in range: ClosedRange<Int>, default standard: Int) throws(UsageProblem) -> Int {
        guard let text = value(option) else { return standard }
        guard let number = Int(text), range.contains(number) else {
            throw UsageProblem(
                text: "\(option) takes a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'")
        }
        return number
    }
}
