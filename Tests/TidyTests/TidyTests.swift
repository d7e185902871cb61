// The repository keeps its own rules, and each rule is proved by a sample that breaks it.
import Foundation
import Testing

@Suite struct TidyTests {
    static let root = URL(fileURLWithPath: #filePath)
        .deletingLastPathComponent().deletingLastPathComponent().deletingLastPathComponent()

    /// Every file that people wrote, relative to the root.
    static func files() throws -> [String] {
        var found = ["Package.swift", "README.md", "CHANGELOG.md", "cluster.conf"]
        for folder in ["Sources", "Tests", "Fuzz", "Scripts", "Docs", ".ci"] {
            let names = try FileManager.default.subpathsOfDirectory(atPath: root.appending(path: folder).path)
            found += names.map { "\(folder)/\($0)" }
        }
        return found
    }

    @Test func everyFileKeepsTheRules() throws {
        var seen = 0
        for path in try TidyTests.files() {
            guard let text = try? String(contentsOf: TidyTests.root.appending(path: path), encoding: .utf8) else {
                continue
            }
            seen += 1
            for finding in Tidy.findings(in: text, path: path) { Issue.record("\(finding)") }
        }
        #expect(seen > 100, "the walk found its files")
    }

    @Test func everyTargetHasARow() throws {
        let rooms = Set(try TidyTests.files().filter { $0.hasSuffix(".swift") }.compactMap(Tidy.room))
        #expect(rooms == Set(Tidy.imports.keys))
    }

    /// Files that nothing in Sources uses, and why they stay.
    static let waiting = [
        "Sources/Wire/Chat/EmbeddingsBodyReader.swift":
            "PROTOCOL.md describes these bodies; its vectors are read with it"
    ]

    @Test func `no source file is unused`() throws {
        var files: [String: String] = [:]
        for path in try TidyTests.files() where path.hasPrefix("Sources/") && path.hasSuffix(".swift") {
            files[path] = try String(contentsOf: TidyTests.root.appending(path: path), encoding: .utf8)
        }
        #expect(DeadFiles.find(in: files) == TidyTests.waiting.keys.sorted())
    }

    @Test func `a file that only itself and comments name is found`() {
        let dead = DeadFiles.find(in: [
            "A.swift": "struct Alone { func a() -> Alone { Alone() } }\nextension Alone {}",
            "B.swift": "extension String {\n    var unused: Int { 1 }\n}",
            "C.swift": "// Alone, unused\nstruct Used {}",
            "D.swift": "@main struct Program {\n    let used: Used\n}",
            "E.swift": "extension Used {\n    func known() {}\n}\nfunc begin() { Used().known() }",
            "F.swift": "let first = begin()",
        ])
        #expect(dead == ["A.swift", "B.swift"])
    }

    @Test func everyScriptSaysWhatItDoes() throws {
        for path in try TidyTests.files() where path.hasPrefix("Scripts/") || path == ".ci/run" {
            guard let text = try? String(contentsOf: TidyTests.root.appending(path: path), encoding: .utf8),
                text.hasPrefix("#!/usr/bin/env bash\n")
            else { continue }
            let lines = text.split(separator: "\n")
            #expect(lines.count > 1 && lines[1].hasPrefix("# "), "\(path) does not say what it does")
            #expect(lines.count <= 100, "\(path) is longer than 100 lines")
        }
    }

    struct Sample {
        let path: String
        let text: String
        let rule: String
    }

    static let broken: [Sample] = [
        Sample(path: "Sources/Core/A.swift", text: "import Wire", rule: "Core may not import Wire"),
        Sample(path: "Sources/Wire/A.swift", text: "public import struct HTTP.Head", rule: "Wire may not import HTTP"),
        Sample(path: "Sources/Policy/A.swift", text: "import Foundation", rule: "Policy may not import Foundation"),
        Sample(path: "Sources/Node/A.swift", text: "@testable import Tool", rule: "Node may not import Tool"),
        Sample(
            path: "Sources/HTTP/A.swift", text: "let a = unsafe b", rule: "is unsafe outside Net, Store and Core/Bytes"),
        Sample(
            path: "Sources/Core/A.swift", text: "nonisolated(unsafe) var a = 1",
            rule: "is unsafe outside Net, Store and Core/Bytes"),
        Sample(
            path: "Sources/Node/A.swift", text: "var a: UnsafeRawPointer",
            rule: "is unsafe outside Net, Store and Core/Bytes"),
        Sample(path: "Sources/Net/A.swift", text: "let a = try" + "! b()", rule: "forces a throwing call"),
        Sample(
            path: "Sources/Net/A.swift", text: "fatal" + "Error()",
            rule: "ends the program without a precondition's sentence"),
        Sample(path: "Sources/Net/A.swift", text: "// TO" + "DO: later", rule: "leaves work for later"),
        Sample(
            path: "Sources/Net/A.swift", text: "final class KeyMana" + "ger {",
            rule: "declares a type whose name says nothing"),
        Sample(path: "Sources/Net/StringUt" + "ils.swift", text: "", rule: "has a name that says nothing"),
        Sample(
            path: "Sources/Net/A.swift", text: "let a = " + String(repeating: "a", count: 120),
            rule: "is longer than 120 characters"),
        Sample(
            path: "Sources/Net/A.swift", text: String(repeating: "\n", count: 501), rule: "is longer than 500 lines"),
        Sample(
            path: "Sources/Net/A.swift", text: "// " + String(repeating: "a", count: 150),
            rule: "is longer than 150 characters"),
        Sample(path: "Sources/Net/A.swift", text: "let a = b[0]" + "!", rule: "forces an optional"),
        Sample(
            path: "Sources/Net/A.swift",
            text: "func a() {\n" + String(repeating: "    b()\n", count: 59) + "}",
            rule: "is a function of 61 lines; 60 fit a screen"),
        Sample(path: "Docs/a.md", text: "see /wo" + "rk/place", rule: "names a path of somebody's machine"),
    ]

    @Test(arguments: broken.indices) func aBrokenRuleIsFound(_ index: Int) {
        let sample = TidyTests.broken[index]
        let found = Tidy.findings(in: "// What it is for.\n\(sample.text)\n", path: sample.path)
        #expect(found.map(\.rule) == [sample.rule])
    }

    @Test func aFileWithoutAFirstSentenceIsFound() {
        let found = Tidy.findings(in: "import Core\n", path: "Sources/Wire/A.swift")
        #expect(found == [Finding(path: "Sources/Wire/A.swift", line: 1, rule: found.first?.rule ?? "")])
        #expect(found.first?.rule.hasPrefix("does not begin with a comment") == true)
    }

    @Test(arguments: [
        "case unsafe = 3", "return .unsafe", "let isUnsafe = true", "let a = \"unsafe\" // unsafe words",
        "import Core", "let important = 1", "struct Keeper {", "let a = b != c && !d", "protocol P { func a() }",
    ])
    func whatIsAllowedIsLeftAlone(_ line: String) {
        #expect(Tidy.findings(in: "// What it is for.\n\(line)\n", path: "Sources/Wire/A.swift") == [])
    }
}
