// A request's body before and while it comes: what is held for it, when it is looked through, what goes back.
import Core
import Testing

@testable import Node

@Suite struct RequestBodyTests {
    /// A body that is one piece of so many bytes, or the beginning of more.
    private static func body(_ count: Int, isComplete: Bool = true) -> RequestBody {
        RequestBody(ByteBuffer([UInt8](repeating: 0x31, count: count)), isComplete: isComplete)
    }

    /// `ChatTag.choices` and `ChatTag.passthrough`, as clients send them.
    private static let four: [UInt8] = [0x5A, 1, 4]
    private static let passthrough: [UInt8] = [0x60, 2, 0x7B, 0x7D]

    private static func append(_ bytes: [UInt8], to body: inout RequestBody, isComplete: Bool) {
        let buffer = ByteBuffer(bytes)
        buffer.withBytes(of: buffer.slice) { body.append($0, isComplete: isComplete) }
    }

    @Test func `a whole body is held for as it is, whatever its head says`() {
        #expect(Self.body(100).first(of: 100) == 100)
        #expect(Self.body(100_000).first(of: 100) == 100_000)
    }

    @Test func `a large body is held for as far as it may come unasked`() {
        #expect(Self.body(10, isComplete: false).first(of: 100_000) == RequestBody.unasked)
        #expect(Self.body(20_000, isComplete: false).first(of: 100_000) == 20_000, "more is here already")
        #expect(Self.body(10, isComplete: false).first(of: 300) == 300, "no more than there is")
    }

    @Test func `the rest is what is not held yet, and never less than nothing`() {
        var body = Self.body(10, isComplete: false)
        body.hold(RequestBody.unasked)
        #expect(body.rest(of: 100_000) == 100_000 - RequestBody.unasked)
        #expect(body.rest(of: 300) == 0)
    }

    @Test func `all that is held goes back, once, with the bytes`() {
        var body = Self.body(10, isComplete: false)
        body.hold(300)
        body.hold(700)
        let (first, second) = (body.release(), body.release())
        #expect(first == 1_000)
        #expect(second == 0)
        #expect(body.bytes.count == 0)
    }

    @Test func `a body that is not whole is not looked through`() {
        var body = RequestBody(ByteBuffer(Self.four), isComplete: false)
        let isDone = body.outline()
        #expect(!isDone)
        #expect(body.choices == 1)
    }

    @Test func `a whole body is looked through once`() {
        var body = RequestBody(ByteBuffer(Self.four), isComplete: true)
        let (first, second) = (body.outline(), body.outline())
        #expect(first)
        #expect(!second)
        #expect(body.choices == 4)
        let usesPassthrough = body.usesPassthrough
        #expect(!usesPassthrough)
    }

    @Test func `what counts may come with the last piece`() {
        var body = RequestBody(ByteBuffer(Self.four), isComplete: false)
        Self.append(Self.passthrough, to: &body, isComplete: true)
        let isDone = body.outline()
        #expect(isDone)
        #expect(body.choices == 4)
        let usesPassthrough = body.usesPassthrough
        #expect(usesPassthrough)
    }
}
