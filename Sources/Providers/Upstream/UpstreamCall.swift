// One request to a provider, from the lease of a connection to its end; exactly one outcome.
import Core
import HTTP
import Net
import Policy
import Wire

/// How a call ended.
public struct UpstreamOutcome: Sendable {
    /// Why there is no whole answer; nil for success.
    public var failure: ProviderFailure?
    /// The answer's end, as far as it came.
    public var end = AnswerEnd()
    /// The provider's name for the request.
    public var requestID: String?
    /// True once bytes of the request were handed to a connection: the provider may bill from here.
    public var wasSent = false
    /// True when the client saw a part of the answer.
    public var hasContent = false
}

/// A call under way. Confined to its lane; keeps itself alive until its end.
public final class UpstreamCall {
    private let target: UpstreamTarget
    private let sink: any AnswerSink
    private var onEnd: ((UpstreamOutcome) -> Void)?
    private var decoder: OpenAIAnswerDecoder
    private let isStream: Bool
    private let firstEventTimeout: Duration
    private var request = ByteBuffer()
    private var channel: Channel<HTTPClientConnection>?
    private var wait: ConnectionPool<HTTPClientConnection>.Wait?
    private var timer: LaneTimer?
    private var phaseEnds = Instant.distantFuture
    private var status = 0
    /// The length of the answer's body where its head told it.
    private var wholeLength: Int?
    private var errorBody: [UInt8] = []
    private var retryAfter: Duration?
    private var isRetryUseless = false
    private var outcome = UpstreamOutcome()
    private var isDecoding = false
    private var isPaused = false
    private var isCancelled = false
    private var isReused = false
    private var hasRepeated = false

    /// Where servers write their name for a request; the second and third are Azure's, the fourth is OpenRouter's.
    private static let requestIDs: [StaticString] = [
        "x-request-id", "apim-request-id", "x-ms-request-id", "x-generation-id",
    ]
    /// How much of an error response is read.
    static let errorBodyLimit = 64 * 1024

    /// A call that `start` sends. `onEnd` is called exactly once, on the lane.
    public init(
        _ target: UpstreamTarget, isStream: Bool, firstEventTimeout: Duration?, sink: any AnswerSink,
        onEnd: @escaping (UpstreamOutcome) -> Void
    ) {
        self.target = target
        self.isStream = isStream
        self.firstEventTimeout = min(target.record.firstEventTimeout, firstEventTimeout ?? .seconds(600))
        self.sink = sink
        self.onEnd = onEnd
        decoder = OpenAIAnswerDecoder(isStream: isStream)
    }

    /// Sends the request whose JSON waits in `json`, which is left empty.
    public func start(_ json: inout ByteBuffer) {
        swap(&request, &json)
        target.inFlight += 1
        lease()
    }

    private func lease() {
        if let idle = target.pool.leaseIdle() {
            isReused = true
            return send(on: idle)
        }
        isReused = false
        wait = target.pool.lease { [self] result in
            wait = nil
            switch result {
            case .success(let channel): send(on: channel)
            case .failure(.full): fail(ProviderFailure(.overloaded))
            case .failure: fail(ProviderFailure(.connect))
            }
        }
    }

    private func send(on channel: Channel<HTTPClientConnection>) {
        guard onEnd != nil, !isCancelled else { return target.pool.giveBack(channel) }
        self.channel = channel
        channel.onEvent = { [self] channel, event in received(event, channel) }
        channel.onClose = { [self] _, reason in closed(reason) }
        channel.machine.send(
            room: target.chatHead.count + request.count,
            head: { $0.append(target.chatHead) },
            body: { output in request.withBytes(of: request.slice) { output.append($0) } })
        channel.wake()
        outcome.wasSent = true
        // A whole answer comes when it is done: only the request's own deadline bounds it.
        if isStream { arm(target.lane.now + firstEventTimeout) }
    }

    // MARK: - What the owner asks for

    /// Leaves the provider's socket unread, so that it slows down.
    public func pause() {
        guard !isPaused else { return }
        isPaused = true
        channel?.pauseReading()
    }

    /// Reads on.
    public func resume() {
        guard isPaused else { return }
        isPaused = false
        if isStream { arm(target.lane.now + target.record.idleTimeout) }
        channel?.resumeReading()
    }

    /// Closes the provider's connection at once; the outcome is `cancelled`.
    public func cancel() {
        guard onEnd != nil, !isCancelled else { return }
        isCancelled = true
        // While the decoder is at work it must not be touched; the end follows when it returns.
        if !isDecoding { fail(ProviderFailure(.cancelled)) }
    }

    // MARK: - What the provider sends

    private func received(_ event: HTTPClientConnection.Event, _ channel: Channel<HTTPClientConnection>) {
        switch event {
        case .head(let head): took(head, channel)
        case .body(let slice):
            if status == 200 {
                decode(slice, channel)
            } else if errorBody.count < UpstreamCall.errorBodyLimit {
                let room = UpstreamCall.errorBodyLimit - errorBody.count
                errorBody += channel.transport.input.array(of: slice).prefix(room)
            }
        case .end(let reusable): ended(reusable)
        case .failed(.truncated) where status == 0 && isReused || status == 200 && decoder.isWhole:
            self.channel = nil
            target.pool.discard(channel)
            closed(.peer)
        case .failed(let failure):
            var result = ProviderFailure(.protocolError, status: status)
            if failure == .truncated, status == 200 { result = ProviderFailure(.streamInterrupted, status: 200) }
            if failure == .truncated, status == 0 { result = ProviderFailure(.serverError) }
            fail(result)
        }
    }

