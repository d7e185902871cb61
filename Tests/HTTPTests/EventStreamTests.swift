// Server-sent events: every rule of the format, for every split of the bytes.
import Core
import HTTP
import Testing

@Suite struct EventStreamTests {
    func decode(_ pieces: [[UInt8]], limits: EventStreamDecoder.Limits = .init()) throws(HTTPFailure) -> [String] {
        var decoder = EventStreamDecoder(limits: limits)
        var events: [String] = []
        for piece in pieces {
            try decoder.decode(piece.span.bytes) { bytes in
                events.append(bytes.string(0..<bytes.byteCount))
                return true
            }
        }
        return events
    }

    static let streams: [(String, [String])] = [
        ("data: a\n\ndata: b\n\n", ["a", "b"]), ("data:a\r\n\r\ndata:  b\r\n\r\n", ["a", " b"]),
        ("data: a\r\rdata: b\r\r", ["a", "b"]), ("data: a\ndata: b\n\n", ["a\nb"]),
        (": comment\ndata: a\n: x\n\n", ["a"]), ("event: ping\nid: 7\n\ndata: a\n\n", ["a"]),
        ("\u{FEFF}data: a\n\n", ["a"]), ("data\n\ndata: x\n\n", ["x"]), ("data:\n\ndata: x\n\n", ["x"]),
        ("data: a\u{2028}é😀\n\n", ["a\u{2028}é😀"]), ("data: unterminated\n", []), ("datax: no\n\ndata: y\n\n", ["y"]),
        ("data: a\n\n\n\ndata: b\r\n\n", ["a", "b"]),
        ("data: one\r\ndata: two\n\rdata: three\n\n", ["one\ntwo", "three"]),
    ]

    @Test(arguments: streams) func `a stream gives the same events in every split`(_ text: String, _ expected: [String])
        throws
    {
        let bytes = Array(text.utf8)
        #expect(try decode([bytes]) == expected)
        for cut in 0...bytes.count {
            #expect(try decode([Array(bytes[..<cut]), Array(bytes[cut...])]) == expected, "cut at \(cut)")
        }
        #expect(try decode(bytes.map { [$0] }) == expected)
    }

    @Test func `limits on line and event hold at n and n plus one`() throws {
        var limits = EventStreamDecoder.Limits()
        limits.line = 20
        #expect(try decode([Array("data: \(String(repeating: "x", count: 14))\n\n".utf8)], limits: limits).count == 1)
        for pieces in [1, 2] {
            let bytes = Array("data: \(String(repeating: "x", count: 15))\n\n".utf8)
            let cut = bytes.count / pieces
            #expect(throws: HTTPFailure.eventTooLarge) {
                try decode([Array(bytes[..<cut]), Array(bytes[cut...])], limits: limits)
            }
        }
        var events = EventStreamDecoder.Limits()
        events.event = 10
        for (stream, fits) in [
            ("data: 123456789\n\n", true), ("data: 1234567890\n\n", true), ("data: 12345678901\n\n", false),
            ("data: 12345\ndata: 678\n\n", true), ("data: 12345\ndata: 6789\n\n", true),
            ("data: 12345\ndata: 67890\n\n", false),
        ] {
            for pieces in [[Array(stream.utf8)], stream.utf8.map { [$0] }] {
                if fits {
                    #expect(try decode(pieces, limits: events).count == 1)
                } else {
                    #expect(throws: HTTPFailure.eventTooLarge) { try decode(pieces, limits: events) }
                }
            }
        }
    }

    /// The rules of WHATWG HTML 9.2.6 written for clarity, over the whole text at once.
    func reference(_ text: [UInt8]) -> [String] {
        var bytes = text[...]
        if bytes.starts(with: [0xEF, 0xBB, 0xBF]) { bytes = bytes.dropFirst(3) }
        var (lines, line) = ([[UInt8]](), [UInt8]())
        var wasReturn = false
        for byte in bytes {
            if byte == 10, wasReturn {
                wasReturn = false
                continue
            }
            wasReturn = byte == 13
            if byte == 10 || byte == 13 {
                lines.append(line)
                line = []
            } else {
                line.append(byte)
            }
        }
        var (events, data): ([String], [[UInt8]]) = ([], [])
        for line in lines {
            if line.isEmpty {
                let joined = Array(data.joined(separator: [10]))
                if !joined.isEmpty { events.append(String(decoding: joined, as: UTF8.self)) }
                data = []
            } else if let colon = line.firstIndex(of: UInt8(ascii: ":")) {
                guard line[..<colon].elementsEqual("data".utf8) else { continue }
                let value = line[(colon + 1)...]
                data.append(Array(value.first == 0x20 ? value.dropFirst() : value))
            } else if line.elementsEqual("data".utf8) {
                data.append([])
            }
        }
        return events
    }

    @Test(arguments: UInt64(1)...400) func `any mixture of its elements gives what the standard says`(_ seed: UInt64)
        throws
    {
        var chance = Chance(seed: seed)
        let elements = [
            "data: ", "data:", "data", "da", "ta: x", "\n", "\r", "\r\n", "\n\n", ":", ": c", "id: 1", "é", "😀", " ",
            "x",
            "event: y", "\u{FEFF}", "\u{2028}", "abcdefghijklmnop", "\0",
        ]
        let bytes = (0..<Int(chance.below(60))).flatMap { _ in
            Array(elements[Int(chance.below(UInt64(elements.count)))].utf8)
        }
        let expected = reference(bytes)
        #expect(try decode([bytes]) == expected, "seed \(seed)")
        #expect(try decode(bytes.map { [$0] }) == expected, "seed \(seed), byte by byte")
        for cut in 0...bytes.count {
            #expect(
                try decode([Array(bytes[..<cut]), Array(bytes[cut...])]) == expected, "seed \(seed), cut at \(cut)")
        }
    }
}
