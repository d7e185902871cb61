// Each public case of a failed gateway that concerns what exists has a test that names it.
import Foundation
import Testing

@Suite struct CaseTests {
    /// Cases whose behaviour exists: some test's name begins with the id, such as `a14: an empty finish reason is no end`.
    static let present = [
        "a1", "a2", "a3", "a4", "a5", "a6", "a7", "a8", "a10", "a12", "a13", "a14", "a15", "a16", "b1", "b3", "b4",
        "b6",
        "b7", "b8", "b9", "c1", "c2", "c4", "c6", "c7", "c8", "c10", "c11", "d1", "d3", "d4", "d5", "d6", "d8", "g5",
        "g7",
        "g8", "h1", "h3", "h4", "h5", "h7", "h8", "h9", "h10", "h11",
    ]

    /// Cases of capabilities that are still to come, for whoever builds them.
    static let later = [
        "e1": "cache", "e2": "cache", "e4": "cache", "e6": "cache", "f1": "redaction", "f2": "redaction",
        "f5": "redaction", "f6": "redaction", "f7": "redaction", "g1": "edge", "g2": "edge", "g4": "edge", "g9": "edge",
    ]

    /// The ids in front of a test's name: `"h3, h5: when …"` has two.
    static func ids(in line: String) -> [String] {
        guard let quote = line.firstIndex(where: { $0 == "`" || $0 == "\"" }) else { return [] }
        let name = line[line.index(after: quote)...]
        guard let colon = name.firstIndex(of: ":") else { return [] }
        let words = name[..<colon].split(separator: ",").map { $0.drop(while: { $0 == " " }) }
        let areIDs = words.allSatisfy { word in
            guard let first = word.first, ("a"..."i").contains(first) else { return false }
            return word.count > 1 && word.dropFirst().allSatisfy(\.isNumber)
        }
        return areIDs ? words.map(String.init) : []
    }

    @Test func `each public case that exists has a test that names it`() throws {
        var found: Set<String> = []
        for path in try TidyTests.files() where path.hasPrefix("Tests/") && path.hasSuffix(".swift") {
            guard path != "Tests/TidyTests/CaseTests.swift" else { continue }
            let text = try String(contentsOf: TidyTests.root.appending(path: path), encoding: .utf8)
            for line in text.split(separator: "\n") {
                // A long name stands on a line of its own; arguments of one test have their names as literals.
                found.formUnion(CaseTests.ids(in: String(line)))
            }
        }
        #expect(CaseTests.present.filter { !found.contains($0) } == [], "cases that no test names")
        let unlisted = found.filter { !CaseTests.present.contains($0) && CaseTests.later[$0] == nil }
        #expect(unlisted == [], "ids of no case: a slip of the pen?")
    }

    @Test(arguments: [
        ("    @Test(\"h3, h5: when it is killed\")", ["h3", "h5"]), ("    @Test func `a14: an end`() {", ["a14"]),
        ("    func `h10: two`() async throws {", ["h10"]), ("    @Test func `a key: refused`() {", []),
        ("    @Test(arguments: [1])", []), ("    @Test func `h: no`() {", []),
    ])
    func `ids are read from names`(line: String, ids: [String]) { #expect(CaseTests.ids(in: line) == ids) }
}
