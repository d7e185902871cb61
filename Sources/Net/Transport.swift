// A connected socket with or without TLS: bytes from and to the wire, back-pressure, one flush a turn, an orderly end.
import CLinux
import Core
import Glibc

/// A connected socket. Confined to its lane.
@safe public final class Transport: Pollable {
    enum State {
        case connecting
        case handshaking
        case open
        /// Sending what is left, then closing.
        case closing
        case closed
    }

    /// Uses of TLS since the lane last looked; nil while the lane need not look.
    private var uses: Int?
    /// From so many a second on a connection keeps its record buffers, 33 KiB, instead of giving them back after each record: most connections
    /// rest most of the time, and a handshake alone must not make them hold memory.
    private static let busyUses = 8

    /// Plaintext that arrived and was not consumed.
    public var input = ByteBuffer()
    /// Plaintext that waits to be sent.
    public var output = ByteBuffer()
    /// Who is at the other end.
    public private(set) var peer: PeerIdentity
    /// Owner and transport hold each other until the connection ends.
    @usableFromInline var owner: (any TransportOwner)?
    private(set) var state: State
    /// Called once after the owner learnt of the end; the listener and the pool count with it.
    var onGone: (() -> Void)?
    /// What it was when it was accepted, and is at its door until it is established; nil for connections to others.
    var newcomer: Newcomer?
    private let tls: TLSSession?
    /// When it was made.
    let since: Instant
    /// Ciphertext that the socket did not take yet.
    private var backlog = ByteBuffer()
    private var isDirty = false
    /// Flushed before the others of its turn, and read before them.
    var goesFirst = false { didSet { share = goesFirst ? nil : lane.commonShare } }
    private var isHungry = false
    /// What came is read although the turn's time is over.
    private(set) var isCatchingUp = false
    private var isPaused = false
    private var inputHasEnded = false
    /// The peer has ended, and what it sent before waits for its turn.
    private var endIsDue = false
    private var wasAboveHighMark = false
    private var stallTimer: LaneTimer?
    private var closeTimer: LaneTimer?
    /// Bytes received from and sent to the socket, as the wire saw them.
    public private(set) var bytesReceived: Int64 = 0
    /// Bytes sent to the socket.
    public private(set) var bytesSent: Int64 = 0

    /// Set with the number of bytes sent before a request: when the connection ends, `provesSilence` says what became of the request.
    public var requestStart: Int64?
    /// True when the peer provably read nothing of what was sent behind `requestStart`. Nothing was handed to the kernel; or the peer's FIN came, and
    /// acknowledged none of it. A reset proves nothing: it may overtake the acknowledgement of bytes that were read.
    public private(set) var provesSilence = false

    /// Plaintext waiting beyond this stops producers.
    public static let highMark = 256 * 1024
    /// Producers go on below this.
    public static let lowMark = 64 * 1024
    /// A connection whose socket takes nothing for this long is closed (protocol limits table: write stall).
    static let stallLimit = Duration.seconds(20)
    /// Bytes that one reading of a socket brings at most.
    static let readLimit = 64 * 1024
    /// Readings before a deadline counts: 4 MiB, more than any reply may have.
    private static let catchUpLimit = 64
    /// How long a graceful close may take to send what is left.
    static let closeLimit = Duration.seconds(1)

    init(lane: Lane, descriptor: Int32, peer: SocketAddress, tls: TLSSession?, isConnected: Bool) {
        self.peer = PeerIdentity(address: peer)
        self.tls = tls
        since = lane.now
        state = isConnected ? (tls == nil ? .open : .handshaking) : .connecting
        super.init(lane: lane)
        share = lane.commonShare
        self.descriptor = descriptor
        Socket.configure(descriptor, for: peer)
    }

    /// Why the TLS context, as it was reloaded since, would refuse the peer now; nil when it would not, or without TLS.
    public var peerRefusal: TLSFailure? { state == .open ? tls?.peerRefusal : nil }

    /// Begins to watch the socket; a client's TLS speaks first.
    func start() {
        switch state {
        case .connecting: watch(EPOLLOUT.rawValue)
        case .handshaking:
            watch(EPOLLIN.rawValue)
            goOnWithHandshake()
        case .open:
            watch(EPOLLIN.rawValue)
            owner?.transportOpened()
        case .closing, .closed: break
        }
    }

