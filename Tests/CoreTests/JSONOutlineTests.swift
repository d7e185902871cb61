// Long documents read through in parts, and then with their large values passed over.
import Foundation
import Testing

@testable import Core

@Suite struct JSONOutlineTests {
    /// Reads it in parts of `part` bytes.
    private func outline(_ text: String, part: Int, least: Int = 8) throws -> JSONOutline {
        let bytes = Array(text.utf8)
        var outline = JSONOutline(least: least)
        var parts = 0
        while try !outline.scan(bytes.span.raw, atMost: part) {
            parts += 1
            try #require(parts <= bytes.count / part + 2, "each part goes on")
        }
        return outline
    }

    /// Every event of a document, in order.
    private func events(_ reader: consuming JSONReader) throws -> [String] {
        var reader = reader
        var found: [String] = []
        while true {
            switch try reader.next() {
            case .end: return found
            case .string(let text): found.append("string \(reader.string(text))")
            case .key(let text): found.append("key \(reader.string(text))")
            case .number(let text): found.append("number \(reader.string(text))")
            case let event: found.append("\(event)")
            }
        }
    }

    private static let documents = [
        #"{"a":[1,-2.5e3,{"b":"some longer text","c":[]}],"d":{"e":null,"f":true},"g":"x"}"#,
        #"  [ "escapes \\ \" \u00e4 \ud83d\ude00 here" , "\\\\\\\\\\\\" , [[[[["deep enough"]]]]] , {} , "äöü€👍 and more" ]  "#,
        #"{"kept":{"inner":{"text":"0123456789"},"more":[1,2,3,4,5,6,7,8,9]},"last":"0123456789\n"}"#, "\"0123456789\"",
        "[]", "12", #"[{"k\u0065y":"0123456789"}]"#,
    ]

    @Test(arguments: documents)
    func `in parts of any size it finds the same, and a reader that knows it reads the same`(text: String) throws {
        let bytes = Array(text.utf8)
        let wanted = try events(JSONReader(bytes.span.raw))
        let whole = try outline(text, part: 1_000)
        for part in 1...bytes.count {
            let found = try outline(text, part: part)
            #expect(found.found.map(\.start) == whole.found.map(\.start), "parts of \(part)")
            #expect(found.found.map(\.endAndEscapes) == whole.found.map(\.endAndEscapes))
            #expect(try events(JSONReader(bytes.span.raw, outline: found)) == wanted)
        }
        // Each large value is noted once, whole, in the order of their beginnings.
        #expect(whole.found.map(\.start) == whole.found.map(\.start).sorted())
        for large in whole.found {
            let part = Array(bytes[Int(large.start)..<large.end])
            #expect(throws: Never.self) { _ = try JSONValue.parse(part) }
            #expect(part.count >= 8)
        }
    }

    @Test func `skipping passes over what is large, and goes on behind it`() throws {
        let text = #"{"a":{"b":["0123456789"]},"c":["0123456789",[1,2,3,4,5]],"d":7}"#
        let bytes = Array(text.utf8)
        let known = try self.outline(text, part: 5)
        var reader = JSONReader(bytes.span.raw, outline: known)
        #expect(try reader.next() == .objectStart)
        _ = try reader.nextKey()
        #expect(bytes.span.raw.string(try reader.rawValue()) == #"{"b":["0123456789"]}"#)
        let key = try #require(try reader.nextKey())
        #expect(reader.string(key) == "c")
        let depth = reader.depth
        #expect(try reader.nextValue() == .arrayStart)
        #expect(bytes.span.raw.string(try #require(try reader.nextElement())) == #""0123456789""#)
        #expect(bytes.span.raw.string(try #require(try reader.nextElement())) == "[1,2,3,4,5]")
        try reader.skip(to: depth)
        let last = try #require(try reader.nextKey())
        #expect(reader.string(last) == "d")
        try reader.skipValue()
        #expect(try reader.nextKey() == nil)
        #expect(try reader.next() == .end)
        // Left with its first bracket, and read again from there.
        var other = JSONReader(bytes.span.raw, outline: known)
        _ = try other.next()
        _ = try other.nextKey()
        _ = try other.nextValue()
        try other.skip(to: 1)
        let next = try #require(try other.nextKey())
        #expect(other.string(next) == "c")
        var inner = other.reader(at: 5)
        #expect(try inner.nextValue() == .objectStart)
        let first = try #require(try inner.nextKey())
        #expect(inner.string(first) == "b")
    }

    @Test(arguments: [
        "", " ", "{", #"{"a""#, #"{"a":"#, #"{"a":1"#, #"{"a":1,}"#, "[1,]", "[1 2]", #"["a" "b"]"#, #"{"a" 1}"#,
        #"{"a":1}}"#, "[1]]", #""abc"#, "\"a\nb\"", #""\x""#, #""\u12"#, #"{1:2}"#, "nul", "[01]", #"{"a":1,"b"}"#,
        #"["\"]"#, #"{"a":}"#, "[,1]", #"1 "a""#, #""a" "b""#,
    ])
    func `what is no JSON is refused in parts of any size`(text: String) {
        let bytes = Array(text.utf8)
        for part in 1...max(1, bytes.count) {
            #expect(throws: JSONError.self, "parts of \(part)") { _ = try outline(text, part: part) }
        }
        #expect(throws: JSONError.self) { _ = try events(JSONReader(bytes.span.raw)) }
    }

    @Test func `no part does more than its share`() throws {
        let blanks = String(repeating: " ", count: JSONOutline.mostBlanks + 2)
        let digits = String(repeating: "1", count: JSONOutline.longestNumber + 1)
        for text in ["[\(blanks)1]", #"{"a"\#(blanks):1}"#, "[\(digits)]"] {
            #expect(throws: JSONError.self) { _ = try outline(text, part: 4_096) }
        }
        // A value of nothing but small ones is noted, and read no further than a reader may.
        let many = "[" + String(repeating: "[1],", count: JSONOutline.walk / 4 + 100) + "1]"
        let known = try self.outline(many, part: 1 << 20)
        #expect(known.found.count == 1)
        let bytes = Array(many.utf8)
        var reader = JSONReader(bytes.span.raw, outline: known)
        #expect(try reader.nextValue() == .arrayStart)
        #expect(throws: JSONError.self) {
            while reader.depth > 0 {
                let depth = reader.depth
                _ = try reader.next()
                try reader.skip(to: depth)
            }
        }
        var other = JSONReader(bytes.span.raw, outline: known)
        #expect(throws: Never.self) { try other.skipValue() }
    }

    @Test(arguments: [
        #"plain ascii text"#, "ääöüß€€👍👍", #"\\\\\\\\\\"#, #"\u00e4\u00e4\u00e4"#, #"a\n\u12ab\\\"ä\\n"#,
        #"\"\"\"\"\"\"\"\""#,
    ])
    func `a text is cut between characters and escapes`(text: String) throws {
        let document = Array("\"\(text)\"".utf8)
        var reader = JSONReader(document.span.raw)
        guard case .string(let whole) = try reader.next() else { return }
        for most in 8...40 {
            var (rest, joined, parts) = (whole, "", 0)
            while !rest.range.isEmpty, parts < 100 {
                let part = reader.prefix(of: rest, atMost: most)
                try #require(!part.range.isEmpty && part.range.count <= most)
                joined += reader.string(part)
                rest = JSONText(range: part.range.upperBound..<rest.range.upperBound, hasEscapes: rest.hasEscapes)
                parts += 1
            }
            #expect(joined == reader.string(whole), "at most \(most)")
        }
    }
}
