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
        #expect(throws: HTTPFailure.eventTooLarge) {
            try decode([Array("data: 12345\ndata: 67890\n\n".utf8)], limits: events)
        }
    }
}