    /// True until the connection has closed or began to.
    public var isOpen: Bool {
        switch state {
        case .open, .handshaking, .connecting: true
        case .closing, .closed: false
        }
    }

    /// Plaintext and ciphertext bytes that wait for the socket.
    public var outputBacklog: Int { output.count + backlog.count }

    // MARK: - What the owner asks for

    /// Sends what the owner has at the end of this turn. Cheap to call often.
    @inlinable public func wake() { if !isMarkedDirty { markDirty() } }

    @usableFromInline var isMarkedDirty: Bool { isDirty }

    @usableFromInline func markDirty() {
        guard state != .closed, !isDirty else { return }
        isDirty = true
        lane.markDirty(self, isUrgent: goesFirst)
    }

    /// Leaves the socket unread, so that the kernel pushes back on the peer.
    public func pauseReading() {
        guard !isPaused else { return }
        isPaused = true
        updateInterest()
    }

    /// Reads again, beginning with what is buffered.
    public func resumeReading() {
        guard isPaused else { return }
        isPaused = false
        updateInterest()
        becomeHungry()
    }

    /// Goes on in the next turn with bytes that are already here.
    public func becomeHungry() {
        guard !isHungry, state == .open else { return }
        isHungry = true
        lane.markHungry(self)
    }

    /// Sends what is left for at most a second, then closes.
    public func close() {
        switch state {
        case .open:
            state = .closing
            updateInterest()
            wake()
            closeTimer = lane.schedule(after: Transport.closeLimit) { [weak self] in self?.finish(.local) }
        case .connecting, .handshaking: finish(.local)
        case .closing, .closed: break
        }
    }

    /// Closes at once; what was not sent is lost.
    public func abort(_ reason: CloseReason = .local) { finish(reason) }

    /// Closes at once with a reset (RST), so that the peer sees a broken connection instead of an orderly end.
    public func reset() {
        guard state != .closed else { return }
        Socket.resetOnClose(descriptor)
        finish(.local)
    }

    // MARK: - Rest

    private func warm() {
        if uses == nil { lane.markWarm(self) }
        uses = (uses ?? 0) + 1
    }

    /// Called each second while it is in use: a busy connection keeps TLS' buffers, one that rests gives them back. False when it need not
    /// be called again.
    func cool() -> Bool {
        guard let uses, state != .closed else { return false }
        tls?.keepBuffers(uses >= Transport.busyUses)
        self.uses = uses > 0 ? 0 : nil
        return uses > 0
    }

    // MARK: - The socket

    override func ready(_ events: UInt32) {
        // A callback may drop the last reference to this object; it must outlive the call.
        withExtendedLifetime(self) {
            if state == .connecting { return finishConnecting() }
            if events & (EPOLLIN.rawValue | EPOLLHUP.rawValue | EPOLLERR.rawValue) != 0 { readSocket() }
            if events & EPOLLOUT.rawValue != 0, state != .closed { writable() }
        }
    }

    override func resume() {
        withExtendedLifetime(self) {
            guard state == .open, !isPaused else {
                isHungry = false
                return
            }
            deliverRest()
        }
    }

    /// Goes on with bytes that were left for fairness, and with the end that came after them.
    private func deliverRest() {
        isHungry = false
        deliver()
        guard endIsDue, !isHungry, !isPaused, state != .closed else { return }
        endIsDue = false
        endInput()
    }

    /// Reads what the kernel has: before a deadline counts, what came in time is heard.
    func catchUp() {
        withExtendedLifetime(self) {
            isCatchingUp = true
            defer { isCatchingUp = false }
            for _ in 0..<Transport.catchUpLimit {
                guard state == .open, !isPaused else { return }
                if isHungry {
                    deliverRest()
                    continue
                }
                let before = bytesReceived
                readSocket()
                if bytesReceived - before < Transport.readLimit, !isHungry { return }
            }
        }
    }

    private func finishConnecting() {
        let code = clinux_pending_error(descriptor)
        guard code == 0 else {
            return finish(.system(SystemFailure(call: "connect", subject: peer.address.description, code: code)))
        }
        state = tls == nil ? .open : .handshaking
        watch(EPOLLIN.rawValue)
        if state == .open { owner?.transportOpened() } else { goOnWithHandshake() }
    }

