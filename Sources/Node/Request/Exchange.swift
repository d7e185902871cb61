// One request from its first frame to its last: everything that the phases know of it.
import Core
import Net
import Policy
import Providers
import Store
import Wire

/// A request under way. Confined to its lane; marked Sendable so that its task, which stays on the lane, may hold it.
final class Exchange: @unchecked Sendable {
    let gateway: Gateway
    let session: Session
    /// What its key has on this lane.
    let load: KeyLoad
    let stream: UInt32
    let head: RequestHead
    /// The prices of its beginning; the snapshot itself may go.
    let tariff: Tariff
    let receivedAt: Instant
    var body: ByteBuffer
    var isBodyComplete: Bool
    /// Bytes of the body that count for its key and org.
    var heldBodyBytes = 0
    /// Why it must end early: the first reason counts.
    private(set) var stopReason: Refusal?
    /// How many pieces of a cancelled answer are still read; nil when none are.
    private var drainRest: Int?
    /// Its copy, which is compared with it.
    var shadow: Shadow?
    var grant: KeyGrant?
    var route: ActiveRoute?
    /// The route's targets, as this lane knows them.
    var laneTargets: [LaneTarget] = []
    /// Which of them is asked, and a bit for each that was.
    private(set) var targetPlace = 0
    private(set) var asked: UInt32 = 0
    /// Whether the target's circuit breaker let it through as a probe: from the moment before it is sent to the attempt's end.
    var pass = TargetBreaker.Ticket.usual
    /// True while the cluster is asked whether it may probe.
    var isAskingForProbe = false
    var target: LaneTarget? { asked == 0 ? nil : laneTargets[targetPlace] }
    /// Names the beginning of its prompt, where the route prefers the target that has seen it.
    private(set) var prefix: UInt64?
    /// Attempts that began.
    private(set) var attemptCount = 0
    /// The number of the attempt whose answer is taken.
    private(set) var leading = 0
    /// The attempt beside it, where the route hedges.
    private var other: OtherAttempt?
    private var hedgeTimer: LaneTimer?
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
    var firstDeltaAt: Instant?
    /// What is kept of the answer; nil unless its client asked for that.
    var resumption: Resumption?
    private(set) var outcome: UpstreamOutcome?
    /// Why attempts failed, for the log.
    var failedAttempts: [AttemptFailure] = []
    /// Earlier attempts that a provider may bill, for the ledger.
    private(set) var earlier: [LedgerEntry] = []
    private(set) var call: UpstreamCall?
    let latch = Latch()
    /// Where it has, or waits for, a place.
    var admission: Admission?
    /// Since when its reader takes nothing; nil while it does.
    var stall: Stall?
    /// True once its admission knows it as stalled.
    var wasStalled = false
    var ticket: FairQueue<Exchange>.Ticket?
    var queueTimer: LaneTimer?
    /// How long it waited for its place; nil when it had one at once.
    var queueWait: Duration?
    /// When the provider was asked.
    private(set) var sentAt: Instant?
    private var deadlineTimer: LaneTimer?

    init(
        _ session: Session, stream: UInt32, head: RequestHead, body: consuming ByteBuffer, isBodyComplete: Bool
    ) {
        self.session = session
        gateway = session.gateway
        load = session.load
        self.stream = stream
        self.head = head
        self.body = body
        self.isBodyComplete = isBodyComplete
        tariff = session.gateway.snapshot.tariff
        receivedAt = session.gateway.lane.now
    }

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

    /// Ends the request early: closes the provider's connection, wakes whoever waits.
    func stop(_ reason: Refusal) {
        // An answer that is only read on for its usage ends with the next reason.
        guard stopReason == nil else { return endDrain() }
        stopReason = reason
        other?.call?.cancel()
        if !drain(reason) { call?.cancel() }
        latch.open()
    }

    /// Reads an answer on that its client cancelled, within bounds, where its provider bills it anyway; false where it does not.
    private func drain(_ reason: Refusal) -> Bool {
        guard call != nil, let target, let record = target.upstream(of: gateway)?.record else { return false }
        switch reason {
        case .cancelled, .connectionLost: break
        default: return false
        }
        guard let bounds = record.drain ?? (head.cancelPolicy == .abort ? nil : .usual) else { return false }
        drainRest = bounds.tokens
        let deadline = min(gateway.lane.now + bounds.time, receivedAt + timeout)
        gateway.lane.schedule(at: deadline) { [weak self] in self?.endDrain() }
        call?.resume()
        return true
    }

    private func endDrain() {
        guard drainRest != nil else { return }
        drainRest = nil
        call?.cancel()
    }

    /// A piece came that nobody wants any more.
    func drained() {
        guard let rest = drainRest else { return }
        if rest > 1 { drainRest = rest - 1 } else { endDrain() }
    }

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

    /// The target that is asked next, instead of one that was chosen and not asked.
    func choose(_ place: Int, insteadOf other: Int) {
        asked &= ~(1 << UInt32(other))
        choose(place)
    }

    /// True when somebody else answers than the route has in calm times.
    var isFallback: Bool { attemptCount > 1 || route?.record.targets[targetPlace].isForOverload == true }

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

