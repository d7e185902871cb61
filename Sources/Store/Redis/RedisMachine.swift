// One Redis connection as a machine: commands go out in order, replies come back in the same order, each with a deadline.

import Core

/// What a Redis connection accepts from its server and its owner.
public struct RedisLimits: Sendable {
    /// Commands under way on one connection. Beyond, the caller hears `overloaded` at once instead of waiting behind them:
    /// 4096 × 25 µs of Redis = 100 ms, already past the deadline of a command. Worst memory: 4096 × about 1 KiB.
    public var commands = 4096
    /// The largest reply, in bytes; a cached answer is the largest that is ever read. Worst memory: twice this.
    public var replyBytes = 4 << 20
    /// Elements of one reply, all levels together. Worst memory: 65,536 × 40 B.
    public var replyElements = 65_536
    /// After a command timed out, how long its reply may still come before the connection counts as dead.
    public var stall = Duration.seconds(1)
    /// How much longer a command may wait for its reply because its owner was late itself: a server that is gone is noticed all the same.
    public var allowance = Duration.milliseconds(200)

    /// The defaults.
    public init() {}
}

/// The protocol of one Redis connection, without a socket.
///
/// States: open → finished, on a malformed or unexpected reply, on a stalled server, or at the end of its bytes.
public struct RedisMachine: Machine, ~Copyable {
    /// What the owner must know.
    public enum Event {
        /// The reply to the command with this number.
        case reply(UInt64, RedisReply)
        /// The deadline of the command with this number passed. Its reply will be dropped if it comes.
        case expired(UInt64)
        /// The connection is of no use any more; every command that is still under way has lost its reply.
        case failed(String)
    }

    private struct Waiting {
        var deadline: Instant
        /// `hostLateness` when it was sent.
        var lateness: Duration
        var isExpired: Bool
    }

    private let limits: RedisLimits
    private var reader: ReplyReader?
    private var outgoing = ByteBuffer()
    private var waiting: [Waiting] = []
    /// Where the oldest command stands in `waiting`; the part before it is dropped in batches.
    private var oldest = 0
    private var answered: UInt64 = 0
    /// For how long, since it began, the owner has been too busy to look after the connection. What a command waited meanwhile does not count:
    /// the server may have answered, or not have had the command yet.
    public var hostLateness = Duration.zero
    /// No live command has an earlier deadline than this; it may lie too early after replies and lateness, which costs one scan.
    private var earliest: Instant?
    private var failure: String?
    /// Numbers of commands that have just expired and were not reported yet, the oldest last.
    private var expired: [UInt64] = []
    private var expiredSince = Instant(nanoseconds: 0)

    /// A fresh connection.
    public init(limits: RedisLimits = RedisLimits()) {
        self.limits = limits
        reader = ReplyReader(byteLimit: limits.replyBytes, elementLimit: limits.replyElements)
        if reader == nil { failure = "no memory for the reply reader" }
    }

    /// Commands under way.
    public var commandsUnderWay: Int { waiting.count - oldest }

    /// Queues one command, which `write` writes; returns its number, or nil when too many are under way.
    public mutating func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
        guard failure == nil, commandsUnderWay < limits.commands else { return nil }
        let number = answered + UInt64(commandsUnderWay)
        waiting.append(Waiting(deadline: deadline, lateness: hostLateness, isExpired: false))
        earliest = min(earliest ?? deadline, deadline)
        write(&outgoing)
        return number
    }

    /// One reply, if a whole one is there.
    public mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event? {
        guard failure == nil else {
            input.removeAll()
            return nil
        }
        do throws(ReplyProblem) {
            try reader?.feed(&input)
            while let reply = try reader?.next() {
                guard commandsUnderWay > 0 else { return fail("a reply came that no command asked for") }
                let first = waiting[oldest]
                let number = answered
                forgetOldest()
                if !first.isExpired { return .reply(number, reply) }
            }
            return nil
        } catch {
            switch error {
            case .malformed(let words): return fail("malformed reply: \(words)")
            case .tooLarge(let limit): return fail("a reply is longer than \(limit) bytes")
            case .tooManyElements(let limit): return fail("a reply has more than \(limit) elements")
            }
        }
    }

    private mutating func forgetOldest() {
        oldest += 1
        answered += 1
        if oldest == waiting.count {
            waiting.removeAll(keepingCapacity: true)
            oldest = 0
            earliest = nil
        } else if oldest >= 1024 {
            waiting.removeFirst(oldest)
            oldest = 0
        }
    }

    private mutating func fail(_ reason: String) -> Event {
        failure = reason
        outgoing.removeAll()
        earliest = nil
        return .failed(reason)
    }

    /// The server closed its side.
    public mutating func inputEnded(at now: Instant) -> Event? {
        failure == nil ? fail("the server closed the connection") : nil
    }

    /// When a command really expires.
    private func due(_ command: Waiting) -> Instant {
        command.deadline + min(hostLateness - command.lateness, limits.allowance)
    }

    /// Expires commands whose deadline passed, oldest first.
    public mutating func advance(to now: Instant) -> Event? {
        if let number = expired.popLast() { return .expired(number) }
        guard let deadline = earliest, deadline <= now, failure == nil else { return nil }
        if waiting[oldest].isExpired, due(waiting[oldest]) + limits.stall <= now {
            return fail("the server has not answered for \(limits.stall.milliseconds) ms after a deadline")
        }
        expiredSince = now
        var next: Instant?
        for index in (oldest..<waiting.count).reversed() {
            guard !waiting[index].isExpired else { continue }
            let end = due(waiting[index])
            if end <= now {
                waiting[index].isExpired = true
                expired.append(answered + UInt64(index - oldest))
            } else {
                next = min(next ?? end, end)
            }
        }
        // While the oldest is overdue, the machine also wakes to see whether the server has died.
        let death: Instant? = waiting[oldest].isExpired ? due(waiting[oldest]) + limits.stall : nil
        earliest = [next, death].compactMap(\.self).min()
        return expired.popLast().map { .expired($0) }
    }

    /// Hands out all queued commands; one write of the driver carries a whole turn of the lane.
    public mutating func transmit(into output: inout ByteBuffer, at now: Instant) {
        guard outgoing.count > 0 else { return }
        if output.count == 0 {
            swap(&output, &outgoing)
            outgoing.removeAll()
        } else {
            output.append(draining: &outgoing)
        }
    }

    /// The earliest deadline of a command; in the past while expired commands wait to be reported.
    public var deadline: Instant? { expired.isEmpty ? earliest : expiredSince }

    /// Replies are always read: their size is bounded.
    public var wantsInput: Bool { true }

    /// True after a failure.
    public var isFinished: Bool { failure != nil }
}