    private func goOnWithHandshake() {
        guard let tls else { return }
        let progress = tls.handshake()
        flushCiphertext()
        guard state == .handshaking else { return }
        switch progress {
        case .needsInput: break
        case .ended: finish(.peer)
        case .failed(let failure): finish(.tls(failure))
        case .established:
            state = .open
            tls.fill(&peer)
            owner?.transportOpened()
            // Bytes of the peer's first flight may have come with the end of the handshake.
            if state == .open { decrypt() }
        }
    }

    private func readSocket() {
        if isPaused && !inputHasEnded { return }
        // What is here goes first, in the next turn: what comes after it may be the end.
        if isHungry { return }
        let result: Transfer
        if let tls {
            result = lane.ciphertext.receive(descriptor)
            if case .bytes(let count) = result {
                bytesReceived += Int64(count)
                warm()
                if state == .handshaking { goOnWithHandshake() } else { decrypt(with: tls) }
                lane.ciphertext.reset()
                return
            }
        } else {
            borrowInput()
            result = Socket.receive(descriptor, into: &input, atMost: Transport.readLimit)
            if case .bytes(let count) = result {
                bytesReceived += Int64(count)
                return deliver()
            }
            returnInput()
        }
        switch result {
        case .bytes, .wouldBlock: break
        case .ended: endInput()
        case .failed(let code): finish(.system(SystemFailure(call: "recv", code: code)))
        }
    }

    private func decrypt() { if let tls { decrypt(with: tls) } }

    private func decrypt(with tls: TLSSession) {
        borrowInput()
        let before = input.count
        let progress = tls.read(into: &input)
        if lane.ciphertext.produced > 0 { flushCiphertext() }
        // What a failed engine left must not be there for the next one, whatever the owner does now.
        lane.ciphertext.reset()
        if input.count > before { deliver() } else { returnInput() }
        guard state != .closed else { return }
        switch progress {
        case .needsInput, .established: break
        case .ended: endInput()
        case .failed(let failure): finish(.tls(failure))
        }
    }

    private func deliver() {
        guard state == .open else {
            // While closing, what still arrives is read away so that the peer can finish too.
            input.removeAll()
            return returnInput()
        }
        let wantsMore = owner?.transportReceived() ?? false
        if wantsMore { becomeHungry() }
        returnInput()
    }

    /// Uses the lane's buffer when this connection has no bytes of its own waiting.
    private func borrowInput() {
        if input.isEmpty, input.allocatedBytes == 0 { swap(&input, &lane.inputScratch) }
    }

    /// Gives the lane's buffer back; what was not consumed moves to a small one of our own.
    private func returnInput() {
        if input.isEmpty {
            if lane.inputScratch.allocatedBytes == 0 { swap(&input, &lane.inputScratch) }
            input.releaseIfEmpty()
        } else if lane.inputScratch.allocatedBytes == 0 {
            var own = ByteBuffer(capacity: input.count)
            own.append(input.bytes)
            input.removeAll()
            swap(&input, &lane.inputScratch)
            swap(&input, &own)
        }
    }

    private func endInput() {
        guard !(isHungry || isPaused) || state != .open else {
            endIsDue = true
            return
        }
        guard !inputHasEnded else { return finish(.peer) }
        inputHasEnded = true
        if state == .closing { return finish(.peer) }
        owner?.transportInputEnded()
        if state == .open { close() }
    }

    // MARK: - Sending

    override func flush() {
        withExtendedLifetime(self) {
            isDirty = false
            guard state == .open || state == .closing else { return }
            let isBorrowed = output.allocatedBytes == 0
            if isBorrowed { swap(&output, &lane.outputScratch) }
            let isFull = outputBacklog >= Transport.highMark
            if !isFull { owner?.transportWillFlush() }
            // An owner stops at about so much. When the socket takes all of it at once, nothing else would ask for the rest.
            let mayHaveMore = output.count >= Transport.lowMark
            push()
            // The owner was passed over while the backlog was high; now it has room.
            let hasRoom = isFull ? outputBacklog < Transport.highMark : mayHaveMore && outputBacklog == 0
            if hasRoom, state == .open { goOnFlushing() }
            if output.isEmpty {
                if isBorrowed, lane.outputScratch.allocatedBytes == 0 { swap(&output, &lane.outputScratch) }
                output.releaseIfEmpty()
            } else if isBorrowed, lane.outputScratch.allocatedBytes == 0 {
                lane.outputScratch.reserve(64 * 1024)
            }
        }
    }

