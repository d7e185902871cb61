// The rules of the house that no compiler checks: imports, `unsafe`, names, lengths, first lines.
import Foundation

/// One broken rule in one file.
struct Finding: Equatable, CustomStringConvertible {
    let path: String
    let line: Int
    let rule: String
    var description: String { "\(path):\(line): \(rule)" }
}

enum Tidy {
    static let lineLimit = 120
    /// Sentences of comments and texts in quotes may reach a little further: breaking them does not help a reader.
    static let sentenceLimit = 150
    static let fileLimit = 500
    static let functionLimit = 60

    /// What each target may import besides itself; the floors of the architecture, from below to above.
    static let imports: [String: Set<String>] = [
        "Core": [],
        "Wire": ["Core"],
        "HTTP": ["Core"],
        "Policy": ["Core"],
        "Telemetry": ["Core"],
        "Net": ["Core", "Telemetry", "CLinux", "COpenSSL", "Glibc", "Dispatch", "Synchronization"],
        "Store": ["Core", "Policy", "Telemetry", "Net", "CHiredis"],
        "Providers": ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net"],
        "Client": ["Core", "Wire", "Telemetry", "Net", "Synchronization"],
        "Node": [
            "Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Providers", "Client", "Dispatch",
            "Synchronization",
        ],
        "Coordinator": [
            "Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Providers", "Client", "Dispatch",
            "Synchronization", "FoundationEssentials",
        ],
        "Tool": ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Client", "FoundationEssentials"],
        "ProviderSim": ["Core", "HTTP", "Policy", "Telemetry", "Net", "Dispatch", "Synchronization"],
    ]

    /// All that is wrong with a file of the repository; `path` is relative to its root.
    static func findings(in text: String, path: String) -> [Finding] {
        var found: [Finding] = []
        let lines = text.split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
        func add(_ index: Int, _ rule: String) { found.append(Finding(path: path, line: index + 1, rule: rule)) }

        for (index, line) in lines.enumerated() where workplaces.contains(where: line.contains) {
            add(index, "names a path of somebody's machine")
        }
        guard path.hasSuffix(".swift") else { return found }

        if path != "Package.swift", !text.hasPrefix("// ") {
            add(0, "does not begin with a comment that tells its use")
        }
        if lines.count - 1 > fileLimit { add(fileLimit, "is longer than \(fileLimit) lines") }
        for (index, length) in longFunctions(lines) {
            add(index, "is a function of \(length) lines; \(functionLimit) fit a screen")
        }
        if let name = path.split(separator: "/").last, isBanned(String(name)) { add(0, "has a name that says nothing") }
        for (index, line) in lines.enumerated() {
            let limit = isSentence(line) ? sentenceLimit : lineLimit
            if line.count > limit { add(index, "is longer than \(limit) characters") }
            if line.contains("TO" + "DO") { add(index, "leaves work for later") }
            let code = code(of: line)
            if code.contains("try" + "!") { add(index, "forces a throwing call") }
            if isForced(code), path.hasPrefix("Sources/"), !code.contains("try" + "!") {
                add(index, "forces an optional")
            }
            if code.contains("fatal" + "Error(") { add(index, "ends the program without a precondition's sentence") }
            if let name = declaredType(code), isBanned(name) { add(index, "declares a type whose name says nothing") }
            if let room = room(of: path) {
                if let module = imported(code), module != room, imports[room]?.contains(module) != true {
                    add(index, "\(room) may not import \(module)")
                }
                if isUnsafe(code), !mayBeUnsafe(path) { add(index, "is unsafe outside Net, Store and Core/Bytes") }
            }
        }
        return found
    }

