// Holds the JSON reader and writer to RFC 8259, against tables and against Foundation.
import Core
import Foundation
import Testing

@Suite struct JSONTests {
    static let valid = [
        "{}", "[]", "0", "-0", "1.5e+10", "-12.25E-3", "true", "false", "null", "\"\"", " \t\r\n[1 , 2 ]\n",
        #"{"a":{"b":[{}, []]},"c":"d"}"#, #""\u0041\ud83d\ude00\n\/""#, "\"é😀\"", #"{"a":1,"a":2}"#, #""\ud800""#,
        "[[[[[[[[1]]]]]]]]", #""\"\\\b\f\n\r\t""#, "\"\u{7f}\"", "\"\u{2028}\"",
    ]

    static let invalid = [
        "", " ", "{", "}", "[", "]", "[1", "[1,", "[1,]", "[,1]", "{\"a\"}", "{\"a\":}", "{\"a\":1,}", "{a:1}",
        "{'a':1}",
        "01", "+1", "1.", ".5", "1e", "1e+", "-", "--1", "0x1", "NaN", "Infinity", "tru", "nul", "True", "\"", "\"\\\"",
        #""\x""#, #""\u12""#, #""\u12G4""#, "\"\t\"", "\"\u{0}\"", "1 2", "{}{}", "[1]]", "{\"a\":1]", "[1}",
        "\u{FEFF}1",
        "/*x*/1", "[1 2]", "{\"a\" 1}", "{\"a\":1 \"b\":2}",
    ]

    static let malformedText: [[UInt8]] = [
        [0x80], [0xC0, 0x80], [0xC1, 0xBF], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
        [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xC3], [0xE2, 0x82], [0xF0, 0x9F, 0x98],
    ]

    func accepts(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) -> Bool {
        (try? JSONValue.parse(bytes, limits: limits)) != nil
    }

