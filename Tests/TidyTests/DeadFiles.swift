// Finds source files that nothing uses.
import Foundation

/// What a source file declares, and the words that it uses.
struct SourceWords {
    /// Names that other files would have to use: its types and functions, or the members of its extensions when it declares nothing else.
    let declared: Set<String>
    let words: Set<String>
    /// True for the file in which a program begins.
    let isEntrance: Bool

    init(_ text: String) {
        let lines = text.split(separator: "\n").map { line -> Substring in
            guard let comment = line.firstRange(of: "//") else { return line }
            return line[..<comment.lowerBound]
        }
        let code = lines.joined(separator: "\n")
        words = Set(code.split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map(String.init))
        isEntrance = code.contains("@main")
        var (own, extended, members): (Set<String>, Set<String>, Set<String>) = ([], [], [])
        for line in lines {
            let parts = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
            let kinds: Set<Substring> = [
                "struct", "class", "enum", "protocol", "actor", "typealias", "func", "extension",
            ]
            let inside: Set<Substring> = ["func", "var", "let", "case", "struct", "class", "enum"]
            let isTop = line.first.map { !$0.isWhitespace } ?? false
            guard let index = parts.firstIndex(where: (isTop ? kinds : inside).contains), index + 1 < parts.count else {
                continue
            }
            let name = String(parts[index + 1])
            if !isTop {
                members.insert(name)
            } else if parts[index] == "extension" {
                extended.insert(name)
            } else {
                own.insert(name)
            }
        }
        declared = extended.isSubset(of: own) ? own : own.union(members)
    }
}

enum DeadFiles {
    /// Those whose declarations no other file of the list names.
    static func find(in files: [String: String]) -> [String] {
        let sources = files.mapValues(SourceWords.init)
        var uses: [String: Int] = [:]
        for source in sources.values { for word in source.words { uses[word, default: 0] += 1 } }
        return sources.filter { _, source in
            !source.isEntrance && !source.declared.isEmpty && source.declared.allSatisfy { uses[$0] == 1 }
        }.keys.sorted()
    }
}
