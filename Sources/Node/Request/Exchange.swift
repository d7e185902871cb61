// One request from its first frame to its last: everything that the phases know of it.
import Core
import Net
import Policy
import Providers
import Store
import Wire

/// A request under way. Confined to its lane; marked Sendable so that its task, which stays on the lane, may hold it.
final class Exchange: @unchecked Sendable {
    /// The stream that asked.
    let origin: SessionStream
    /// Who listens: that stream, or a kept answer in front of it.
    private(set) var downstream: any Downstream
    let head: RequestHead
    /// The prices of its beginning; the snapshot itself may go.
    let tariff: Tariff
    let receivedAt: Instant
    var body: ByteBuffer
    var isBodyComplete: Bool
    /// Bytes of the body that count for its key and org.
    var heldBodyBytes = 0
    /// Whether it goes on.
    private(set) var stop = Stop.running
    /// Its copy, which is compared with it.
    var shadow: Shadow?
    var grant: KeyGrant?
    var route: ActiveRoute?
    /// The route's targets, as this lane knows them.
    var laneTargets: [LaneTarget] = []
    /// Which of them is asked, and a bit for each that was.
    private(set) var targetPlace = 0
    private(set) var asked: UInt32 = 0
    /// Whether the target's circuit breaker lets it through as a probe: from the moment before it is sent until it is.
    var pass = TargetBreaker.Ticket.usual
    /// True while the cluster is asked whether it may probe.
    var isAskingForProbe = false
    /// The target that is asked next, or was asked last.
    var chosen: LaneTarget? { asked == 0 ? nil : laneTargets[targetPlace] }
    /// Who was asked; as long as nobody was, who would be.
    var target: LaneTarget? { leading?.target ?? chosen }
    /// Names the beginning of its prompt, where the route prefers the target that has seen it.
    private(set) var prefix: UInt64?
    /// Its attempts by their numbers: who leads, what follows.
    var race = Race()
    /// The attempt whose answer is taken, as long as another does not come before it.
    var leading: Attempt?
    /// The attempt beside it, where the route hedges.
    var beside: Attempt?
    var hedgeTimer: LaneTimer?
    /// True while it waits before another attempt.
    private(set) var isPausing = false
    /// What its target charges, as of its admission: a new price list changes nothing for a running request.
    var price: ModelPrice?
    /// What it holds of quota.
    var hold = Hold.none
    /// Whether that covers what is sent next.
    var cover = Cover.held
    /// What one answer will probably use; the reservation may come to cover more.
    var estimate: QuotaUse?
    /// Output tokens that each of its answers may have, as of its reservation.
    var mostOutput: Int64 = 0
    /// Answers that it asks for at once; more than one are known when the body is whole.
    var choices: Int64 = 1
    /// How many of them are reserved for.
    var reservedChoices: Int64 = 1
    /// True when its body adds members for a provider.
    var usesPassthrough = false
    /// True when its body was looked through.
    var isOutlined = false
    /// When quota answered.
    var reservedAt: Instant?
    /// Compares a stream with what is reserved for it; nil for answers that come whole.
    var watch: OutputWatch?
    /// When the answer began.
    var firstDeltaAt: Instant? { leading?.firstAt }
    /// Why attempts failed, for the log.
    var failedAttempts: [AttemptFailure] = []
    /// Earlier attempts that a provider may bill, for the ledger.
    var earlier: [LedgerEntry] = []
    let latch = Latch()
    /// Where it has, or waits for, a slot; a request that was sent has given it to its attempt.
    var admission: Admission?
    /// Since when its reader takes nothing; nil while it does.
    var stall: Stall?
    /// True once its admission knows it as stalled.
    var wasStalled = false
    var ticket: FairQueue<Exchange>.Ticket?
    var queueTimer: LaneTimer?
    /// How long it waited for its place; nil when it had one at once.
    var queueWait: Duration?
    private var deadlineTimer: LaneTimer?

    init(_ origin: SessionStream, head: RequestHead, body: consuming ByteBuffer, isBodyComplete: Bool) {
        self.origin = origin
        downstream = origin
        self.head = head
        self.body = body
        self.isBodyComplete = isBodyComplete
        tariff = origin.session.gateway.snapshot.tariff
        receivedAt = origin.session.gateway.lane.now
    }

    var session: Session { origin.session }
    var gateway: Gateway { origin.session.gateway }
    /// What its key has on this lane.
    var load: KeyLoad { origin.session.load }
    var stream: UInt32 { origin.number }

