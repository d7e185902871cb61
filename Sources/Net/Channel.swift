// The one driver: runs any machine on a transport.
import Core

/// A machine at work on a socket. Confined to its lane.
///
/// The owner sets the callbacks once, calls the machine's own methods as it likes, and says `wake()` afterwards; what they produced is sent
/// once, at the end of the lane's turn. Slices in events point into `input` and are readable during the callback.
public final class Channel<M: Machine & ~Copyable>: TransportOwner {
    /// The protocol's state. Call `wake()` after calling any of its sending methods.
    public var machine: M
    /// The socket under it.
    public let transport: Transport
    /// Called for each event of the machine, in order.
    public var onEvent: ((Channel<M>, M.Event) -> Void)?
    /// Called once when the connection is established, TLS included.
    public var onOpen: ((Channel<M>) -> Void)?
    /// Called when a backlog of output has drained.
    public var onDrained: ((Channel<M>) -> Void)?
    /// Called before a deadline of the machine counts, when what came in time was read.
    public var onDeadline: ((Channel<M>) -> Void)?
    /// Called exactly once when the connection is gone.
    public var onClose: ((Channel<M>, CloseReason) -> Void)?
    @usableFromInline var timer: LaneTimer?
    /// An open channel keeps itself alive: the lane's table holds the transport, and this holds the channel.
    @usableFromInline var whileOpen: Channel<M>?
    /// Bytes handed to the machine in one turn before other connections have theirs.
    @usableFromInline static var turnLimit: Int { 256 * 1024 }
    /// After so many events it looks whether the turn's time is over: small frames may each ask for much.
    @usableFromInline static var eventsPerLook: Int { 16 }

    init(transport: Transport, machine: consuming M) {
        self.machine = machine
        self.transport = transport
        transport.owner = self
        whileOpen = self
    }

    /// The lane that owns this channel.
    @inlinable public var lane: Lane { transport.lane }
    /// Who is at the other end.
    public var peer: PeerIdentity { transport.peer }
    /// True until the connection closed or began to.
    public var isOpen: Bool { transport.isOpen }

    /// The machine has something to send: it is flushed once, at the end of this turn.
    @inlinable public func wake() { transport.wake() }

    /// True when it is flushed before the other connections of a turn: what it sends must be on its way before they tell of it.
    public var goesFirst: Bool {
        get { transport.goesFirst }
        set { transport.goesFirst = newValue }
    }

    /// Sends what is left for at most a second, then closes.
    public func close() { transport.close() }

    /// Closes at once.
    public func abort() { transport.abort() }

    /// The peer has said what it is here for: it counts no longer as a newcomer. On ports where everybody may have to go, it is now the
    /// last to go.
    public func greeted() { transport.newcomer?.greeted() }

    /// Lends the bytes that a slice of an event stands for.
    public func withBytes<R>(of slice: ByteSlice, _ body: (RawSpan) throws -> R) rethrows -> R {
        try transport.input.withBytes(of: slice, body)
    }

    /// Stops reading until `resumeReading`.
    public func pauseReading() { transport.pauseReading() }

    /// Reads again.
    public func resumeReading() { transport.resumeReading() }

    @usableFromInline func transportOpened() {
        onOpen?(self)
        afterMachineRan()
    }

    @inlinable func transportReceived() -> Bool {
        let now = transport.lane.now
        let start = transport.input.count
        var events = 0
        while machine.wantsInput, let event = machine.receive(&transport.input, at: now) {
            onEvent?(self, event)
            guard transport.isOpen else { return false }
            events += 1
            let isEnough = start - transport.input.count > Channel.turnLimit
            if isEnough || (events % Channel.eventsPerLook == 0 && isOverTime) {
                afterMachineRan()
                return true
            }
        }
        afterMachineRan()
        return false
    }

    /// True when others should have their turn; never for those that go first, nor before a deadline counts.
    @usableFromInline var isOverTime: Bool {
        !transport.goesFirst && !transport.isCatchingUp && transport.lane.isOverTime
    }

    @usableFromInline func transportInputEnded() {
        while let event = machine.inputEnded(at: lane.now) {
            onEvent?(self, event)
            guard transport.isOpen else { return }
        }
        afterMachineRan()
    }

    @inlinable func transportWillFlush() {
        machine.transmit(into: &transport.output, at: transport.lane.now)
        // What was sent may have made room for what the machine refused to read.
        if isBlocked, machine.wantsInput { unblock() }
        if machine.isFinished { transport.close() }
        armTimer()
    }

    @usableFromInline func transportDrained() { onDrained?(self) }

    @usableFromInline func transportClosed(_ reason: CloseReason) {
        timer?.cancel()
        timer = nil
        onClose?(self, reason)
        onEvent = nil
        onOpen = nil
        onDrained = nil
        onDeadline = nil
        onClose = nil
        whileOpen = nil
    }

    /// Sends what the machine has, and follows its wishes about reading and time.
    @inlinable func afterMachineRan() {
        guard transport.isOpen else { return }
        transport.wake()
        if machine.wantsInput { unblock() } else { block() }
    }

    @usableFromInline var isBlocked = false

    @inlinable func block() {
        guard !isBlocked else { return }
        isBlocked = true
        transport.pauseReading()
    }

    @inlinable func unblock() {
        guard isBlocked else { return }
        isBlocked = false
        transport.resumeReading()
    }

    @inlinable func armTimer() {
        guard let deadline = machine.deadline else { return }
        if let timer, timer.isPending, timer.isDue(noLaterThan: deadline) { return }
        rearm(at: deadline)
    }

    @usableFromInline func rearm(at deadline: Instant) {
        if let timer {
            lane.rearm(timer, at: deadline)
        } else {
            timer = lane.schedule(at: deadline) { [weak self] in self?.timerFired() }
        }
    }

    @usableFromInline func timerFired() {
        guard transport.isOpen else { return }
        let now = lane.now
        if let deadline = machine.deadline, deadline <= now {
            // A lane that is late must not take its peer for late.
            transport.catchUp()
            guard transport.isOpen else { return }
            onDeadline?(self)
        }
        while let deadline = machine.deadline, deadline <= now, let event = machine.advance(to: now) {
            onEvent?(self, event)
            guard transport.isOpen else { return }
        }
        armTimer()
        afterMachineRan()
    }
}

extension LaneTimer {
    /// True when this timer will have fired by `instant`.
    @usableFromInline func isDue(noLaterThan instant: Instant) -> Bool { deadline <= instant }
}
