// A request's attempts: how one begins, which of two is answered with, what the end of each leaves.
import Core
import Net
import Policy
import Providers
import Wire

extension Exchange {
    /// Sends the request to the target that was chosen, on the slot that it has there.
    func send(
        _ request: inout RenderedRequest, of placed: Placed, to upstream: UpstreamTarget, _ target: LaneTarget
    ) {
        let held = placed.held
        let attempt = Attempt(
            tries.race.begin(), at: held.index, target, price: target.price(in: tariff), ticket: tries.entrance.ticket,
            admission: slot.take(), isStream: head.flags.contains(.stream), on: gateway)
        tries.entrance = .usual
        tries.leading = attempt
        if held.caller.route.record.isHedged { armHedge(attempt, placed) }
        // What was paid for can be continued, also while its first word is waited for.
        if head.flags.contains(.resumable), downstream === origin,
            let kept = gateway.resumptions.offer(self, held.caller.grant)
        {
            listen(through: kept)
        }
        attempt.start(
            &request, to: upstream, times: times(held.caller.route), share: load.share, for: .request(self, held))
    }

    /// Waits for the end of the attempt that `send` began, or of the one that came to lead.
    func attemptEnded() async { while tries.leading?.isRunning == true { await latch.wait() } }

    /// How long the answer may be silent: the shortest of what client, route and provider say counts.
    func times(_ route: ActiveRoute) -> UpstreamTimes {
        var times = UpstreamTimes()
        if let first = route.record.firstEventTimeout { times.firstEvent = first }
        if let idle = route.record.idleTimeout { times.idle = idle }
        let asked = head.timeToFirstTokenMilliseconds
        if asked != 0 { times.firstEvent = min(times.firstEvent, .milliseconds(Int64(asked))) }
        return times
    }

    /// The next attempt begins after a pause.
    func pause(for time: Duration) {
        guard time > .zero else { return }
        tries.isPausing = true
        gateway.lane.schedule(after: time) { [self] in
            tries.isPausing = false
            latch.open()
        }
    }

    // MARK: - Two attempts at once

    /// An interactive stream is asked for elsewhere, too, when its first token is later than those of the target usually are.
    private func armHedge(_ first: Attempt, _ placed: Placed) {
        guard first.number == 1, priorityClass == .interactive, first.isStream,
            let delay = first.target.slowFirstToken.time
        else { return }
        tries.hedgeTimer = gateway.lane.schedule(after: delay) { [unowned self] in Pipeline.hedge(self, placed) }
    }

    /// The first attempt while a second beside it makes sense.
    func hedgeable(_ held: Held) -> Attempt? {
        guard tries.race.isHedgeable, let leading, leading.call != nil, held.caller.route.record.attempts > 1,
            body.bytes.count > 0, !gateway.isDrained
        else { return nil }
        return leading
    }

    /// A second attempt is sent.
    func sendBeside(_ attempt: Attempt, _ request: inout RenderedRequest, of held: Held, to upstream: UpstreamTarget) {
        tries.beside = attempt
        gateway.metrics.hedgeBegan(alias)
        attempt.start(
            &request, to: upstream, times: times(held.caller.route), share: load.share, for: .request(self, held))
    }

    /// An attempt has ended. Where it failed before its answer began, the other may still succeed.
    func ended(_ attempt: Attempt, _ held: Held) {
        note(attempt)
        let ending: Race.Ending = attempt.outcome?.failure == nil ? .answered : .failed
        switch tries.race.ended(attempt.number, ending, most: held.caller.route.record.attempts) {
        case .ignore:
            if attempt === tries.leading { tries.leading = tries.beside }
            tries.beside = nil
            Pipeline.lost(attempt, self, held)
        case .tryNext: leadingEnded(attempt, held)
        case .end(let loser):
            leadingEnded(attempt, held)
            if loser != nil { tries.beside?.call?.cancel() }
        }
    }

    private func leadingEnded(_ attempt: Attempt, _ held: Held) {
        if attempt.number == 1 { Pipeline.countFirst(self, held, attempt, firstToken: attempt.firstToken) }
        latch.open()
    }

    /// What the attempt that did not lead may cost.
    func keepLost(_ entry: LedgerEntry) { tries.earlier.append(entry) }

    /// The last attempt's bill is kept beside what follows.
    func keep(_ entry: LedgerEntry) {
        tries.earlier.append(entry)
        tries.leading?.book()
    }

    /// True when a provider may have begun to work on it.
    var wasSent: Bool { tries.leading?.outcome?.wasSent == true || !tries.earlier.isEmpty }

    // MARK: - Pieces of an answer

    func delta(of attempt: Attempt, _ held: Held, choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        guard isTaken(attempt) else {
            if attempt === tries.leading { drained() }
            return
        }
        if !downstream.delta(choice: choice, kind: kind, bytes) { readerIsFull() }
        if let step = held.watch?.pass(bytes.byteCount), step != .goOn {
            Pipeline.extend(self, held, attempt, step)
        }
    }

    func event(of attempt: Attempt, _ event: StreamEvent) {
        guard isTaken(attempt) else { return }
        if !downstream.event(event) { readerIsFull() }
    }

    /// True when what this attempt says is handed on; the first piece of an answer decides which attempt that is.
    private func isTaken(_ attempt: Attempt) -> Bool {
        switch tries.race.piece(attempt.number) {
        case .ignore: return false
        case .begins(let loser): begins(attempt, loser)
        case .deliver: break
        }
        return downstream.isOpen
    }

    /// The first piece is there: nothing is asked again, and nobody else.
    private func begins(_ attempt: Attempt, _ loser: Int?) {
        if attempt === tries.beside {
            gateway.metrics.hedgeWon(alias)
            (tries.leading, tries.beside) = (attempt, tries.leading)
        }
        attempt.begins()
        tries.hedgeTimer?.cancel()
        if loser != nil { tries.beside?.call?.cancel() }
        releaseBody()
        if attempt.isStream, downstream.isOpen { downstream.accepted(accepted(by: attempt)) }
    }

    private func accepted(by attempt: Attempt) -> Accepted {
        // Somebody else answers than the route has in calm times.
        let isFallback =
            tries.race.begun > 1 || attempt.index.map { route?.record.targets[$0].isForOverload == true } == true
        return Accepted(
            provider: tariff.providerNumbers[attempt.target.provider] ?? 0, flags: isFallback ? .fallback : [],
            attempt: UInt8(clamping: tries.race.begun),
            queueMilliseconds: UInt32(clamping: slot.waited?.milliseconds ?? 0))
    }
}