    /// Its answer is kept, or is not kept any more.
    func listen(through kept: Resumption) { downstream = kept }
    func listenDirectly() { downstream = origin }

    /// The request's time, as the client asked or as configured.
    var timeout: Duration {
        head.timeoutMilliseconds == 0
            ? gateway.settings.requestTimeout
            : .milliseconds(Int64(min(head.timeoutMilliseconds, RequestHead.longestTime)))
    }

    /// The numbers under which it is logged.
    var alias: String { route?.name ?? head.model }

    /// The timer is cancelled by `finish`, which every request reaches.
    func startDeadline() {
        deadlineTimer = gateway.lane.schedule(at: receivedAt + timeout) { [unowned self] in stop(.deadline) }
    }

    /// Why nobody waits for it any more.
    var stopReason: Refusal? { stop.reason }

    /// Ends the request early: closes the provider's connection, wakes whoever waits.
    func stop(_ reason: Refusal) {
        let bounds = stop.reason == nil ? drainBounds(reason) : nil
        let step = stop.end(reason, draining: bounds?.tokens)
        race.stop()
        beside?.call?.cancel()
        if let bounds, step == .drain {
            let deadline = min(gateway.lane.now + bounds.time, receivedAt + timeout)
            gateway.lane.schedule(at: deadline) { [weak self] in self.map { $0.follow($0.stop.drained()) } }
        }
        follow(step)
        latch.open()
    }

    /// Within which bounds an answer that its client cancelled is read on, where its provider bills it anyway; nil where it does not.
    private func drainBounds(_ reason: Refusal) -> DrainBounds? {
        guard let leading, leading.call != nil, let record = leading.target.upstream(of: gateway)?.record else {
            return nil
        }
        switch reason {
        case .cancelled, .connectionLost: return record.drain ?? (head.cancelPolicy == .abort ? nil : .usual)
        default: return nil
        }
    }

    private func follow(_ step: Stop.Step) {
        switch step {
        case .cancel: leading?.call?.cancel()
        case .drain: leading?.call?.resume()
        case .nothing: break
        }
    }

    /// A piece came that nobody wants any more.
    func drained() { follow(stop.piece()) }

    /// Throws when the request was stopped meanwhile.
    func checkGoesOn() throws(Refusal) { if let stopReason { throw stopReason } }

    /// Renders the body for the provider.
    func writeRequest(_ request: OpenAIChatRequest, into rendered: inout RenderedRequest) throws(BodyError) {
        let whole = body.slice
        var failure: BodyError?
        body.withBytes(of: whole) { bytes in
            do throws(BodyError) {
                rendered.bounds = try request.write(bytes, into: &rendered.json)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// Notes how the prompt begins: the same org's requests that begin alike prefer the same target.
    func notePrefix(_ length: Int) {
        let org = grant?.record.org ?? ""
        let start = body.slice
        prefix = body.withBytes(of: start) { PromptPrefix.number(of: $0, length: length, org: org) }
    }

    /// The target that is asked next.
    func choose(_ place: Int) {
        targetPlace = place
        asked |= 1 << UInt32(place)
        price = laneTargets[place].price(in: tariff)
    }

    /// Another target is asked beside the one that was.
    func noteAsked(_ place: Int) { asked |= 1 << UInt32(place) }

    /// The target that is asked next, instead of one that was chosen and not asked.
    func choose(_ place: Int, insteadOf other: Int) {
        asked &= ~(1 << UInt32(other))
        choose(place)
    }

    /// True when somebody else answers than the route has in calm times.
    var isFallback: Bool { race.begun > 1 || route?.record.targets[targetPlace].isForOverload == true }

    /// The target of another attempt, which begins after a pause.
    func turn(to place: Int, after pause: Duration) {
        choose(place)
        guard pause > .zero else { return }
        isPausing = true
        gateway.lane.schedule(after: pause) { [self] in
            isPausing = false
            latch.open()
        }
    }

    /// The client may take more, or more is reserved: the provider is read on, unless the other still has to come.
    func resume() {
        stall = nil
        if watch?.mustWait != true { leading?.call?.resume() }
    }

    /// Leaves the provider unread until `resume`.
    func pause() { leading?.call?.pause() }

    /// The last step: nothing wakes the request any more.
    func finish() {
        if wasStalled { leading?.admission?.forget(self) }
        returnPass()
        deadlineTimer?.cancel()
        deadlineTimer = nil
        hedgeTimer?.cancel()
        releaseBody()
    }
}
