// The server machine as transcripts: what a client sends, what the owner sees, what goes back.
import Core
import HTTP
import Testing

@Suite struct ServerTests {
    /// Requests that an owner saw, and the bytes that went back.
    struct Seen: Equatable {
        var requests: [String] = []
        var failure: HTTPFailure?
        var output = ""
        var isFinished = false
    }

    let now = Instant(nanoseconds: 0)

    /// Feeds `pieces` to a server that answers each complete request with its own body.
    func serve(_ pieces: [[UInt8]], limits: HTTPLimits = HTTPLimits(body: 1 << 20), closes: Bool = false) -> Seen {
        var server = HTTPServerConnection(limits: limits, at: now)
        var input = ByteBuffer()
        var output = ByteBuffer()
        var seen = Seen()
        var body: [UInt8] = []
        for piece in pieces {
            input.append(piece)
            var taken = 0
            repeat {
                // What was handed out makes room for the next request.
                server.transmit(into: &output, at: now)
                taken = 0
                while server.wantsInput, let event = server.receive(&input, at: now) {
                    taken += 1
                    switch event {
                    case .request(let head):
                        seen.requests.append("\(head.method) \(head.target)")
                        body = []
                    case .body(let slice): body += input.array(of: slice)
                    case .end: server.respond(status: 200, body: body.span.bytes)
                    case .failed(let failure): seen.failure = failure
                    }
                }
            } while taken > 0
            server.transmit(into: &output, at: now)
        }
        if closes, case .failed(let failure) = server.inputEnded(at: now) { seen.failure = failure }
        seen.output = output.string(of: output.slice)
        seen.isFinished = server.isFinished
        return seen
    }

    func everySplit(_ text: String) -> Seen {
        let bytes = Array(text.utf8)
        let whole = serve([bytes])
        for cut in 0...bytes.count {
            #expect(serve([Array(bytes[..<cut]), Array(bytes[cut...])]) == whole, "cut at \(cut)")
        }
        #expect(serve(bytes.map { [$0] }) == whole, "byte by byte")
        return whole
    }

