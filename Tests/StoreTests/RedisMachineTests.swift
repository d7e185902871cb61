// The Redis machine without a socket: replies in every cut, deadlines in virtual time, bounds on what a server may send.

import Core
import Testing

@testable import Store

@Suite struct RedisMachineTests {
    private static let start = Instant(nanoseconds: 1_000_000_000)
    /// One reply of each kind, nested too, and what they mean.
    private static let bytes = Array(
        "+OK\r\n:-42\r\n$5\r\na\r\nbc\r\n$-1\r\n*3\r\n$1\r\nx\r\n*2\r\n:1\r\n*0\r\n$-1\r\n-ERR no\r\n".utf8)
    private static let replies: [RedisReply] = [
        .status("OK"), .integer(-42), .bytes(Array("a\r\nbc".utf8)), .null,
        .array([.bytes(Array("x".utf8)), .array([.integer(1), .array([])]), .null]), .error("ERR no"),
    ]

    private static func machine(_ commands: Int, _ change: (inout RedisLimits) -> Void = { _ in }) -> RedisMachine {
        var limits = RedisLimits()
        change(&limits)
        var machine = RedisMachine(limits: limits)
        for _ in 0..<commands {
            _ = machine.send(deadline: start + .milliseconds(50)) { RedisCommand("PING").write(into: &$0) }
        }
        return machine
    }

    /// Feeds the pieces; each event as text.
    private static func feed(_ machine: inout RedisMachine, _ pieces: [[UInt8]]) -> [String] {
        var input = ByteBuffer()
        var events: [String] = []
        for piece in pieces {
            input.append(piece)
            while let event = machine.receive(&input, at: start) { events.append("\(event)") }
        }
        return events
    }

    @Test func `a reply of which the parser told nothing, or less than it promised, is malformed`() {
        let tape = ReplyTape(elementLimit: 8)
        #expect(tape.take() == nil)
        #expect(tape.addArray(2) && tape.add(.integer(1), bytes: 8))
        #expect(tape.take() == nil)
        #expect(tape.add(.integer(7), bytes: 8))
        #expect(tape.take() == .integer(7))
    }

    @Test(arguments: [",1.5\r\n", "#t\r\n", "_\r\n*1\r\n,1\r\n"])
    func `kinds of replies that were not asked for close the connection`(bytes: String) {
        var machine = Self.machine(2)
        let events = Self.feed(&machine, [Array(bytes.utf8)])
        #expect(events.contains { $0.contains("malformed") }, "\(events)")
    }

    private static var expected: [String] {
        replies.enumerated().map { "\(RedisMachine.Event.reply(UInt64($0.offset), $0.element))" }
    }

