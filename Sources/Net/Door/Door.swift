// Accepts connections, and keeps the newcomers among them within limits until they are established.
import CLinux
import Core
import Glibc

/// A listening socket and who came through it. What a connection then is, `Listener` decides.
final class Door: Pollable {
    let limits: ListenerLimits
    private(set) var counts = ListenerCounts()
    var isPaused = false { didSet { watchAgain() } }
    /// Told of refusals, rarely enough for a log.
    var onRefusals: (([RefusalReport]) -> Void)?
    /// Makes a connection of a newcomer that may begin; nil when there is no memory for it.
    private let begin: (Newcomer) -> Transport?
    /// True when newcomers begin one after another, because a handshake costs much.
    private let isPaced: Bool
    private var newcomers = NewcomerTable<Newcomer>()
    private var pace: HandshakePace
    private var turnTimer: LaneTimer?
    private var isHungry = false
    /// Connections of balancers whose header has not come yet. They are nobody's yet, so none of them goes for another: to a balancer a reset
    /// before it has sent its header is a server that fails.
    private var awaitingHeader = 0
    /// Handshakes begun since memory was given back, and when that was.
    private var begunSinceTrim = 0
    private var trimmedAt = Instant(nanoseconds: .min / 2)
    private var refusalLog = RefusalLog()
    private var refusalTimer: LaneTimer?
    /// Sockets of newcomers that had to make room.
    private let parting: PartingSockets

    /// The most connections accepted in one turn, so that a flood leaves time for those who are in.
    private static let acceptsPerTurn = 8

    init(
        lane: Lane, descriptor: Int32, limits: ListenerLimits, isPaced: Bool, begin: @escaping (Newcomer) -> Transport?
    ) {
        self.limits = limits
        self.isPaced = isPaced
        self.begin = begin
        // The lane's own clock is read on the lane alone, and a listener may be made before that runs.
        pace = HandshakePace(perSecond: limits.handshakesPerSecond, at: Host.monotonicNow())
        parting = PartingSockets(lane: lane)
        super.init(lane: lane)
        self.descriptor = descriptor
    }

    /// Stops accepting; open connections live on.
    func close() {
        guard descriptor >= 0 else { return }
        unwatch()
        Glibc.close(descriptor)
        descriptor = -1
        parting.closeAll()
    }

    func watchAgain() { watch(isPaused ? 0 : EPOLLIN.rawValue) }

    // MARK: - Accepting

    override func ready(_ events: UInt32) {
        for _ in 0..<Door.acceptsPerTurn {
            switch Socket.accept(from: descriptor) {
            case .none: return
            case .exhausted:
                guard parting.isEmpty else {
                    parting.closeAll()
                    continue
                }
                // Whoever waits still waits: the newcomer that goes makes room for it.
                guard let newcomer = newcomers.first else { return rest() }
                newcomer.refuse(.descriptors)
            case .connection(let accepted, let peer):
                guard admit(accepted, from: peer) else { return rest() }
            }
        }
    }

    /// Descriptors are short: without a pause the lane would be told of the waiting connection again and again.
    private func rest() {
        counts.pauses += 1
        watch(0)
        lane.schedule(after: .milliseconds(100)) { [weak self] in self?.watchAgain() }
    }

    /// False when descriptors are so short that accepting must rest.
    private func admit(_ arrived: Int32, from peer: SocketAddress) -> Bool {
        var accepted = arrived
        if Int(accepted) >= limits.descriptors, !parting.isEmpty {
            parting.closeAll()
            accepted = Door.lowered(accepted)
        }
        if Int(accepted) >= limits.descriptors {
            guard let other = newcomers.first else {
                turnAway(accepted, peer, .descriptors)
                return false
            }
            other.refuse(.descriptors)
            accepted = Door.lowered(accepted)
        }
        if counts.open >= limits.connections {
            guard let other = newcomers.first else {
                turnAway(accepted, peer, .connections)
                return true
            }
            other.refuse(.crowded)
        }
        let isBalancer = limits.isBalancer?(peer) == true
        guard !isBalancer || awaitingHeader < limits.newcomers else {
            turnAway(accepted, peer, .crowded)
            return true
        }
        counts.accepted += 1
        counts.open += 1
        let newcomer = Newcomer(door: self, descriptor: accepted, peer: peer, isBehindBalancer: isBalancer)
        if isBalancer {
            awaitingHeader += 1
            counts.pending = newcomers.count + awaitingHeader
        } else {
            takeIn(newcomer)
        }
        if isPaced || isBalancer || limits.establishment != .handshake {
            newcomer.start()
        } else {
            // There is nothing to wait for: it is established as it is.
            beginNow(newcomer)
        }
        return true
    }

    /// Gives a newcomer its place among those of its source, and makes room for it.
    private func takeIn(_ newcomer: Newcomer) {
        let source = Source(newcomer.client)
        if newcomers.count(of: source) >= limits.newcomersPerSource { newcomers.first(of: source)?.refuse(.source) }
        if newcomers.count >= limits.newcomers { newcomers.first?.refuse(.crowded) }
        newcomer.place = newcomers.add(newcomer, from: source)
        counts.pending = newcomers.count + awaitingHeader
    }

