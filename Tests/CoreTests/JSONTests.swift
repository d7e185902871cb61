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
            guard case .number(let range) = try reader.next() else { return nil }
            return reader.integer(range)
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

    @Test func `mutated documents that are accepted are accepted by Foundation too`() {
        var chance = Chance(seed: 20_261_123)
        let seeds =
            (JSONTests.valid + [
                #"{"id":"x","choices":[{"index":0,"delta":{"content":" héllo \"q\" \u00e9"}}],"n":-1.5e3}"#
            ])
            .map { Array($0.utf8) }
        let alphabet = Array(#"{}[]",:\/ue0123456789.-+tfn "#.utf8) + [0x80, 0xC3, 0xA9, 0x1F]
        for _ in 0..<20_000 {
            var document = seeds[Int(chance.below(UInt64(seeds.count)))]
            for _ in 0...chance.below(3) where !document.isEmpty {
                let place = Int(chance.below(UInt64(document.count)))
                switch chance.below(3) {
                case 0: document.remove(at: place)
                case 1: document[place] = alphabet[Int(chance.below(UInt64(alphabet.count)))]
                default: document.insert(alphabet[Int(chance.below(UInt64(alphabet.count)))], at: place)
                }
            }
            let ours = accepts(document)
            let theirs = (try? JSONSerialization.jsonObject(with: Data(document), options: .fragmentsAllowed)) != nil
            // Foundation accepts trailing commas, so only what we accept is compared; it refuses lone surrogates and huge
            // exponents, which the grammar allows, so documents that may hold them are left out.
            let text = String(decoding: document, as: UTF8.self)
            if ours, !text.contains("\\u"), !text.contains("e") { #expect(theirs, "\(document)") }
        }
    }
}