    @Test(arguments: valid) func `a valid document is read`(_ text: String) { #expect(accepts(Array(text.utf8))) }

    @Test(arguments: invalid) func `an invalid document is refused`(_ text: String) {
        #expect(!accepts(Array(text.utf8)))
    }

    @Test(arguments: malformedText) func `malformed UTF-8 is refused`(_ bytes: [UInt8]) {
        #expect(!accepts([0x22] + bytes + [0x22]))
        #expect(!accepts([0x22] + Array("12345678".utf8) + bytes + [0x22]))
    }

    @Test(arguments: valid) func `a document cut anywhere is refused or complete by itself`(_ text: String) {
        let bytes = Array(text.utf8)
        for length in 0..<bytes.count {
            let cut = Array(bytes[..<length])
            let isNumber = cut.last.map { $0 &- 0x30 < 10 } ?? false
            let isComplete = accepts(cut)
            if isComplete { #expect(isNumber || (try? JSONValue.parse(cut)) == (try? JSONValue.parse(bytes))) }
        }
    }

    @Test func `the depth limit holds at n and n plus one`() {
        let limits = JSONLimits(depth: 32)
        for (depth, expected) in [(31, true), (32, true), (33, false)] {
            let text = String(repeating: "[", count: depth) + String(repeating: "]", count: depth)
            #expect(accepts(Array(text.utf8), limits: limits) == expected)
        }
        #expect(!accepts([UInt8](repeating: 0x5B, count: 1_000_000)))
    }

    @Test func `the size limit holds at n and n plus one`() {
        #expect(accepts(Array("12345".utf8), limits: JSONLimits(size: 5)))
        #expect(!accepts(Array("123456".utf8), limits: JSONLimits(size: 5)))
    }

    @Test func `integers are exact or refused`() throws {
        func integer(_ text: String) throws -> Int64? {
            var reader = JSONReader(Array(text.utf8).span.bytes)
            guard case .number(let digits) = try reader.next() else { return nil }
            return reader.integer(digits.range)
        }
        #expect(try integer("9223372036854775807") == .max)
        #expect(try integer("-9223372036854775808") == .min)
        #expect(try integer("9223372036854775808") == nil)
        #expect(try integer("-9223372036854775809") == nil)
        #expect(try integer("1.0") == nil)
        #expect(try integer("-0") == 0)
    }

    @Test func `text is unescaped, and a lone surrogate becomes the replacement character`() throws {
        #expect(
            try JSONValue.parse(Array(#""a\n\u00e9\ud83d\ude00\ud800x\udc00""#.utf8)).text == "a\né😀\u{FFFD}x\u{FFFD}")
    }

    @Test func `what is written is read back`() throws {
        let nasty = (0..<128).map { String(UnicodeScalar($0) ?? " ") }.joined() + "é\u{2028}😀\u{FFFF}"
        let value = JSONValue.object([
            .init("k\"ey", .string(nasty)), .init("n", .number("-1.50e7")),
            .init("a", .array([.null, .bool(true), .integer(7), .object([])])),
        ])
        #expect(try JSONValue.parse(Array(value.json.utf8)) == value)
        let foundation = try JSONSerialization.jsonObject(with: Data(value.json.utf8)) as? [String: Any]
        #expect(foundation?["k\"ey"] as? String == nasty)
    }

    @Test func `raw values pass through byte for byte`() throws {
        let bytes = Array(#"{"skip":[1,{"x":"]"}],"tool": { "a" : 1.00 } ,"after":2}"#.utf8)
        var reader = JSONReader(bytes.span.bytes)
        var raw: String?
        _ = try reader.next()
        while case .key(let key) = try reader.next() {
            if reader.matches(key, "tool") {
                let range = try reader.rawValue()
                raw = reader.bytes.string(range)
            } else {
                try reader.skipValue()
            }
        }
        #expect(raw == #"{ "a" : 1.00 }"#)
    }

    @Test func `after a mistake nothing is found any more, wherever the caller goes on`() {
        for text in ["[\"\\1 ,2]", "{\"a\":\"\\q\",\"b\":1}", "[1 2]", "[nul 3]", "[01,2]", "{\"a\" 1}", "[\"\u{1}1]"] {
            let bytes = Array(text.utf8)
            var reader = JSONReader(bytes.span.bytes)
            var first: JSONError?
            for _ in 0..<20 {
                do throws(JSONError) {
                    _ = try reader.next()
                    #expect(first == nil, "\(text): an event after \(String(describing: first))")
                } catch {
                    if first == nil { first = error }
                    #expect(error == first)
                }
            }
            #expect(first != nil)
        }
    }

    @Test func `text in pieces is escaped like the whole`() throws {
        let text = String(repeating: "plain words, then \"quotes\" \\ é😀\u{2028}\u{1}\n", count: 3)
        let whole = JSONValue.string(text).json
        let cuts = text.unicodeScalars.indices.map { text.utf8.distance(from: text.startIndex, to: $0) }
        let bytes = Array(text.utf8)
        for cut in cuts {
            var output = ByteBuffer()
            var writer = JSONWriter()
            writer.beginString(&output)
            JSONWriter.escape(bytes.span.bytes.extracting(0..<cut), &output)
            JSONWriter.escape(bytes.span.bytes.extracting(cut..<bytes.count), &output)
            writer.endString(&output)
            #expect(output.string(of: output.slice) == whole)
        }
    }

    @Test(arguments: malformedText) func `malformed UTF-8 is written as the replacement character`(_ bytes: [UInt8]) {
        for prefix in ["", "1234567", "12345678\"é"] {
            var output = ByteBuffer()
            var writer = JSONWriter()
            writer.string((Array(prefix.utf8) + bytes).span.bytes, &output)
            #expect(accepts(output.array()))
            #expect(output.string(of: output.slice).contains("\\ufffd"))
        }
    }

    /// 30,000 documents, changed in one to three places: accepted here exactly when the letter of the RFC accepts them.
    @Test func `mutated documents are judged as the reference judges them`() {
        var chance = Chance(seed: 20_261_123)
        let extra = [
            #"{"id":"x","choices":[{"index":0,"delta":{"content":" héllo \"q\" \u00e9"}}],"n":-1.5e3}"#,
            String(repeating: "[", count: 64) + String(repeating: "]", count: 64),
        ]
        let seeds = (JSONTests.valid + extra).map { Array($0.utf8) }
        let alphabet = Array(#"{}[]",:\/ue0123456789.-+tfnEab "#.utf8) + [0x80, 0xC3, 0xA9, 0x1F, 0xED, 0xF0, 0x0A]
        var accepted = 0
        for _ in 0..<30_000 {
            var document = seeds[Int(chance.below(UInt64(seeds.count)))]
            for _ in 0...chance.below(3) where !document.isEmpty {
                let place = Int(chance.below(UInt64(document.count)))
                switch chance.below(4) {
                case 0: document.remove(at: place)
                case 1: document[place] = alphabet[Int(chance.below(UInt64(alphabet.count)))]
                case 2: document.removeSubrange(place...)
                default: document.insert(alphabet[Int(chance.below(UInt64(alphabet.count)))], at: place)
                }
            }
            let ours = accepts(document)
            if ours { accepted += 1 }
            #expect(ours == JSONReference.accepts(document), "\(document)")
        }
        // Both answers must be common, or the comparison would say little.
        #expect((3_000...27_000).contains(accepted), "\(accepted)")
    }

    /// A document by chance: nested, with text that needs every kind of escape, and fractions that are exact in binary.
    func random(_ chance: inout Chance, depth: Int) -> JSONValue {
        switch chance.below(depth > 4 ? 5 : 7) {
        case 0: return .null
        case 1: return .bool(chance.below(2) == 0)
        case 2: return .integer(Int64(bitPattern: chance.next()) >> Int64(chance.below(64)))
        case 3: return .number("\(Double(chance.below(1 << 24)) / 256)")
        case 4: return .string(text(&chance))
        case 5: return .array((0..<chance.below(5)).map { _ in random(&chance, depth: depth + 1) })
        default:
            // Foundation keeps one of two members with the same key, so keys are numbered.
            return .object(
                (0..<chance.below(5)).map { .init("\($0)\(text(&chance))", random(&chance, depth: depth + 1)) })
        }
    }

    func text(_ chance: inout Chance) -> String {
        let pieces = ["a", "word ", "\"", "\\", "/", "\n", "\u{1}", "é", "日本", "😀", "\u{2028}", "\u{7F}", "\u{FFFD}"]
        return (0..<chance.below(12)).map { _ in pieces[Int(chance.below(UInt64(pieces.count)))] }.joined()
    }

    func isSame(_ ours: JSONValue, _ theirs: Any?) -> Bool {
        switch ours {
        case .null: return theirs is NSNull
        case .bool(let value): return theirs as? Bool == value
        case .number(let digits):
            guard let number = theirs as? NSNumber else { return false }
            return ours.integer.map { number.int64Value == $0 } ?? (Double(digits) == number.doubleValue)
        case .string(let value): return (theirs as? String)?.utf8.elementsEqual(value.utf8) ?? false
        case .array(let elements):
            guard let others = theirs as? [Any], others.count == elements.count else { return false }
            return zip(elements, others).allSatisfy { isSame($0, $1) }
        case .object(let members):
            guard let others = theirs as? [String: Any], others.count == members.count else { return false }
            return members.allSatisfy { isSame($0.value, others[$0.key]) }
        }
    }

    @Test func `documents by chance mean the same here and in Foundation, in both directions`() throws {
        var chance = Chance(seed: 1_123)
        for _ in 0..<3_000 {
            let value = JSONValue.array([random(&chance, depth: 0)])
            let bytes = Array(value.json.utf8)
            #expect(try JSONValue.parse(bytes) == value)
            let theirs = try JSONSerialization.jsonObject(with: Data(bytes))
            #expect(isSame(value, theirs), "\(value.json)")
            let written = try JSONSerialization.data(withJSONObject: theirs, options: .prettyPrinted)
            let again = try JSONValue.parse([UInt8](written))
            #expect(isSame(again, try JSONSerialization.jsonObject(with: written)))
        }
    }
}

@Suite struct JSONDepthTests {
    @Test func whatIsWrittenAtMostDeepCanBeRead() throws {
        var writer = JSONWriter()
        var output = ByteBuffer()
        for _ in 0..<JSONWriter.maximumDepth { writer.beginArray(&output) }
        writer.null(&output)
        writer.null(&output)
        for _ in 0..<JSONWriter.maximumDepth { writer.endArray(&output) }
        let depth = JSONWriter.maximumDepth
        let text = String(repeating: "[", count: depth) + "null,null" + String(repeating: "]", count: depth)
        #expect(output.array() == Array(text.utf8))
        #expect(JSONLimits().depth == depth)
        _ = try JSONValue.parse(Array(text.utf8))
    }
}