    /// The same socket under the lowest free number. Numbers tell how many descriptors are open only as long as the lowest are in use.
    private static func lowered(_ descriptor: Int32) -> Int32 {
        let lowest = fcntl(descriptor, F_DUPFD_CLOEXEC, 0)
        guard lowest >= 0 else { return descriptor }
        Glibc.close(descriptor)
        return lowest
    }

    private func turnAway(_ accepted: Int32, _ peer: SocketAddress, _ reason: ConnectionRefusal) {
        Socket.resetOnClose(accepted)
        Glibc.close(accepted)
        note(reason, from: peer)
    }

    // MARK: - Newcomers

    /// Closes the socket of a newcomer that had to make room, a moment later: whoever opens another as soon as one is closed does so ten times
    /// a second, and not as fast as we can close.
    func part(with descriptor: Int32) { parting.append(descriptor) }

    /// A balancer said whose connection it is.
    func named(_ newcomer: Newcomer) {
        awaitingHeader -= 1
        takeIn(newcomer)
    }

    /// It spoke: its source has a turn for it.
    func spoke(_ newcomer: Newcomer) {
        newcomers.move(newcomer.place, to: .waiting)
        if isPaced { goOnNextTurn() } else { takeTurns() }
    }

    private func goOnNextTurn() {
        guard !isHungry else { return }
        isHungry = true
        lane.markHungry(self)
    }

    override func resume() {
        isHungry = false
        takeTurns()
    }

    private func takeTurns() {
        var begun = 0
        while newcomers.hasWaiting {
            if isPaced {
                guard begun < limits.handshakesPerTurn else { return goOnNextTurn() }
                guard pace.take(at: lane.now) else { return waitForPace() }
            }
            begun += 1
            begunSinceTrim += 1
            if let newcomer = newcomers.takeTurn() { beginNow(newcomer) }
        }
    }

    private func waitForPace() {
        guard turnTimer?.isPending != true else { return }
        turnTimer = lane.schedule(after: pace.interval) { [weak self] in self?.takeTurns() }
    }

    private func beginNow(_ newcomer: Newcomer) {
        guard let transport = begin(newcomer) else { return newcomer.refuse(.descriptors) }
        newcomer.transport = transport
        transport.onGone = { [self] in
            counts.open -= 1
            forget(newcomer)
        }
        transport.newcomer = newcomer
        transport.start()
    }

    /// The handshake is done.
    func shookHands(_ newcomer: Newcomer) {
        newcomer.timer?.cancel()
        if limits.establishment == .handshake { forget(newcomer) }
    }

    /// What the peer wants was understood.
    func greeted(_ newcomer: Newcomer) {
        guard newcomer.place >= 0 else { return }
        switch limits.establishment {
        case .handshake, .greeting: forget(newcomer)
        case .never: newcomers.move(newcomer.place, to: .begun)
        }
    }

    func handshakeFailed() { counts.handshakeFailures += 1 }

    /// It left before it became a connection.
    func left(_ newcomer: Newcomer) {
        counts.open -= 1
        if newcomer.isAwaitingHeader { awaitingHeader -= 1 }
        forget(newcomer)
        counts.pending = newcomers.count + awaitingHeader
    }

    private func forget(_ newcomer: Newcomer) {
        newcomer.timer?.cancel()
        guard newcomer.place >= 0 else { return }
        newcomers.remove(newcomer.place)
        newcomer.place = -1
        counts.pending = newcomers.count + awaitingHeader
        trimLater()
        // An established connection carries nothing of this on.
        newcomer.transport?.newcomer = nil
        newcomer.transport?.onGone = { [self] in counts.open -= 1 }
    }

    /// A burst of handshakes leaves memory behind that the allocator keeps: it is given back when the burst is over, once a minute at most.
    private func trimLater() {
        guard isPaced, newcomers.count == 0, begunSinceTrim >= 1_000, lane.now - trimmedAt >= .seconds(60) else {
            return
        }
        begunSinceTrim = 0
        trimmedAt = lane.now
        lane.schedule(after: .seconds(1)) { Host.trimMemory() }
    }

    // MARK: - Refusals

    func note(_ reason: ConnectionRefusal, from peer: SocketAddress) {
        counts.refusals[reason, default: 0] += 1
        if let report = refusalLog.note(reason, from: peer, at: lane.now) { onRefusals?([report]) }
        scheduleRefusals()
    }

    private func scheduleRefusals() {
        guard refusalTimer?.isPending != true, let due = refusalLog.deadline else { return }
        refusalTimer = lane.schedule(at: due) { [weak self] in
            guard let self else { return }
            onRefusals?(refusalLog.due(at: lane.now))
            scheduleRefusals()
        }
    }
}

/// How many handshakes may begin: so many a second, and a second's worth at once.
struct HandshakePace {
    private let rate: Double
    private var allowance: Double
    private var countedAt: Instant

    init(perSecond: Int, at now: Instant) {
        rate = Double(perSecond)
        allowance = rate
        countedAt = now
    }

    /// The time in which one more may begin.
    var interval: Duration { .nanoseconds(Int64(1e9 / rate)) }

    mutating func take(at now: Instant) -> Bool {
        allowance = min(rate, allowance + Double((now - countedAt).nanoseconds) / 1e9 * rate)
        countedAt = now
        guard allowance >= 1 else { return false }
        allowance -= 1
        return true
    }
}