    private func took(_ head: HTTPResponseHead, _ channel: Channel<HTTPClientConnection>) {
        status = head.status
        wholeLength = head.contentLength
        request.removeAll()
        request.releaseIfEmpty()
        let clock = target.lane.wallClockMicroseconds
        channel.withBytes(of: head.slice) { bytes in
            for name in UpstreamCall.requestIDs where outcome.requestID == nil {
                outcome.requestID = head.value(of: name, in: bytes).map { $0.cut(to: 128) }
            }
            guard status != 200 else { return }
            retryAfter = RetryAfter.parse(
                milliseconds: head.value(of: "retry-after-ms", in: bytes),
                seconds: head.value(of: "retry-after", in: bytes), wallClockMicroseconds: clock)
            if let word = head.range(of: "x-should-retry", in: bytes) {
                isRetryUseless = bytes.matchesIgnoringCase("false", in: word)
            }
        }
        guard status == 200 else { return arm(target.lane.now + .seconds(5)) }
        let isWanted = channel.withBytes(of: head.slice) {
            head.isMediaType(isStream ? "text/event-stream" : "application/json", in: $0)
        }
        if !isWanted || head.isEncoded {
            fail(ProviderFailure(.protocolError, status: 200))
        }
    }

    private func decode(_ slice: ByteSlice, _ channel: Channel<HTTPClientConnection>) {
        let before = decoder.progress
        isDecoding = true
        channel.withBytes(of: slice) {
            if !isStream, slice.count == wholeLength {
                decoder.decodeWhole($0, to: sink)
            } else {
                decoder.decode($0, to: sink)
            }
        }
        isDecoding = false
        if isCancelled { return fail(ProviderFailure(.cancelled)) }
        if let failure = decoder.failure { return fail(failure) }
        guard isStream else { return }
        // Comments and empty chunks are no progress: only what a reader can see is.
        if decoder.isComplete || decoder.isWhole {
            arm(target.lane.now + .seconds(1))
        } else if decoder.progress > before {
            arm(target.lane.now + target.record.idleTimeout)
        }
    }

    private func ended(_ reusable: Bool) {
        guard let channel else { return }
        self.channel = nil
        if isPaused { channel.resumeReading() }
        if reusable { target.pool.giveBack(channel) } else { target.pool.discard(channel) }
        guard status == 200 else {
            return fail(errorResponse)
        }
        complete()
    }

    /// What the response said whose status was not 200, as far as it came.
    private var errorResponse: ProviderFailure {
        var failure = OpenAIErrorReader.classify(status: status, body: errorBody)
        failure.retryAfter = retryAfter
        failure.isRetryUseless = isRetryUseless
        return failure
    }

    /// The body is over, or nothing that matters is missing: the decoder judges the answer.
    private func complete() {
        isDecoding = true
        decoder.finish(to: sink)
        isDecoding = false
        if isCancelled { return fail(ProviderFailure(.cancelled)) }
        if let failure = decoder.failure { fail(failure) } else { finish() }
    }

    private func closed(_ reason: CloseReason) {
        channel = nil
        // An idle connection that its server had closed already: nothing was processed, and the request may go out once more.
        if status == 0, isReused, !hasRepeated, onEnd != nil {
            hasRepeated = true
            return lease()
        }
        if status == 200, isStream, decoder.isWhole { return complete() }
        guard status == 200 else { return fail(ProviderFailure(.serverError, status: status)) }
        fail(ProviderFailure(.streamInterrupted, status: 200))
    }

    // MARK: - Time

    private func arm(_ deadline: Instant) {
        phaseEnds = deadline
        if let timer, timer.isPending { return }
        timer = target.lane.schedule(at: deadline) { [self] in timerFired() }
    }

    private func timerFired() {
        guard onEnd != nil else { return }
        if target.lane.now < phaseEnds || isPaused {
            timer = nil
            return arm(isPaused ? target.lane.now + target.record.idleTimeout : phaseEnds)
        }
        if status != 0, status != 200 {
            return fail(errorResponse)
        }
        if decoder.isComplete || decoder.isWhole { return complete() }
        var failure = ProviderFailure(decoder.hasContent ? .streamInterrupted : .timeout, status: status)
        if decoder.hasContent { failure.cause = .timeout }
        failure.isStalled = true
        fail(failure)
    }

    // MARK: - The end

    private func fail(_ failure: ProviderFailure) {
        guard onEnd != nil else { return }
        outcome.failure = failure
        finish()
    }

    private func finish() {
        guard let onEnd else { return }
        self.onEnd = nil
        timer?.cancel()
        wait?.cancel()
        if let channel { target.pool.discard(channel) }
        channel = nil
        target.inFlight -= 1
        outcome.end = decoder.end
        outcome.hasContent = decoder.hasContent
        onEnd(outcome)
    }
}