    @Test func `requests in one piece are answered in order, however they are split`() {
        let seen = everySplit(
            """
            POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabcGET /b?c HTTP/1.1\r\nhost:y\r\n\r\n\
            PUT /d HTTP/1.1\r\nHOST: z\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n1;q="x"\r\nf\r\n0\r\nT: u\r\n\r\n
            """)
        #expect(seen.requests == ["POST /a", "GET /b?c", "PUT /d"])
        #expect(
            seen.output == """
                HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabcHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n\
                HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\ndef
                """)
        #expect(seen.isFinished == false)
    }

    @Test func `a client that sends requests and reads nothing is answered once, until it reads`() {
        var server = HTTPServerConnection(at: now)
        var input = ByteBuffer(Array(String(repeating: "GET / HTTP/1.1\r\nHost: a\r\n\r\n", count: 2_000).utf8))
        var answered = 0
        func work() {
            while server.wantsInput, let event = server.receive(&input, at: now) {
                guard event == .end else { continue }
                server.respond(status: 200, body: [UInt8](repeating: 120, count: 30_000).span.bytes)
                answered += 1
            }
        }
        work()
        #expect(answered == 1)
        let buffered = server.bufferedBytes
        #expect(buffered < 31_000)
        var output = ByteBuffer()
        server.transmit(into: &output, at: now)
        work()
        #expect(answered == 2)
    }

    @Test func `a head that comes in dribs and drabs has its time in all, not from byte to byte`() {
        var server = HTTPServerConnection(idleTime: .seconds(5), at: now)
        var input = ByteBuffer(Array("GET / HTTP/1.1\r\n".utf8))
        for second in 1...4 {
            _ = server.receive(&input, at: now + .seconds(second))
            input.append("X-\(second): y\r\n")
        }
        let due = server.deadline
        #expect(due == now + .seconds(5))
        _ = server.advance(to: now + .seconds(5))
        let isFinished = server.isFinished
        #expect(isFinished)
    }

    @Test func `an HTTP 1.0 client needs no Host and is sent away after its answer unless it asks to stay`() {
        #expect(everySplit("GET / HTTP/1.0\r\n\r\n").isFinished == true)
        #expect(everySplit("GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n").isFinished == false)
    }

    @Test func `HEAD is answered with the length and without the body`() {
        let seen = everySplit("HEAD / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab")
        #expect(seen.output == "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n")
    }

    @Test(arguments: [204, 304]) func `a status without a body states no length`(_ status: Int) {
        var server = HTTPServerConnection(at: now)
        var input = ByteBuffer(Array("GET / HTTP/1.1\r\nHost: x\r\n\r\n".utf8))
        while server.receive(&input, at: now) != nil {}
        server.respond(status: status, headers: "ETag: \"1\"\r\n", body: Array("dropped".utf8).span.bytes)
        var output = ByteBuffer()
        server.transmit(into: &output, at: now)
        let text = output.string(of: output.slice)
        #expect(text.hasPrefix("HTTP/1.1 \(status) "))
        #expect(text.hasSuffix("\r\nETag: \"1\"\r\n\r\n"))
    }

    static let refused: [(String, HTTPFailure)] = [
        ("GET / HTTP/1.1\r\n\r\n", .host), ("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n", .host),
        ("GET / HTTP/1.0\r\nHost: a\r\nhost: b\r\n\r\n", .host), ("GET / HTTP/1.1\n", .startLine),
        ("GET / HTTP/1.1\r\nHost: a\n", .header), ("\r\n", .startLine), ("\n", .startLine),
        ("GET / HTTP/1.1\r\nHost: a\r\nA:\u{B}b\r\n\r\n", .header), ("GET / HTTP/1.1\r\nHost: a\rb\r\n\r\n", .header),
        ("GET / HTTP/1.1\r\n Host: a\r\n\r\n", .header), ("GET / HTTP/1.1\r\nHost : a\r\n\r\n", .header),
        ("GET / HTTP/1.1\r\nHost: a\r\nno colon\r\n\r\n", .header), ("GET / HTTP/1.1 \r\nHost: a\r\n\r\n", .startLine),
        ("GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", .startLine), ("GET /\u{E9} HTTP/1.1\r\nHost: a\r\n\r\n", .startLine),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 01x\r\n\r\n", .contentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\n", .contentLength),
        ("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x10\r\n\r\n", .contentLength),
        (
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n",
            .transferEncoding
        ),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", .transferEncoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \u{B}chunked\r\n\r\n", .header),
        ("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncoding),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n-1\r\n", .chunk),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0x1\r\n", .chunk),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1 \r\n", .chunk),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1;\n", .chunk),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc", .chunk),
    ]

    @Test(arguments: refused) func `what two readers could read differently is refused`(
        _ text: String, _ failure: HTTPFailure
    ) {
        let seen = everySplit(text)
        #expect(seen.failure == failure)
        #expect(seen.output.contains("Connection: close\r\n"))
        #expect(seen.isFinished == true)
    }

    @Test func `an answer before the end of the body closes the connection instead of reading the rest as a request`() {
        var server = HTTPServerConnection(at: now)
        var input = ByteBuffer(Array("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40\r\n\r\nGET /smuggled".utf8))
        guard case .request = server.receive(&input, at: now) else {
            Issue.record("no request")
            return
        }
        server.respond(status: 403, body: Array("no".utf8).span.bytes)
        #expect(server.receive(&input, at: now) == nil)
        var output = ByteBuffer()
        server.transmit(into: &output, at: now)
        #expect(output.string(of: output.slice).contains("Connection: close\r\n"))
        #expect(server.isFinished == true)
    }

    @Test func `a client that expects to be told to go on is told`() {
        let seen = serve([Array("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-Continue\r\nContent-Length: 2\r\n\r\n".utf8)]
        )
        #expect(seen.output == "HTTP/1.1 100 Continue\r\n\r\n")
        // Who sent the body already is not told.
        let both = serve([
            Array("POST / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\nab".utf8)
        ])
        #expect(both.output.hasPrefix("HTTP/1.1 200 OK"))
    }

    @Test func `a request cut anywhere is a failure or nothing, never a shorter request`() {
        let bytes = Array("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc".utf8)
        for length in 0..<bytes.count {
            let seen = serve([Array(bytes[..<length])], closes: true)
            #expect(!seen.output.contains("200"), "cut at \(length)")
            #expect((seen.failure == .truncated) == !seen.requests.isEmpty, "cut at \(length)")
            #expect(seen.isFinished == true)
        }
    }

    @Test func `limits on chunks, trailers and bodies hold at n minus one, n and n plus one`() {
        let head = "POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        var limits = HTTPLimits(body: 10)
        limits.trailers = 32
        func failure(_ body: String) -> HTTPFailure? { serve([Array((head + body).utf8)], limits: limits).failure }
        for (extra, wanted) in [(-1, nil), (0, nil), (1, HTTPFailure.chunk)] as [(Int, HTTPFailure?)] {
            let line = "1;" + String(repeating: "e", count: 254 + extra)
            #expect(failure("\(line)\r\na\r\n0\r\n\r\n") == wanted)
        }
        for (extra, wanted) in [(-1, nil), (0, nil), (1, HTTPFailure.trailersTooLarge)] as [(Int, HTTPFailure?)] {
            let trailers = "a: b\r\nc: \(String(repeating: "d", count: 21 + extra))\r\n"
            #expect(failure("0\r\n\(trailers)\r\n") == wanted)
        }
        for (size, wanted) in [(9, nil), (10, nil), (11, HTTPFailure.bodyTooLarge)] as [(Int, HTTPFailure?)] {
            let body = String(repeating: "x", count: size)
            #expect(failure("\(String(size, radix: 16))\r\n\(body)\r\n0\r\n\r\n") == wanted)
            #expect(failure("1\r\nx\r\n\(String(size - 1, radix: 16))\r\n\(body.dropLast())\r\n0\r\n\r\n") == wanted)
            let fixed = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \(size)\r\n\r\n\(body)"
            #expect(serve([Array(fixed.utf8)], limits: limits).failure == wanted)
        }
        // A chunk that is too large is refused by its size alone, before anything is read or kept.
        #expect(failure("fffffff\r\n") == .bodyTooLarge)
    }
}
