// One answer that its client may continue on another connection: what is kept of it, and who has it at present.
import Core
import Net
import Telemetry
import Wire

/// An answer that may be continued. Confined to the lane of its request, which it does not leave, whichever lane serves the client.
///
/// Exactly one connection has it at a time. Its request neither knows nor cares which: to it this is a
/// `Downstream` like any other.
final class Resumption: Downstream {
    /// Who has the answer.
    private enum Place {
        /// The connection that asked. Next: away, elsewhere, over, gone.
        case direct
        /// Nobody; the time for its client to come back runs. Next: elsewhere, gone.
        case away(LaneTimer)
        /// A later connection, on any lane. Next: away, elsewhere, over, gone.
        case elsewhere(Continuation)
        /// Everything was handed to a connection, the terminal frame too; whether it arrived is not known. Next: elsewhere, gone.
        case over
        /// Nothing is kept any more.
        case gone
    }

    let id: Identifier128
    /// The key whose connections may continue it, and no others.
    let key: String
    /// What the client presented that has it, or had it last.
    var credentials: Credentials
    unowned let registry: Resumptions
    /// The request, until it ended.
    private(set) var exchange: Exchange?
    /// The stream of the connection that asked.
    private let origin: SessionStream
    private var kept = KeptAnswer()
    private var place = Place.direct
    private var last: LastWord?
    /// Memory that was counted for `kept`.
    private var counted = 0
    /// Response bytes handed to another lane and not confirmed by it.
    private var underWay = 0
    /// How often it was continued.
    private var resumed = 0
    /// True while it waits among those that are over.
    var isListed = false

    /// So much goes to another lane at once: what a connection queues for a stream before it says stop.
    private static let mostUnderWay = 16_384
    /// So much is kept before the client's credit is looked at: it comes when half of a window is used.
    private static let looksAt = 16_384
    /// So often may one answer be continued: each time costs the resending of a window.
    private static let mostContinuations = 16

    init(_ exchange: Exchange, id: Identifier128, key: String, credentials: Credentials, registry: Resumptions) {
        self.exchange = exchange
        origin = exchange.origin
        self.id = id
        self.key = key
        self.credentials = credentials
        self.registry = registry
    }

    /// What its client is told.
    var grant: ResumeGrant { ResumeGrant(id: id, keptMilliseconds: UInt32(clamping: registry.time.milliseconds)) }

    /// True when its request runs and the connection that asked does not have it any more.
    var isApart: Bool {
        guard exchange != nil else { return false }
        if case .direct = place { return false }
        return true
    }

    // The connection that asked says what it can, as long as the answer is its own; what is sent is kept in any case.
    var isOpen: Bool { true }
    var waitingBytes: Int { origin.waitingBytes }
    var continuations: Int? { resumed }
    func grantBody() { origin.grantBody() }
    func accepted(_ accepted: Accepted) { if origin.isOpen { origin.accepted(accepted) } }

    /// True while nobody has it.
    var isAway: Bool { if case .away = place { true } else { false } }

    /// True when nobody waits for a terminal frame that was not sent.
    var isOver: Bool { if case .over = place { true } else { false } }

    // MARK: - What the provider sends

