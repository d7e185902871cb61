// The syntax of cluster.conf and its values: what is read, at which place, and in which words a mistake is told.
import Core
import Testing

@Suite struct ConfigurationSyntaxTests {
    /// Sections and entries as short text, then the problems.
    func transcript(_ text: String) -> [String] { transcript(Array(text.utf8)) }

    func transcript(_ bytes: [UInt8]) -> [String] {
        let (document, problems) = ConfigurationDocument.parse(bytes, file: "f")
        var lines: [String] = []
        for section in document.sections {
            lines.append("[\(section.kind)|\(section.name)] \(place(section.position))")
            for entry in section.entries {
                lines.append(
                    "\(entry.key)=\(entry.value) \(place(entry.keyPosition)) \(place(entry.valuePosition))")
            }
        }
        return lines + problems.map(\.description)
    }

    func place(_ position: ConfigurationPosition) -> String { "\(position.line):\(position.column)" }

    static let texts: [(text: String, transcript: [String])] = [
        ("", []),
        ("\n\n# only a comment\n   \t\n", []),
        ("[a b]\nk = v", ["[a|b] 1:1", "k=v 2:1 2:5"]),
        ("[a b]\nk=v # no\nl = v#yes\n", ["[a|b] 1:1", "k=v 2:1 2:3", "l=v#yes 3:1 3:5"]),
        ("  [ team   acme/search ]  # x\n\tlimit =  1 = 2 ", ["[team|acme/search] 1:3", "limit=1 = 2 2:2 2:11"]),
        ("[é ü]\nö = ñ # ø\n", ["[é|ü] 1:1", "ö=ñ 2:1 2:5"]),
        ("[a b]\r\nk = v\r\n\r\nl = w\r\n", ["[a|b] 1:1", "k=v 2:1 2:5", "l=w 4:1 4:5"]),
        ("[a b]\nk =\n", ["[a|b] 1:1", "k= 2:1 2:4"]),
        ("[a b]\nk = # nothing\n", ["[a|b] 1:1", "k= 2:1 2:4"]),
        ("[a b\n", ["f:1:1: a heading ends with ']'"]),
        ("  [a]\n", ["f:1:3: expected a heading such as [provider openai]"]),
        ("k = v\n", ["f:1:1: 'k' stands before the first heading"]),
        ("[a b]\n  word\n", ["[a|b] 1:1", "f:2:3: expected 'key = value' or a heading in brackets"]),
        ("[a b]\n = v\n", ["[a|b] 1:1", "f:2:2: a key is missing before '='"]),
        ("[a b]\nk = \u{1}v\n", ["[a|b] 1:1", "f:2:5: control character 1 in the line"]),
        ("[a b]\nk = v\rw\n", ["[a|b] 1:1", "f:2:6: control character 13 in the line"]),
        ("[a b]\nk = ä\u{202E}w\n", ["[a|b] 1:1", "f:2:6: control character U+202E in the line"]),
        ("[a b]\nk = v # \u{2066}no\n", ["[a|b] 1:1", "f:2:9: control character U+2066 in the line"]),
        ("[a b]\nk = v\u{9B}31m\n", ["[a|b] 1:1", "f:2:6: control character U+009B in the line"]),
    ]

    @Test(arguments: texts) func `a text is read with its places`(_ text: String, _ expected: [String]) {
        #expect(transcript(text) == expected)
    }

    @Test func `a line that is no text is told, and the others are read`() {
        let bytes = Array("[a b]\nk = ".utf8) + [0xFF] + Array("\nl = w\n".utf8)
        #expect(transcript(bytes) == ["[a|b] 1:1", "l=w 3:1 3:5", "f:2:1: the line is not UTF-8"])
    }