    /// There is more to send: in the next turn, so that others have theirs.
    private func goOnFlushing() {
        guard !isDirty else { return }
        if goesFirst { return wake() }
        isDirty = true
        lane.markDirtyNext(self)
    }

    private func push() {
        if let tls {
            if backlog.isEmpty, output.count > 0 {
                warm()
                if case .failed(let failure) = tls.write(from: &output) { return finish(.tls(failure)) }
            }
            flushCiphertext()
        } else if output.count > 0 {
            account(Socket.send(descriptor, from: &output), waiting: output.count)
        }
        guard state != .closed else { return }
        if outputBacklog == 0 {
            settleEmpty()
        } else {
            if outputBacklog > Transport.highMark { wasAboveHighMark = true }
            updateInterest()
        }
    }

    private func flushCiphertext() {
        guard lane.ciphertext.produced > 0 || backlog.count > 0 else { return }
        if lane.ciphertext.produced > 0 {
            account(lane.ciphertext.send(descriptor, backlog: &backlog), waiting: backlog.count)
        } else {
            account(Socket.send(descriptor, from: &backlog), waiting: backlog.count)
        }
        backlog.releaseIfEmpty()
        if state == .handshaking { updateInterest() }
    }

    private func account(_ result: Transfer, waiting: Int) {
        switch result {
        case .bytes(let count):
            bytesSent += Int64(count)
            stallTimer?.cancel()
            stallTimer = nil
            if waiting > 0 { armStallTimer() }
        case .wouldBlock, .ended: armStallTimer()
        case .failed(let code): finish(.system(SystemFailure(call: "send", code: code)))
        }
    }

    private func armStallTimer() {
        guard stallTimer == nil, outputBacklog > 0 else { return }
        stallTimer = lane.schedule(after: Transport.stallLimit) { [weak self] in self?.finish(.timeout("writing")) }
    }

    private func writable() {
        if state == .handshaking { return flushCiphertext() }
        flush()
        guard state == .open, wasAboveHighMark, outputBacklog < Transport.lowMark else { return }
        wasAboveHighMark = false
        owner?.transportDrained()
    }

    private func settleEmpty() {
        stallTimer?.cancel()
        stallTimer = nil
        if state == .closing { return finish(.local) }
        updateInterest()
        if wasAboveHighMark {
            wasAboveHighMark = false
            owner?.transportDrained()
        }
    }

    private func updateInterest() {
        guard state != .closed, state != .connecting else { return }
        let wantsInput = !isPaused && !inputHasEnded
        let events = (wantsInput ? EPOLLIN.rawValue : 0) | (outputBacklog > 0 ? EPOLLOUT.rawValue : 0)
        // A broken connection is reported whatever is asked for; to one that only waits, once and not in each turn.
        watch(events == 0 ? EPOLLET.rawValue : events)
    }

    // MARK: - The end

    private func isSilent(since start: Int64, _ reason: CloseReason) -> Bool {
        if bytesSent <= start { return true }
        guard let delivery = Socket.delivery(of: descriptor) else { return false }
        let hasEnd = inputHasEnded || reason == .peer || delivery.received > bytesReceived
        return hasEnd && delivery.acknowledged <= start
    }

    private func finish(_ reason: CloseReason) {
        guard state != .closed else { return }
        if state == .open || state == .closing, let tls, reason == .local || reason == .peer, backlog.isEmpty {
            tls.sayGoodbye()
            _ = lane.ciphertext.send(descriptor, backlog: &backlog)
        }
        lane.ciphertext.reset()
        if let requestStart { provesSilence = isSilent(since: requestStart, reason) }
        state = .closed
        stallTimer?.cancel()
        closeTimer?.cancel()
        unwatch()
        Glibc.close(descriptor)
        descriptor = -1
        let owner = self.owner
        self.owner = nil
        owner?.transportClosed(reason)
        onGone?()
        onGone = nil
        newcomer = nil
    }
}