    func delta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) -> Bool {
        kept.append(choice: choice, kind: kind, bytes)
        return pass()
    }

    func event(_ event: StreamEvent) -> Bool {
        kept.append(event)
        return pass()
    }

    private func pass() -> Bool {
        switch place {
        case .direct:
            if kept.count >= Resumption.looksAt { kept.forget(until: origin.acknowledged) }
            var goesOn = true
            while let more = kept.sendNext({ kind, payload in origin.send(kind, payload) }) { goesOn = more }
            origin.flush()
            // The connection goes on without what cannot be kept; it only cannot be continued any more.
            if !count() { registry.giveUp(self) }
            return goesOn
        case .away: return count() && hasRoom
        case .elsewhere:
            pump()
            return count() && hasRoom
        case .over, .gone: return true
        }
    }

    /// Whether the provider may be read on. With a connection it is the client's credit that bounds what is kept, not the bound of an
    /// answer that nobody has.
    private var hasRoom: Bool {
        switch place {
        case .away: kept.count < registry.bound
        case .elsewhere: kept.isSent
        case .direct, .over, .gone: true
        }
    }

    /// Brings the lane's memory up to date; false when there is none left for this answer.
    private func count() -> Bool {
        let change = kept.allocatedBytes - counted
        counted += change
        return registry.counted(change, for: self)
    }

    /// Hands over what the connection takes, and the last word behind all of it.
    private func pump() {
        guard case .elsewhere(let continuation) = place else { return }
        while underWay < Resumption.mostUnderWay {
            guard let batch = kept.batch(limit: Resumption.mostUnderWay - underWay) else { break }
            underWay += batch.count
            continuation.deliver(batch.pieces, count: batch.count)
        }
        guard let last else { return }
        // An error drops what waits in front of it.
        if case .end = last, !kept.isSent { return }
        continuation.finish(last)
        rest()
    }

    /// The provider is read on where there is room for it.
    private func readOn() {
        guard let exchange else { return }
        if hasRoom { exchange.resume() } else { exchange.pause() }
    }

    // MARK: - The request's end

    /// The request ended: its last word goes to whoever has the answer, or waits.
    func finish(_ word: LastWord) {
        last = word
        exchange = nil
        switch place {
        case .direct:
            origin.finish(word)
            rest()
        case .elsewhere: pump()
        case .away, .over, .gone: break
        }
    }

    /// All was handed over; it is kept a while, for it may not have arrived.
    private func rest() {
        place = .over
        registry.isOver(self)
    }

    /// Nothing is kept any more, whatever the reason. A request that nobody can continue ends like any other that lost its connection.
    func drop(_ reason: Refusal? = nil) {
        if case .away(let timer) = place { timer.cancel() }
        place = .gone
        kept = KeptAnswer()
        _ = registry.counted(-counted, for: self)
        counted = 0
        last = nil
        guard let exchange else { return }
        self.exchange = nil
        if let reason { exchange.stop(reason) }
    }

    // MARK: - Connections

    /// Reads on within bounds.
    func detach() -> Bool {
        guard case .direct = place, let exchange, exchange.stopReason == nil, !exchange.gateway.isDrained else {
            return false
        }
        goAway()
        return true
    }

    /// A later connection is gone.
    func lost(_ continuation: Continuation) {
        guard case .elsewhere(let current) = place, current === continuation else { return }
        goAway()
    }

    private func goAway() {
        place = .away(
            registry.lane.schedule(after: registry.time) { [self] in
                registry.expired.add()
                registry.forget(self)
                drop(.connectionLost)
            })
        registry.watchRights()
        readOn()
    }

    /// Another connection wants to go on behind `received` bytes. False when it cannot.
    func go(to continuation: Continuation, behind received: UInt32) -> Bool {
        guard resumed < Resumption.mostContinuations, kept.rewind(to: received) else { return false }
        switch place {
        case .direct:
            // Half-open: its client knows better.
            if exchange != nil { origin.session.cutOff(origin) }
        case .away(let timer): timer.cancel()
        case .elsewhere(let old): old.cut()
        case .over: break
        case .gone: return false
        }
        resumed += 1
        underWay = 0
        place = .elsewhere(continuation)
        registry.watchRights()
        continuation.begin(grant)
        pump()
        readOn()
        return true
    }

    /// The connection took `bytes` more; its client confirmed all before `acknowledged`.
    func confirmed(_ continuation: Continuation, _ bytes: Int, acknowledged: UInt32) {
        guard case .elsewhere(let current) = place, current === continuation else { return }
        underWay -= bytes
        kept.forget(until: acknowledged)
        pump()
        if hasRoom { readOn() }
    }

    /// The connection that has it wants its end.
    func stop(_ continuation: Continuation, _ reason: Refusal) {
        guard case .elsewhere(let current) = place, current === continuation else { return }
        if let exchange { return exchange.stop(reason) }
        // The request ended before; its client will not hear the whole of it.
        continuation.finish(.error(reason.streamError))
        registry.forget(self)
        drop()
    }
}