    /// The last attempt's bill is kept beside what follows.
    func keep(_ entry: LedgerEntry) {
        earlier.append(entry)
        outcome = nil
    }

    /// True when a provider may have begun to work on it.
    var wasSent: Bool { outcome?.wasSent == true || !earlier.isEmpty }

    /// Sends the request to the target; deltas go to the session, and at the end `outcome` is there.
    func startCall(_ target: UpstreamTarget, _ request: inout RenderedRequest) {
        attemptCount += 1
        leading = attemptCount
        let number = leading
        let call = UpstreamCall(
            target, isStream: head.flags.contains(.stream), times: times, share: load.share, sink: self
        ) { [self] (outcome: consuming UpstreamOutcome) in attemptEnded(number, outcome) }
        self.call = call
        sentAt = gateway.lane.now
        outcome = nil
        if route?.record.isHedged == true { armHedge() }
        // What was paid for can be continued, also while its first word is waited for.
        if head.flags.contains(.resumable), resumption == nil { resumption = gateway.resumptions.offer(self) }
        self.target?.begin(pass)
        call.start(&request)
    }

    /// How long the answer may be silent: the shortest of what client, route and provider say counts.
    var times: UpstreamTimes {
        var times = UpstreamTimes()
        if let first = route?.record.firstEventTimeout { times.firstEvent = first }
        if let idle = route?.record.idleTimeout { times.idle = idle }
        let asked = head.timeToFirstTokenMilliseconds
        if asked != 0 { times.firstEvent = min(times.firstEvent, .milliseconds(Int64(asked))) }
        return times
    }

    // MARK: - Two attempts at once

    /// An interactive stream is asked for elsewhere, too, when its first token is later than those of the target usually are.
    private func armHedge() {
        guard attemptCount == 1, priorityClass == .interactive, head.flags.contains(.stream),
            let delay = target?.slowFirstToken.time
        else { return }
        hedgeTimer = gateway.lane.schedule(after: delay) { [unowned self] in Pipeline.hedge(self) }
    }

    /// True while a second attempt beside the first makes sense.
    var mayHedge: Bool {
        call != nil && outcome == nil && firstDeltaAt == nil && stopReason == nil && attemptCount == 1
            && (route?.record.attempts ?? 0) > 1 && body.count > 0 && !gateway.isDrained
    }

    /// A second attempt is sent.
    func beginOther(_ attempt: OtherAttempt) {
        attemptCount += 1
        asked |= 1 << UInt32(attempt.place)
        other = attempt
    }

    /// True when the attempt of this number is the one whose answer is taken; the first piece of an answer decides.
    func leads(_ number: Int) -> Bool {
        if number == leading { return true }
        guard let other, other.number == number, firstDeltaAt == nil, stopReason == nil else { return false }
        gateway.metrics.hedgeWon(alias)
        change(places: other)
        other.call?.cancel()
        return true
    }

    /// The other attempt leads from now on.
    private func change(places other: OtherAttempt) {
        swap(&leading, &other.number)
        swap(&targetPlace, &other.place)
        swap(&price, &other.price)
        swap(&admission, &other.admission)
        swap(&sentAt, &other.sentAt)
        swap(&call, &other.call)
    }

    /// The first piece is there: nothing is asked again, and nobody else.
    func answerBegins() {
        firstDeltaAt = gateway.lane.now
        hedgeTimer?.cancel()
        other?.call?.cancel()
        releaseBody()
    }

    /// What the attempt that did not lead may cost.
    func keepOther(_ entry: LedgerEntry) { earlier.append(entry) }

    /// An attempt has ended. Where the leading one failed before its answer began, the other may still succeed.
    func attemptEnded(_ number: Int, _ outcome: consuming UpstreamOutcome) {
        if let other {
            if number == leading, outcome.failure != nil, !outcome.hasContent, stopReason == nil {
                change(places: other)
            }
            if number == other.number {
                self.other = nil
                return Pipeline.otherEnded(other, self, outcome)
            }
        }
        ended(outcome)
        call = nil
        other?.call?.cancel()
        latch.open()
    }

    private func ended(_ outcome: consuming UpstreamOutcome) {
        var first: Duration?
        if let firstDeltaAt, let sentAt, head.flags.contains(.stream) { first = firstDeltaAt - sentAt }
        target?.end(outcome, pass, firstToken: first, gateway)
        note(outcome.failure, of: leading, at: targetPlace)
        if leading == 1 {
            Pipeline.countFirst(self, at: targetPlace, outcome, price: price, firstToken: first)
        }
        self.outcome = outcome
        pass = .usual
    }

    /// Waits for the end of the call that `startCall` began.
    func callEnded() async { while outcome == nil { await latch.wait() } }

    /// The client may take more, or more is reserved: the provider is read on, unless the other still has to come.
    func resume() {
        stall = nil
        if watch?.mustWait != true { call?.resume() }
    }

    /// Leaves the provider unread until `resume`.
    func pause() { call?.pause() }

    /// The last step: nothing wakes the request any more.
    func finish() {
        if wasStalled { admission?.forget(self) }
        returnPass()
        deadlineTimer?.cancel()
        deadlineTimer = nil
        hedgeTimer?.cancel()
        releaseBody()
        call = nil
    }
}