    @Test func `a file at its limit is read, one byte more is not`() {
        let text = "[a b]\nk = v"
        #expect(ConfigurationDocument.parse(text, file: "f", limit: 11).1.count == 0)
        #expect(
            ConfigurationDocument.parse(text, file: "f", limit: 10).1.map(\.message)
                == ["expected at most 10 bytes, found 11"])
    }

    @Test func `a file cut at every length never fails otherwise than with a problem in it`() {
        let whole = Array(Self.texts.map(\.text).joined(separator: "\n").utf8)
        for length in 0...whole.count {
            let (_, problems) = ConfigurationDocument.parse(Array(whole[..<length]), file: "f")
            let lines = whole[..<length].count { $0 == UInt8(ascii: "\n") } + 1
            #expect(problems.allSatisfy { $0.line <= lines })
        }
    }

    @Test(arguments: [
        ("0s", 0), ("250us", 250_000), ("50ms", 50_000_000), ("30s", 30_000_000_000), ("10m", 600_000_000_000),
        ("1h", 3_600_000_000_000), ("2d", 172_800_000_000_000), ("106751d", 9_223_286_400_000_000_000),
    ])
    func `a duration is read`(_ text: String, _ nanoseconds: Int64) throws {
        #expect(try ConfigurationValue.duration(text) == .nanoseconds(nanoseconds))
        let words = ConfigurationValue.words(.nanoseconds(nanoseconds))
        #expect(try ConfigurationValue.duration(words) == .nanoseconds(nanoseconds))
    }

    @Test(arguments: [
        "", "s", "30", "1.5s", "-1s", "+1s", " 1s", "1 s", "30S", "٣s", "106752d", "99999999999999999999s",
    ])
    func `what is no duration is refused with an example`(_ text: String) {
        #expect(
            throws: ValueProblem("expected a duration such as 50ms, 30s or 10m, found '\(text)'"),
            performing: { () throws in _ = try ConfigurationValue.duration(text) })
    }

    @Test func `a duration out of its range is refused with the range`() {
        #expect(
            throws: ValueProblem("expected a duration from 1ms to 10m, found '11m'"),
            performing: { () throws in
                _ = try ConfigurationValue.duration("11m", in: .milliseconds(1) ... .seconds(600))
            })
    }

    @Test(arguments: [
        ("0", 0), ("600", 600), ("20k", 20_000), ("2M", 2_000_000), ("1.5M", 1_500_000), ("1G", 1_000_000_000),
        ("9223372036854775807", Int64.max),
    ])
    func `a count is read exactly`(_ text: String, _ value: Int64) throws {
        #expect(try ConfigurationValue.count(text) == value)
    }

    @Test(arguments: [
        "", "k", "-1", "+1", "1.5", "1.0001k", "1e3", "0x10", "9223372036854775808", "10000000000G", "1,000",
    ])
    func `a count that would lose digits is refused`(_ text: String) {
        #expect(throws: ValueProblem.self) { () throws in _ = try ConfigurationValue.count(text) }
    }

    @Test func sizesHaveOneWayToBeWritten() throws {
        let range = 512...1 << 30
        for (text, bytes) in [("512B", 512), ("64KiB", 65_536), ("1MiB", 1 << 20), ("1GiB", 1 << 30)] {
            #expect(try ConfigurationValue.bytes(text, in: range) == bytes)
        }
        for text in ["", "64", "64KB", "64 KiB", "-1KiB", "1.5MiB", "511B", "2GiB", "9223372036854775807GiB", "KiB"] {
            let message = "expected a size from 512B to 1GiB, such as 64KiB or 1MiB, found '\(text)'"
            #expect(throws: ValueProblem(message)) { () throws in _ = try ConfigurationValue.bytes(text, in: range) }
        }
    }

    @Test func `money is read exactly`() throws {
        #expect(try ConfigurationValue.money("$0.000001").amount == 1)
        #expect(try ConfigurationValue.money("$500").amount == 500_000_000)
        for text in ["500", "$", "$-1", "$0.0000001", "$1.", "$.5", "€5"] {
            #expect(throws: ValueProblem.self) { () throws in _ = try ConfigurationValue.money(text) }
        }
    }

    @Test func `whole numbers, flags, choices and secrets say what they expected`() throws {
        #expect(try ConfigurationValue.integer("64", in: 0...64) == 64)
        #expect(try ConfigurationValue.flag("yes") && !ConfigurationValue.flag("no"))
        #expect(try ConfigurationValue.secret("env:KEY") == .environment("KEY"))
        #expect(try ConfigurationValue.secret("file:a/b").description == "file:a/b")
        func message(_ body: () throws(ValueProblem) -> Void) -> String {
            do throws(ValueProblem) { try body() } catch { return error.message }
            return "accepted"
        }
        for text in ["", "-1", "65", "1.0", "+1", "99999999999999999999"] {
            #expect(
                message { () throws(ValueProblem) in _ = try ConfigurationValue.integer(text, in: 0...64) }
                    == "expected a number from 0 to 64, found '\(text)'")
        }
        #expect(
            message { () throws(ValueProblem) in _ = try ConfigurationValue.flag("true") }
                == "expected yes or no, found 'true'")
        #expect(
            message { () throws(ValueProblem) in _ = try ConfigurationValue.choice("x", of: ["a", "b", "c"]) }
                == "expected a, b or c, found 'x'")
        for text in ["hunter2", "env:", "file:", "ENV:X", ""] {
            let told = message { () throws(ValueProblem) in _ = try ConfigurationValue.secret(text) }
            #expect(told.hasPrefix("expected env:NAME or file:path"))
            #expect(text.isEmpty || !told.contains("hunter2"))
        }
    }
}
