// HTTP/1.1 as transcripts: each message whole, in two pieces at every place, and byte by byte; smugglers refused.
import Core
import HTTP
import Testing

@Suite struct HTTPTests {
    /// What a client saw, in a form that is easy to compare.
    struct Seen: Equatable {
        var status = 0
        var body: [UInt8] = []
        var ended: Bool?
        var failure: HTTPFailure?
        var kind: String?
    }

    func answer(_ pieces: [[UInt8]], closes: Bool = false, limits: HTTPLimits = HTTPLimits()) -> Seen {
        var machine = HTTPClientConnection(limits: limits)
        let now = Instant(nanoseconds: 0)
        machine.send(head: { $0.append(literal: "POST / HTTP/1.1\r\n") }, body: { $0.append(literal: "hello") })
        var sent = ByteBuffer()
        machine.transmit(into: &sent, at: now)
        var input = ByteBuffer()
        var seen = Seen()
        func take(_ event: HTTPClientConnection.Event, _ input: borrowing ByteBuffer) {
            switch event {
            case .head(let head):
                seen.status = head.status
                seen.kind = head.value(of: "content-type", in: input.bytes(of: head.slice))
            case .body(let slice): seen.body += input.array(of: slice)
            case .end(let reusable): seen.ended = reusable
            case .failed(let failure): seen.failure = failure
            }
        }
        for piece in pieces {
            input.append(piece)
            while let event = machine.receive(&input, at: now) { take(event, input) }
        }
        if closes, let event = machine.inputEnded(at: now) { take(event, input) }
        return seen
    }

    func everySplit(_ text: String, closes: Bool = false) -> Seen {
        let bytes = Array(text.utf8)
        let whole = answer([bytes], closes: closes)
        for cut in 0...bytes.count {
            #expect(answer([Array(bytes[..<cut]), Array(bytes[cut...])], closes: closes) == whole, "cut at \(cut)")
        }
        #expect(answer(bytes.map { [$0] }, closes: closes) == whole, "byte by byte")
        return whole
    }

    @Test func `a body of stated length is read, and the connection kept`() {
        let seen = everySplit("HTTP/1.1 200 OK\r\nContent-Type:  text/plain \r\ncontent-LENGTH: 5\r\n\r\nhello")
        #expect(seen == Seen(status: 200, body: Array("hello".utf8), ended: true, kind: "text/plain"))
    }

    @Test func `chunks are joined, extensions and trailers skipped`() {
        let seen = everySplit(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n5;x=y\r\nhello\r\nA\r\n, world!!!\r\n0\r\nX: y\r\n\r\n"
        )
        #expect(seen == Seen(status: 200, body: Array("hello, world!!!".utf8), ended: true))
    }

    @Test func `a body without length ends with the connection`() {
        let seen = everySplit("HTTP/1.1 200 OK\r\n\r\nhello", closes: true)
        #expect(seen == Seen(status: 200, body: Array("hello".utf8), ended: false))
    }

    @Test func `interim responses are skipped, and 204 has no body`() {
        let seen = everySplit(
            "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Hints\r\nLink: x\r\n\r\nHTTP/1.1 204 None\r\n\r\n")
        #expect(seen == Seen(status: 204, ended: true))
    }

    @Test func `a connection that says close is not reused`() {
        #expect(everySplit("HTTP/1.1 200 OK\r\nConnection: x, Close\r\nContent-Length: 0\r\n\r\n").ended == false)
        #expect(everySplit("HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n").ended == false)
        #expect(everySplit("HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 0\r\n\r\n").ended == true)
    }

    @Test func `a message cut anywhere is a failure, never a short success`() {
        let bytes = Array("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n".utf8)
        for length in 0..<bytes.count {
            #expect(answer([Array(bytes[..<length])], closes: true).failure == .truncated, "cut at \(length)")
        }
    }

