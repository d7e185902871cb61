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
    var body: RequestBody
    /// Whether it goes on.
    private(set) var stop = Stop.running
    /// What is known of who asks; a `Caller` has both.
    var grant: KeyGrant?
    var route: ActiveRoute?
    /// What it holds of quota, from the question on.
    var held: Held?
    /// Its slot at a provider as long as no attempt has it.
    var slot = Slot()
    /// What it has tried.
    var tries = Tries()
    /// Its copy, which is compared with it.
    var shadow: Shadow?
    let latch = Latch()
    private var deadlineTimer: LaneTimer?

    init(_ origin: SessionStream, _ head: RequestHead, _ body: consuming RequestBody) {
        self.origin = origin
        downstream = origin
        self.head = head
        self.body = body
        tariff = origin.session.gateway.snapshot.tariff
        receivedAt = origin.session.gateway.lane.now
    }

    var session: Session { origin.session }
    var gateway: Gateway { origin.session.gateway }
    /// What its key has on this lane.
    var load: KeyLoad { origin.session.load }
    var stream: UInt32 { origin.number }

    /// The attempt whose answer is taken.
    var leading: Attempt? { tries.leading }
    /// When the answer began.
    var firstDeltaAt: Instant? { tries.leading?.firstAt }
    /// Who was asked; as long as nobody was, who would be.
    var target: LaneTarget? { tries.leading?.target ?? held?.target }

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

    /// False once it was stopped.
    var goesOn: Bool { stop.isRunning }

    /// Why nobody waits for it any more.
    var stopReason: Refusal? { stop.reason }

    /// Ends the request early: closes the provider's connection, wakes whoever waits.
    func stop(_ reason: Refusal) {
        let bounds = stop.reason == nil ? drainBounds(reason) : nil
        let step = stop.end(reason, draining: bounds?.tokens)
        tries.race.stop()
        tries.beside?.call?.cancel()
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
    @inline(never)
    func checkGoesOn() throws(Refusal) { if let stopReason { throw stopReason } }

    /// Renders the body for the provider.
    func writeRequest(for upstream: UpstreamTarget, into rendered: inout RenderedRequest) throws(BodyError) {
        let whole = body.bytes.slice
        var failure: BodyError?
        body.bytes.withBytes(of: whole) { bytes in
            do throws(BodyError) {
                try upstream.write(bytes, into: &rendered)
            } catch {
                failure = error
            }
        }
        if let failure { throw failure }
    }

    /// How the prompt begins: the same org's requests that begin alike prefer the same target.
    func prefix(_ length: Int, _ grant: KeyGrant) -> UInt64 {
        let start = body.bytes.slice
        return body.bytes.withBytes(of: start) { PromptPrefix.number(of: $0, length: length, org: grant.record.org) }
    }

    /// The client may take more, or more is reserved: the provider is read on, unless the other still has to come.
    func resume() {
        slot.stall = nil
        if held?.watch?.mustWait != true { leading?.call?.resume() }
    }

    /// Leaves the provider unread until `resume`.
    func pause() { leading?.call?.pause() }

    /// The last step: nothing wakes the request any more.
    func finish() {
        if slot.wasStalled { leading?.admission?.forget(self) }
        leaveEntrance()
        deadlineTimer?.cancel()
        deadlineTimer = nil
        tries.hedgeTimer?.cancel()
        releaseBody()
    }
}
