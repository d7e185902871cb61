// A request's attempts: how one begins, which of two is answered with, what the end of each leaves.
import Core
import Net
import Policy
import Providers
import Wire

extension Exchange {
    /// Sends the request to the target that was chosen, on the slot that it has there.
    func send(_ request: inout RenderedRequest, to upstream: UpstreamTarget, _ target: LaneTarget) {
        let attempt = Attempt(
            race.begin(), at: targetPlace, target, price: price, ticket: pass, admission: admission,
            isStream: head.flags.contains(.stream), on: gateway)
        (pass, admission) = (.usual, nil)
        leading = attempt
        if route?.record.isHedged == true { armHedge(attempt) }
        // What was paid for can be continued, also while its first word is waited for.
        if head.flags.contains(.resumable), downstream === origin, let kept = gateway.resumptions.offer(self) {
            listen(through: kept)
        }
        attempt.start(&request, to: upstream, times: times, share: load.share, for: .request(self))
    }

    /// Waits for the end of the attempt that `send` began, or of the one that came to lead.
    func attemptEnded() async { while leading?.outcome == nil { await latch.wait() } }

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
    private func armHedge(_ first: Attempt) {
        guard first.number == 1, priorityClass == .interactive, first.isStream,
            let delay = first.target.slowFirstToken.time
        else { return }
        hedgeTimer = gateway.lane.schedule(after: delay) { [unowned self] in Pipeline.hedge(self) }
    }

    /// The first attempt while a second beside it makes sense.
    var hedgeable: Attempt? {
        guard race.isHedgeable, let leading, leading.call != nil, (route?.record.attempts ?? 0) > 1, body.count > 0,
            !gateway.isDrained
        else { return nil }
        return leading
    }

    /// A second attempt is sent.
    func sendBeside(_ attempt: Attempt, _ request: inout RenderedRequest, to upstream: UpstreamTarget, at index: Int) {
        noteAsked(index)
        beside = attempt
        gateway.metrics.hedgeBegan(alias)
        attempt.start(&request, to: upstream, times: times, share: load.share, for: .request(self))
    }

    /// An attempt has ended. Where it failed before its answer began, the other may still succeed.
    func ended(_ attempt: Attempt) {
        note(attempt)
        let ending: Race.Ending = attempt.outcome?.failure == nil ? .answered : .failed
        switch race.ended(attempt.number, ending, most: route?.record.attempts ?? 1) {
        case .ignore:
            if attempt === leading { leading = beside }
            beside = nil
            Pipeline.lost(attempt, self)
        case .tryNext: leadingEnded(attempt)
        case .end(let loser):
            leadingEnded(attempt)
            if loser != nil { beside?.call?.cancel() }
        }
    }

    private func leadingEnded(_ attempt: Attempt) {
        if attempt.number == 1 { Pipeline.countFirst(self, attempt, firstToken: attempt.firstToken) }
        latch.open()
    }

    /// What the attempt that did not lead may cost.
    func keepLost(_ entry: LedgerEntry) { earlier.append(entry) }

    /// The last attempt's bill is kept beside what follows.
    func keep(_ entry: LedgerEntry) {
        earlier.append(entry)
        leading?.book()
    }

    /// True when a provider may have begun to work on it.
    var wasSent: Bool { leading?.outcome?.wasSent == true || !earlier.isEmpty }

    // MARK: - Pieces of an answer

    func delta(of attempt: Attempt, choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        guard isTaken(attempt) else {
            if attempt === leading { drained() }
            return
        }
        if !downstream.delta(choice: choice, kind: kind, bytes) { readerIsFull() }
        if let step = watch?.pass(bytes.byteCount), step != .goOn { Pipeline.extend(self, attempt, step) }
    }

    func event(of attempt: Attempt, _ event: StreamEvent) {
        guard isTaken(attempt) else { return }
        if !downstream.event(event) { readerIsFull() }
    }

    /// True when what this attempt says is handed on; the first piece of an answer decides which attempt that is.
    private func isTaken(_ attempt: Attempt) -> Bool {
        switch race.piece(attempt.number) {
        case .ignore: return false
        case .begins(let loser): begins(attempt, loser)
        case .deliver: break
        }
        return downstream.isOpen
    }

    /// The first piece is there: nothing is asked again, and nobody else.
    private func begins(_ attempt: Attempt, _ loser: Int?) {
        if attempt === beside {
            gateway.metrics.hedgeWon(alias)
            (leading, beside) = (attempt, leading)
        }
        attempt.begins()
        hedgeTimer?.cancel()
        if loser != nil { beside?.call?.cancel() }
        releaseBody()
        if attempt.isStream, downstream.isOpen { downstream.accepted(accepted(by: attempt)) }
    }

    private func accepted(by attempt: Attempt) -> Accepted {
        Accepted(
            provider: tariff.providerNumbers[attempt.target.provider] ?? 0, flags: isFallback ? .fallback : [],
            attempt: UInt8(clamping: race.begun), queueMilliseconds: UInt32(clamping: queueWait?.milliseconds ?? 0))
    }
}
