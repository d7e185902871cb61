// Where an answer waits for the task that reads it: filled on the client's lane, emptied on any thread.
import Core
import Net
import Wire

/// One stream's pieces between the lane and its reader. The cluster sends at most a window ahead of the reader, so that a slow one
/// holds at most 64 KiB of deltas here; what is no delta is bounded here.
final class AnswerMailbox: AnswerHandler, Sendable {
    /// What the reader finds.
    enum Found {
        case pieces([EventAssembler.Piece])
        case outcome(Result<End, ClientFailure>)
    }

    private struct State: Sendable {
        var pieces: [EventAssembler.Piece] = []
        /// Bytes of deltas in `pieces`.
        var deltaBytes = 0
        /// Bytes of everything else in `pieces`.
        var otherBytes = 0
        /// Bytes that the reader took and that were not given back as credit.
        var owed = 0
        var outcome: Result<End, ClientFailure>?
        var waiter: CheckedContinuation<Void, Never>?
        var isAbandoned = false
    }

    /// The request, touched on the lane only.
    private final class OnLane: @unchecked Sendable { var request: PendingRequest? }

    /// Events that are not deltas do not wait for credit: a reader that lets more than this pile up has lost its answer.
    static let mostOtherBytes = 1 << 20
    /// Credit goes back in pieces of this size: an eighth of the window, so that a hop to the lane is worth it.
    private static let creditPiece = 8 * 1024
    /// Deltas of one kind are joined up to this size while nobody reads them.
    private static let joinedBytes = 4 * 1024

    private let lane: Lane
    private let state = Guarded(State())
    private let onLane = OnLane()

    init(lane: Lane) { self.lane = lane }

    // MARK: - On the lane

    /// Sends the request, unless its reader went away meanwhile.
    func start(_ client: LaneClient, _ head: RequestHead, _ body: [UInt8]) {
        guard state.withLock({ !$0.isAbandoned }) else { return }
        onLane.request = client.send(head, body: body, credit: .manual, handler: self)
    }

    func accepted(_ accepted: Accepted) { add(.accepted(accepted), otherBytes: 64) }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            guard state.outcome == nil else { return nil }
            state.deltaBytes += bytes.byteCount
            if case .delta(choice, kind, var joined)? = state.pieces.last, joined.count < Self.joinedBytes {
                // Taken out first, so that the bytes are not copied for the sake of the array that still holds them.
                state.pieces.removeLast()
                joined += bytes.array(0..<bytes.byteCount)
                state.pieces.append(.delta(choice: choice, kind: kind, bytes: joined))
            } else {
                state.pieces.append(.delta(choice: choice, kind: kind, bytes: bytes.array(0..<bytes.byteCount)))
            }
            return state.waiter.take()
        }
        waiter?.resume()
    }

    func received(_ event: StreamEvent) {
        let bytes =
            switch event {
            case .citation(_, let json), .logProbabilities(_, let json), .other(_, _, let json): json.count + 64
            case .toolCallStart, .toolCallResume, .choiceEnd, .restart, .usage: 600
            }
        add(.event(event), otherBytes: bytes)
    }

    private func add(_ piece: EventAssembler.Piece, otherBytes: Int) {
        let (waiter, isTooMuch) = state.withLock { state -> (CheckedContinuation<Void, Never>?, Bool) in
            guard state.outcome == nil else { return (nil, false) }
            state.otherBytes += otherBytes
            guard state.otherBytes <= Self.mostOtherBytes else {
                let text = "more than \(Self.mostOtherBytes >> 20) MiB of events wait for their reader"
                state.outcome = .failure(.refused(StreamError(code: .slowConsumer, text: text)))
                return (state.waiter.take(), true)
            }
            state.pieces.append(piece)
            return (state.waiter.take(), false)
        }
        if isTooMuch { onLane.request?.cancel() }
        waiter?.resume()
    }

    func finished(_ result: Result<End, ClientFailure>) {
        onLane.request = nil
        let waiter = state.withLock { state -> CheckedContinuation<Void, Never>? in
            if state.outcome == nil { state.outcome = result }
            return state.waiter.take()
        }
        waiter?.resume()
    }

    // MARK: - The reader

    /// What came since the last look, all of it; waits while there is nothing. A cancelled task gets `cancelled` at once.
    func next() async -> Found {
        await arrival()
        return state.withLock { state in
            guard !state.pieces.isEmpty else { return .outcome(state.outcome ?? .failure(.cancelled)) }
            let pieces = state.pieces
            state.pieces = []
            state.owed += state.deltaBytes
            state.deltaBytes = 0
            state.otherBytes = 0
            return .pieces(pieces)
        }
    }

    /// Returns when something waits, or the outcome is known.
    func arrival() async {
        await withTaskCancellationHandler {
            await withCheckedContinuation { continuation in
                let mustWait = state.withLock { state -> Bool in
                    guard state.pieces.isEmpty, state.outcome == nil else { return false }
                    precondition(state.waiter == nil, "one task reads an answer at a time")
                    state.waiter = continuation
                    return true
                }
                if !mustWait { continuation.resume() }
            }
        } onCancel: {
            abandon()
        }
    }

    /// The reader is done with what `next` gave it: the cluster may send as much again.
    func readerIsDone() {
        let credit = state.withLock { state -> Int in
            guard state.owed >= Self.creditPiece, state.outcome == nil else { return 0 }
            defer { state.owed = 0 }
            return state.owed
        }
        if credit > 0 { lane.execute { [onLane] in onLane.request?.consumed(credit) } }
    }

    /// The failure that is already known while nothing of the answer came.
    func earlyFailure() -> ClientFailure? {
        state.withLock { state in
            guard state.pieces.isEmpty, case .failure(let failure)? = state.outcome else { return nil }
            return failure
        }
    }

    /// Nobody wants the answer any more: what waits is dropped, and CANCEL goes out.
    func abandon() {
        let (waiter, isNews) = state.withLock { state -> (CheckedContinuation<Void, Never>?, Bool) in
            guard !state.isAbandoned else { return (nil, false) }
            state.isAbandoned = true
            let isNews = state.outcome == nil
            if isNews {
                state.outcome = .failure(.cancelled)
                state.pieces = []
            }
            return (state.waiter.take(), isNews)
        }
        if isNews { cancel() }
        waiter?.resume()
    }

    /// Says that the answer is not wanted; its outcome still comes.
    func cancel() { lane.execute { [onLane] in onLane.request?.cancel() } }
}