    /// Functions longer than a screen: where they begin, and how many lines they have. The formatter puts their last brace under their first word.
    private static func longFunctions(_ lines: [String]) -> [(index: Int, length: Int)] {
        var found: [(Int, Int)] = []
        for (index, line) in lines.enumerated() {
            let indent = line.prefix { $0 == " " }
            let words = code(of: line).split { " (<".contains($0) }
            guard words.contains("func") || words.contains("init") || words.first == "deinit" else { continue }
            // A requirement has no body: the next line at its depth is another declaration.
            guard
                let end = lines[(index + 1)...].firstIndex(where: {
                    $0.hasPrefix(indent) && !$0.hasPrefix(indent + " ")
                }),
                lines[end].hasPrefix(indent + "}"), end - index + 1 > functionLimit
            else { continue }
            found.append((index, end - index + 1))
        }
        return found
    }

    /// An exclamation mark behind a value.
    private static func isForced(_ code: String) -> Bool {
        let characters = Array(code)
        return characters.indices.dropFirst().contains { place in
            let before = characters[place - 1]
            guard characters[place] == "!", before.isLetter || before.isNumber || ")]_".contains(before) else {
                return false
            }
            return place + 1 == characters.count || characters[place + 1] != "="
        }
    }

    /// The target that a source file belongs to; nil for tests and the package's description.
    static func room(of path: String) -> String? {
        let parts = path.split(separator: "/")
        return parts.count > 2 && parts[0] == "Sources" ? String(parts[1]) : nil
    }

    private static let workplaces = ["/wo" + "rk/", "/ho" + "me/", "/Us" + "ers/"]

    private static func mayBeUnsafe(_ path: String) -> Bool {
        ["Sources/Net/", "Sources/Store/", "Sources/Core/Bytes/"].contains(where: path.hasPrefix)
    }

    /// The line without its comment and without the content of its string literals.
    private static func code(of line: String) -> String {
        var code = ""
        var isString = false
        var last: Character = " "
        for character in line {
            if character == "\"", last != "\\" { isString.toggle() }
            if !isString, character == "/", last == "/" {
                code.removeLast()
                break
            }
            if !isString || character == "\"" { code.append(character) }
            last = character
        }
        return code
    }

    /// A comment, a text in quotes, or a line of a text of several lines (which holds no code that the formatter breaks).
    private static func isSentence(_ line: String) -> Bool {
        line.drop(while: { $0 == " " }).hasPrefix("//") || code(of: line).count <= lineLimit
    }

    private static func imported(_ code: String) -> String? {
        let words = code.split(separator: " ")
        guard let place = words.firstIndex(of: "import"), words[..<place].allSatisfy(isImportPrefix),
            let name = words.last
        else { return nil }
        let module = words.count > place + 2 ? words[place + 2] : name
        return String(module.split(separator: ".").first ?? module)
    }

    private static func isImportPrefix(_ word: Substring) -> Bool {
        word.hasPrefix("@") || ["public", "package", "internal", "fileprivate", "private"].contains(word)
    }

    private static func declaredType(_ code: String) -> String? {
        let words = code.split(whereSeparator: { !$0.isLetter && !$0.isNumber && $0 != "_" })
        let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "actor", "typealias"]
        guard let place = words.firstIndex(where: kinds.contains), place + 1 < words.count else { return nil }
        return String(words[place + 1])
    }

    private static func isBanned(_ name: String) -> Bool {
        ["mana" + "ger", "hel" + "per", "ut" + "ils"].contains(where: name.lowercased().contains)
    }

    /// An `unsafe` expression, `@unsafe`, `nonisolated(unsafe)` or an unsafe pointer; not a case of that name.
    private static func isUnsafe(_ code: String) -> Bool {
        if code.contains("Unsafe"), code.contains("Pointer") { return true }
        var rest = code[...]
        while let match = rest.range(of: "unsafe") {
            let before = code[..<match.lowerBound]
            let after = code[match.upperBound...].first
            let isWord = before.last.map { !$0.isLetter && !$0.isNumber && $0 != "." && $0 != "_" } ?? true
            let isEnd = after.map { !$0.isLetter && !$0.isNumber && $0 != "_" } ?? true
            let isCase = before.split(separator: " ").contains("case")
            if isWord, isEnd, !isCase { return true }
            rest = rest[match.upperBound...]
        }
        return false
    }
}