    @Test func repliesAreTheSameInEveryCut() {
        var whole = Self.machine(6)
        #expect(Self.feed(&whole, [Self.bytes]) == Self.expected)
        var single = Self.machine(6)
        #expect(Self.feed(&single, Self.bytes.map { [$0] }) == Self.expected)
        for cut in 1..<Self.bytes.count {
            var machine = Self.machine(6)
            #expect(
                Self.feed(&machine, [Array(Self.bytes[..<cut]), Array(Self.bytes[cut...])]) == Self.expected, "\(cut)")
            #expect(machine.commandsUnderWay == 0)
            #expect(machine.deadline == nil)
        }
    }

    @Test func commandsLeaveInOneBatch() {
        var machine = Self.machine(3)
        var output = ByteBuffer()
        machine.transmit(into: &output, at: Self.start)
        #expect(output.array() == Array(String(repeating: "*1\r\n$4\r\nPING\r\n", count: 3).utf8))
        machine.transmit(into: &output, at: Self.start)
        #expect(output.count == 3 * 14)
    }

    @Test func expiredCommandsAreReportedOnceAndTheirRepliesDropped() {
        var machine = Self.machine(2)
        _ = machine.send(deadline: Self.start + .milliseconds(90)) { RedisCommand("PING").write(into: &$0) }
        #expect(machine.deadline == Self.start + .milliseconds(50))
        var events: [String] = []
        let later = Self.start + .milliseconds(50)
        while let deadline = machine.deadline, deadline <= later, let event = machine.advance(to: later) {
            events.append("\(event)")
        }
        #expect(events == ["\(RedisMachine.Event.expired(0))", "\(RedisMachine.Event.expired(1))"])
        #expect(
            Self.feed(&machine, [Array("+1\r\n+2\r\n+3\r\n".utf8)]) == ["\(RedisMachine.Event.reply(2, .status("3")))"])
    }

    /// The numbers of the commands that expire at `instant`.
    private static func expired(_ machine: inout RedisMachine, at instant: Instant) -> [UInt64] {
        var numbers: [UInt64] = []
        while let deadline = machine.deadline, deadline <= instant, let event = machine.advance(to: instant) {
            if case .expired(let number) = event { numbers.append(number) }
        }
        return numbers
    }

    @Test func whatTheOwnerWasLateItselfDoesNotCount() {
        var machine = Self.machine(1)
        machine.hostLateness = .milliseconds(40)
        _ = machine.send(deadline: Self.start + .milliseconds(60)) { RedisCommand("PING").write(into: &$0) }
        #expect(Self.expired(&machine, at: Self.start + .milliseconds(89)) == [1], "sent when the lateness was over")
        #expect(machine.deadline == Self.start + .milliseconds(90))
        #expect(Self.expired(&machine, at: Self.start + .milliseconds(90)) == [0], "sent before it")
    }

    @Test func anOwnerThatIsAlwaysLateNoticesASilentServerAllTheSame() {
        var machine = Self.machine(1)
        machine.hostLateness = .seconds(10)
        #expect(Self.expired(&machine, at: Self.start + .milliseconds(249)) == [])
        #expect(Self.expired(&machine, at: Self.start + .milliseconds(250)) == [0])
    }

    @Test func aServerThatStaysSilentIsGivenUp() {
        var machine = Self.machine(1)
        _ = machine.advance(to: Self.start + .milliseconds(50))
        #expect(machine.deadline == Self.start + .milliseconds(1050))
        guard case .failed? = machine.advance(to: Self.start + .milliseconds(1050)) else {
            Issue.record("it must fail")
            return
        }
        #expect(machine.isFinished == true)
        #expect(machine.send(deadline: .distantFuture) { _ in } == nil)
    }

    @Test func badBytesEndTheConnection() {
        for bad in ["?\r\n", "+OK\r\n", "$99999999999999999999\r\n", "*2\r\n?", "$-7\r\n", "%1\r\n"] {
            var machine = Self.machine(bad == "+OK\r\n" ? 0 : 1)
            let events = Self.feed(&machine, [Array(bad.utf8)])
            #expect(events.count == 1 && events[0].hasPrefix("failed"), "\(bad): \(events)")
            #expect(machine.isFinished == true)
        }
    }

    @Test func aLyingHeaderAllocatesNothing() {
        var elements = Self.machine(1) { $0.replyElements = 100 }
        #expect(Self.feed(&elements, [Array("*101\r\n".utf8)]).first?.contains("more than 100 elements") == true)
        var nested = Self.machine(1) { $0.replyElements = 100 }
        #expect(Self.feed(&nested, [Array("*50\r\n*51\r\n".utf8)]).first?.contains("more than 100 elements") == true)
        var bytes = Self.machine(1) { $0.replyBytes = 1000 }
        let flood = Array("$4000000\r\n".utf8) + Array(repeating: UInt8(ascii: "x"), count: 1001)
        #expect(Self.feed(&bytes, [flood]).first?.contains("longer than 1000 bytes") == true)
    }

    @Test func numbersAreWrittenInFull() {
        for value in [0, 9, 10, 99, 100, 12_345, -1, -100] {
            var output = ByteBuffer()
            RedisWriter.part(decimal: value, in: &output)
            #expect(output.array() == Array("$\(String(value).count)\r\n\(value)\r\n".utf8))
        }
    }

    @Test func errorsAreKnownByTheirFirstWord() {
        #expect(StoreError(serverMessage: "OOM command not allowed") == .degraded(.outOfMemory))
        #expect(StoreError(serverMessage: "BUSY Redis is busy script: abc, on @user_script:1.") == .degraded(.busy))
        #expect(StoreError(serverMessage: "NOREPLICAS Not enough good replicas") == .degraded(.noReplicas))
        #expect(StoreError(serverMessage: "CLUSTERDOWN Hash slot not served") == .degraded(.clusterDown))
        for prefix in ["READONLY", "MASTERDOWN", "LOADING"] {
            let error = StoreError(serverMessage: "\(prefix) and more")
            #expect(error == .notReady(prefix: prefix) && error.dropsConnection && error.isCertainlyUndone)
        }
        #expect(StoreError(serverMessage: "CROSSSLOT Keys") == .server(prefix: "CROSSSLOT", message: "CROSSSLOT Keys"))
        #expect(!StoreError.timeout.isCertainlyUndone)
    }
}