    static let refused: [(String, HTTPFailure)] = [
        ("HTTP/2.0 200 OK\r\n\r\n", .startLine), ("HTTP/1.1 20 OK\r\n\r\n", .startLine),
        ("HTTP/1.1 099 OK\r\n\r\n", .startLine), ("HTTP/1.1 101 Switch\r\n\r\n", .startLine),
        ("HTTP/1.1 200 OK\r\nA : b\r\n\r\n", .header), ("HTTP/1.1 200 OK\r\nA: b\r\n c\r\n\r\n", .header),
        ("HTTP/1.1 200 OK\r\nA: b\u{0}\r\n\r\n", .header), ("HTTP/1.1 200 OK\r\nA: b\nC: d\r\n\r\n", .header),
        ("HTTP/1.1 200 OK\r\n: b\r\n\r\n", .header),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", .contentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: +1\r\n\r\n", .contentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n", .contentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 99999999999999999999\r\n\r\n", .contentLength),
        ("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", .transferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", .transferEncoding),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\ng\r\n", .chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\r\n", .chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello", .chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX\r\n", .chunk),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n", .chunk),
        ("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\nX", .unexpectedBytes),
        ("HTTP/1.1 200 OK\n", .startLine), ("HTTP/1.1 200 OK\r\nA: b\n", .header), ("\r\n", .startLine),
        ("HTTP/1.1 200 OK\r\nA: b\rc\r\n\r\n", .header), ("HTTP/1.1 200 OK\r\nA: 1234567\u{7F}\r\n\r\n", .header),
        ("HTTP/1.1 200 O\u{1}K\r\n\r\n", .startLine), ("HTTP/1.1 200\tOK\r\n\r\n", .startLine),
        ("HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", .transferEncoding),
        ("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n", .contentLength),
        ("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n", .transferEncoding),
    ]

    @Test(arguments: refused) func `what could smuggle is refused`(_ text: String, _ failure: HTTPFailure) {
        let seen = answer([Array(text.utf8)])
        if failure == .unexpectedBytes {
            // The response itself is whole; the connection is just not used again.
            #expect(seen.ended == false || seen.failure == failure)
        } else {
            #expect(seen.failure == failure)
        }
    }

    @Test func `limits hold at n and n plus one`() {
        func headers(_ count: Int) -> [UInt8] {
            Array("HTTP/1.1 204 X\r\n\((0..<count).map { "h\($0): x\r\n" }.joined())\r\n".utf8)
        }
        #expect(answer([headers(128)]).ended == true)
        #expect(answer([headers(129)]).failure == .headTooLarge)
        let frame = "HTTP/1.1 204 X\r\na: \r\n\r\n".utf8.count
        func padded(_ size: Int) -> [UInt8] {
            Array("HTTP/1.1 204 X\r\na: \(String(repeating: "b", count: size - frame))\r\n\r\n".utf8)
        }
        #expect(answer([padded(65_536)]).ended == true)
        #expect(answer([padded(65_537)]).failure == .headTooLarge)
        let limits = HTTPLimits(body: 5)
        #expect(answer([Array("HTTP/1.1 200 X\r\nContent-Length: 5\r\n\r\nhello".utf8)], limits: limits).ended == true)
        #expect(
            answer([Array("HTTP/1.1 200 X\r\nContent-Length: 6\r\n\r\n".utf8)], limits: limits).failure == .bodyTooLarge
        )
    }

    @Test func `interim responses are bounded`() {
        func answers(_ count: Int) -> [UInt8] {
            Array((String(repeating: "HTTP/1.1 102 Wait\r\n\r\n", count: count) + "HTTP/1.1 204 X\r\n\r\n").utf8)
        }
        #expect(answer([answers(16)]).ended == true)
        #expect(answer([answers(17)]).failure == .interimResponses)
    }

    @Test func `a head tells its media type and whether the body is coded, without regard to case`() {
        let text = "HTTP/1.1 200 OK\r\nCONTENT-TYPE: Text/Event-Stream; charset=utf-8\r\nContent-Encoding: gzip\r\n\r\n"
        var machine = HTTPClientConnection()
        machine.send(head: { $0.append(literal: "GET / HTTP/1.1\r\n") }, body: { _ in })
        var input = ByteBuffer(Array(text.utf8))
        guard case .head(let head) = machine.receive(&input, at: Instant(nanoseconds: 0)) else {
            Issue.record("no head")
            return
        }
        let bytes = input.bytes(of: head.slice)
        let isStream = head.isMediaType("text/event-stream", in: bytes)
        let isShorter = head.isMediaType("text/event", in: bytes)
        let isJSON = head.isMediaType("application/json", in: bytes)
        let coding = head.range(of: "content-encoding", in: bytes).map { bytes.string($0) }
        let missing = head.value(of: "content-typ", in: bytes)
        #expect(isStream && !isShorter && !isJSON)
        #expect(head.isEncoded)
        #expect(coding == "gzip")
        #expect(missing == nil)
        #expect(head.contentLength == nil)
    }

    @Test func `responses to HEAD and 304 have no body whatever they state`() {
        var machine = HTTPClientConnection()
        let now = Instant(nanoseconds: 0)
        for (isHead, text) in [
            (true, "HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n"),
            (false, "HTTP/1.1 304 X\r\nContent-Length: 9\r\n\r\n"),
            (true, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"),
        ] {
            machine.send(isHead: isHead, head: { $0.append(literal: "HEAD / HTTP/1.1\r\n") }, body: { _ in })
            var sent = ByteBuffer()
            machine.transmit(into: &sent, at: now)
            var input = ByteBuffer(Array(text.utf8))
            guard case .head = machine.receive(&input, at: now) else {
                Issue.record("no head")
                return
            }
            #expect(machine.receive(&input, at: now) == .end(reusable: true))
        }
    }

    @Test func `an answer before the whole request was sent leaves a connection that is not used again`() {
        var machine = HTTPClientConnection()
        let now = Instant(nanoseconds: 0)
        machine.send(head: { $0.append(literal: "POST / HTTP/1.1\r\n") }, body: { $0.append(literal: "hello") })
        var input = ByteBuffer(Array("HTTP/1.1 400 X\r\nContent-Length: 0\r\n\r\n".utf8))
        guard case .head = machine.receive(&input, at: now) else {
            Issue.record("no head")
            return
        }
        #expect(machine.receive(&input, at: now) == .end(reusable: false))
    }

    @Test func `server and client understand each other through three exchanges and every response form`() {
        let now = Instant(nanoseconds: 0)
        var server = HTTPServerConnection(at: now)
        var client = HTTPClientConnection()
        var toServer = ByteBuffer()
        var toClient = ByteBuffer()
        for round in 0..<3 {
            client.send(
                head: { $0.append("POST /v1/x?round=\(round) HTTP/1.1\r\nHost: a\r\n") },
                body: { $0.append(String(repeating: "b", count: round * 1_000)) })
            client.transmit(into: &toServer, at: now)
            var (request, body) = ("", 0)
            while let event = server.receive(&toServer, at: now) {
                switch event {
                case .request(let head): request = head.target
                case .body(let slice): body += slice.count
                case .end:
                    if round == 1 {
                        server.beginResponse(status: 200, headers: "")
                        server.write(Array("ab".utf8).span.bytes)
                        server.write(Array("cd".utf8).span.bytes)
                        server.finish()
                    } else {
                        server.respond(status: 200, body: Array("abcd".utf8).span.bytes)
                    }
                case .failed(let failure): Issue.record("\(failure)")
                }
            }
            #expect(request == "/v1/x?round=\(round)")
            #expect(body == round * 1_000)
            server.transmit(into: &toClient, at: now)
            var text = ""
            while let event = client.receive(&toClient, at: now) {
                if case .body(let slice) = event { text += toClient.string(of: slice) }
                if case .end(let reusable) = event { #expect(reusable) }
            }
            #expect(text == "abcd")
        }
    }

    @Test func `an idle client is sent away in time`() {
        var server = HTTPServerConnection(idleTime: .seconds(5), at: Instant(nanoseconds: 0))
        #expect(server.deadline == Instant(nanoseconds: 5_000_000_000))
        #expect(server.advance(to: Instant(nanoseconds: 4_999_999_999)) == nil)
        #expect(server.isFinished == false)
        _ = server.advance(to: Instant(nanoseconds: 5_000_000_000))
        #expect(server.isFinished == true)
    }
}
