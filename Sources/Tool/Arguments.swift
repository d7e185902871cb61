// Command lines: options with values, flags, and the words that are left.

/// Why a command line is refused: one sentence.
struct UsageProblem: Error { let text: String }

/// A parsed command line. Options that nobody asked for are reported.
struct Arguments {
    private var values: [String: [String]] = [:]
    private var flags: Set<String> = []
    private(set) var words: [String] = []

    /// Reads `arguments`; `valued` and `plain` are the options that exist.
    init(_ arguments: [String], valued: Set<String>, plain: Set<String>) throws(UsageProblem) {
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--" {
                words += rest
                return
            } else if valued.contains(argument) {
                guard let value = rest.popFirst() else { throw UsageProblem(text: "\(argument) needs a value") }
                values[argument, default: []].append(value)
            } else if plain.contains(argument) {
                flags.insert(argument)
            } else if argument.hasPrefix("-"), argument.count > 1 {
                throw UsageProblem(text: "unknown option '\(argument)'")
            } else {
                words.append(argument)
            }
        }
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
