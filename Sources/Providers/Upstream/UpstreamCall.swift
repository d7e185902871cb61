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

/// How long a stream may be silent. What nobody asks for is as long as any request.
public struct UpstreamTimes: Sendable {
    /// From the request to the first event.
    public var firstEvent: Duration
    /// Between two events.
    public var idle: Duration

    /// Two times; what is left out does not count.
    public init(firstEvent: Duration = .seconds(600), idle: Duration = .seconds(600)) {
        self.firstEvent = firstEvent
        self.idle = idle
    }
}

/// A call under way. Confined to its lane; keeps itself alive until its end.
public final class UpstreamCall {
    private let target: UpstreamTarget
    private let sink: any AnswerSink
    private let share: LaneShare?
    private var onEnd: ((consuming UpstreamOutcome) -> Void)?
    private var decoder: AnswerDecoder
    private let terms: RequestTerms
    private var isStream: Bool { terms.isStream }
    /// How the answer's body is read.
    private var form: AnswerForm
    private var bounds = AnswerBounds()
    private let times: UpstreamTimes
    private var request = ByteBuffer()
    private var channel: Channel<HTTPClientConnection>?
    private var wait: ConnectionPool<HTTPClientConnection>.Wait?
    private var timer: LaneTimer?
    private var phaseEnds = Instant.distantFuture
    private var timerEnds = Instant.distantFuture
    private var status = 0
    /// The length of the answer's body where its head told it.
    private var wholeLength: Int?
    /// Bytes of an answer's body so far.
    private var bodyCount = 0
    /// True when more than blanks came of a whole answer.
    private var hasBegun = false
    private var errorBody: [UInt8] = []
    private var retryAfter: Duration?
    private var shouldRetry: Bool?
    /// The host that a redirect names.
    private var location: String?
    private var outcome = UpstreamOutcome()
    private var isDecoding = false
    private var isPaused = false
    private var isCancelled = false
    private var isReused = false
    private var hasRepeated = false
    private var grace = AnswerGrace()
    /// True while a large answer is read and handed out, a part a turn.
    private var isInParts = false
    private var hasPartDue = false
    /// When the answer last went on.
    private var progressAt = Instant.distantFuture

    /// How much of an error response is read.
    static let errorBodyLimit = 64 * 1024
    /// How long the rest of an error response is waited for.
    static let errorBodyTime = Duration.seconds(5)
    /// So many idle times are keep-alives believed without a word of the answer.
    static let keepAliveTimes = 6

    /// A call that `start` sends. `onEnd` is called exactly once, on the lane. `share`: whose turn its connection's work takes.
    public init(
        _ target: UpstreamTarget, _ terms: RequestTerms, times: UpstreamTimes = UpstreamTimes(),
        share: LaneShare? = nil,
        sink: any AnswerSink, onEnd: @escaping (consuming UpstreamOutcome) -> Void
    ) {
        self.target = target
        self.share = share
        self.terms = terms
        self.times = UpstreamTimes(
            firstEvent: min(target.record.firstEventTimeout, times.firstEvent),
            idle: min(target.record.idleTimeout, times.idle))
        self.sink = sink
        self.onEnd = onEnd
        form = terms.isStream ? .events : .whole
        decoder = AnswerDecoder(target.dialect.reader(), isStream: terms.isStream)
    }

    /// Sends the request, whose JSON is taken out of it.
    public func start(_ rendered: inout RenderedRequest) {
        swap(&request, &rendered.json)
        bounds = rendered.bounds
        decoder.answer.end.bounds = bounds
        target.inFlight += 1
        lease()
    }

    private func lease() {
        if !hasRepeated, let idle = target.pool.leaseIdle() {
            isReused = true
            return send(on: idle)
        }
        isReused = false
        wait = target.pool.lease(fresh: hasRepeated) { [self] result in
            wait = nil
            switch result {
            case .success(let channel): send(on: channel)
            case .failure(.full): fail(.overloaded, "all connections are in use, and the queue for them is full")
            case .failure(.closed): fail(.connect, "the provider's settings changed")
            case .failure(.connect(let reason)): fail(.connect, reason.description)
            }
        }
    }

    private func send(on channel: Channel<HTTPClientConnection>) {
        guard onEnd != nil, !isCancelled else { return target.pool.giveBack(channel) }
        self.channel = channel
        channel.transport.requestStart = isReused ? channel.transport.bytesSent : nil
        let share = share ?? target.lane.commonShare
        if channel.transport.share !== share { channel.transport.share = share }
        channel.onEvent = { [self] channel, event in received(event, channel) }
        channel.onClose = { [self] channel, reason in closed(channel, reason) }
        let (dialect, clock) = (target.dialect, target.lane.wallClockMicroseconds)
        channel.machine.send(
            room: dialect.headBytes + request.count,
            head: { head in
                request.withBytes(of: request.slice) {
                    dialect.writeHead(terms, body: $0, wallClockMicroseconds: clock, into: &head)
                }
            },
            body: { output in request.withBytes(of: request.slice) { output.append($0) } })
        channel.wake()
        outcome.wasSent = true
        // A whole answer comes when it is done: only the request's own deadline bounds it.
        if isStream { arm(target.lane.now + times.firstEvent) }
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
        if isInParts { return awaitPart() }
        if isStream {
            progressAt = target.lane.now
            arm(grace.isRunning ? grace.ends : target.lane.now + times.idle)
        }
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
            if isAnswer {
                decode(slice, channel)
            } else if errorBody.count < UpstreamCall.errorBodyLimit {
                let room = UpstreamCall.errorBodyLimit - errorBody.count
                errorBody += channel.transport.input.array(of: slice).prefix(room)
            }
        case .end(let reusable): ended(reusable)
        case .failed(.truncated):
            target.pool.discard(channel)
            closed(channel, .peer)
        case .failed(let failure): fail(.protocolError, failure.description)
        }
    }

    private func took(_ head: HTTPResponseHead, _ channel: Channel<HTTPClientConnection>) {
        status = head.status
        wholeLength = head.contentLength
        request.removeAll()
        request.releaseIfEmpty()
        let clock = target.lane.wallClockMicroseconds
        channel.withBytes(of: head.slice) { bytes in
            outcome.requestID = target.dialect.requestID(head, in: bytes).map { $0.cut(to: 128) }
            guard !isAnswer else { return }
            if (300..<400).contains(status), let place = head.value(of: "location", in: bytes) {
                location = UpstreamCall.host(of: place)
            }
            switch head.value(of: "x-should-retry", in: bytes) {
            case "true": shouldRetry = true
            case "false": shouldRetry = false
            default: break
            }
            retryAfter = RetryAfter.parse(
                milliseconds: head.value(of: "retry-after-ms", in: bytes),
                seconds: head.value(of: "retry-after", in: bytes), wallClockMicroseconds: clock)
        }
        guard isAnswer else { return arm(target.lane.now + UpstreamCall.errorBodyTime) }
        if head.isEncoded { return fail(.protocolError, "the answer is in a content coding, which nobody asked for") }
        let found = channel.withBytes(of: head.slice) { AnswerForm(head, $0, isStream: isStream) }
        guard let found else {
            return fail(
                .protocolError, "the answer is not \(isStream ? "text/event-stream" : "application/json")")
        }
        use(found)
    }

    /// A server may answer a request for a stream with the whole answer, or with an error, as JSON.
    private func use(_ found: AnswerForm) {
        form = found
        let isStream = found != .whole
        guard decoder.isStream != isStream else { return }
        decoder = AnswerDecoder(target.dialect.reader(), isStream: isStream, bounds: bounds)
    }

    /// True when the status promises an answer: any success with a body.
    private var isAnswer: Bool { (200..<300).contains(status) && status != 204 }

    private func decode(_ slice: ByteSlice, _ channel: Channel<HTTPClientConnection>) {
        bodyCount += slice.count
        if form != .events, !hasBegun {
            let first = channel.withBytes(of: slice) { UpstreamCall.firstByte(of: $0) }
            // Blank lines before a body keep the connection alive, no more.
            guard let first else { return }
            hasBegun = true
            if form == .unknown { use(first == UInt8(ascii: "{") || first == UInt8(ascii: "[") ? .whole : .events) }
        }
        let before = decoder.progress
        isDecoding = true
        channel.withBytes(of: slice) {
            if form == .whole, slice.count == wholeLength {
                decoder.decodeWhole($0, to: sink)
            } else {
                decoder.decode($0, to: sink)
            }
        }
        isDecoding = false
        if isCancelled { return fail(ProviderFailure(.cancelled)) }
        if let failure = decoder.failure { return fail(failure) }
        // Nothing of a stream that matters comes behind its end mark.
        if decoder.isComplete { return complete() }
        // A whole answer comes when it is done, however long that takes; once its first byte is there the rest follows.
        guard form == .events else { return arm(target.lane.now + times.idle) }
        whileStreaming(hasProgress: decoder.progress > before)
    }

    /// The first byte of a piece that is no blank, nor part of a byte order mark; nil for none.
    private static func firstByte(of bytes: RawSpan) -> UInt8? {
        for place in 0..<bytes.byteCount {
            let byte = bytes.byte(at: place)
            if byte > 0x20, ![0xEF, 0xBB, 0xBF].contains(byte) { return byte }
        }
        return nil
    }

    private func whileStreaming(hasProgress: Bool) {
        let now = target.lane.now
        // Usage is not waited for where none was asked for.
        let hasUsage = !target.dialect.tellsUsage || decoder.end.usage != nil
        grace.note(
            isSettled: decoder.answer.isSettled, at: decoder.answer.handedOutAtFinish, hasUsage: hasUsage, now: now)
        if grace.isRunning { return arm(grace.ends) }
        if hasProgress {
            progressAt = now
            arm(now + times.idle)
        } else if progressAt != .distantFuture {
            // Comments and empty chunks are a sign of life, but not for ever.
            arm(min(now + times.idle, progressAt + times.idle * UpstreamCall.keepAliveTimes))
        }
    }

    private func ended(_ reusable: Bool) {
        guard let channel else { return }
        self.channel = nil
        if isPaused { channel.resumeReading() }
        if reusable { target.pool.giveBack(channel) } else { target.pool.discard(channel) }
        if isAnswer { complete() } else { refused() }
    }

    /// The provider answered with an error; its body is there as far as it came.
    private func refused() {
        var failure = target.dialect.failure(status: status, body: errorBody)
        failure.retryAfter = retryAfter
        failure.shouldRetry = shouldRetry
        failure.location = location
        fail(failure)
    }

    /// The host and port of an address, at most 255 bytes: paths and queries may hold a key or a prompt.
    static func host(of address: String) -> String? {
        let scheme = address.prefix { !":/?#".contains($0) }
        var rest = address.dropFirst(scheme.count)
        // A scheme may be missing, a path has no host.
        if !scheme.isEmpty, rest.popFirst() != ":" { return nil }
        guard rest.hasPrefix("//") else { return nil }
        var host = rest.dropFirst(2).prefix { !"/?#\\".contains($0) }
        if let at = host.lastIndex(of: "@") { host = host[host.index(after: at)...] }
        return host.isEmpty ? nil : String(host).cut(to: 255)
    }

    /// The body is over, or nothing that matters is missing: the decoder judges the answer.
    private func complete() {
        isDecoding = true
        let isOver = decoder.finish(to: sink)
        isDecoding = false
        if isCancelled { return fail(ProviderFailure(.cancelled)) }
        if let failure = decoder.failure { return fail(failure) }
        if isOver { finish() } else { awaitPart() }
    }

    /// More of a large answer is read or handed out in a turn to come. The body is here: no silence of the provider's counts any more.
    private func awaitPart() {
        timer?.cancel()
        timer = nil
        isInParts = true
        guard !isPaused, !hasPartDue else { return }
        hasPartDue = true
        target.lane.inTurnOfItsOwn { [self] in
            hasPartDue = false
            if onEnd != nil, !isPaused { complete() }
        }
    }

    private func closed(_ channel: Channel<HTTPClientConnection>, _ reason: CloseReason) {
        self.channel = nil
        guard onEnd != nil else { return }
        switch status {
        case 0:
            // An idle connection that its server had closed already: it read nothing, and the request may go out once more.
            let isStale = isReused && !channel.machine.hasAnswer && channel.transport.provesSilence
            if isStale, !hasRepeated {
                hasRepeated = true
                return lease()
            }
            fail(.serverError, "closed before an answer: \(reason)")
        case _ where isAnswer:
            if form == .events, decoder.answer.isWhole { return complete() }
            var failure = ProviderFailure(decoder.hasContent ? .streamInterrupted : .serverError, status: status)
            failure.detail = "\(shortBody): \(reason)"
            fail(failure)
        default: refused()
        }
    }

    /// What came of a body that ends too early.
    private var shortBody: String {
        guard let wholeLength else { return "closed within the answer" }
        return "short body, \(bodyCount) of \(wholeLength) bytes"
    }

    // MARK: - Time

    /// A timer that fires too early looks again when it does; only one that would fire too late is replaced.
    private func arm(_ deadline: Instant) {
        phaseEnds = deadline
        if let timer, timer.isPending, timerEnds <= deadline { return }
        timer?.cancel()
        timerEnds = deadline
        timer = target.lane.schedule(at: deadline) { [self] in timerFired() }
    }

    private func timerFired() {
        guard onEnd != nil else { return }
        if target.lane.now < phaseEnds || isPaused {
            timer = nil
            return arm(isPaused ? target.lane.now + times.idle : phaseEnds)
        }
        if status != 0, !isAnswer { return refused() }
        if decoder.answer.isWhole { return complete() }
        var failure = ProviderFailure(decoder.hasContent ? .streamInterrupted : .timeout, status: status)
        if decoder.hasContent { failure.cause = .timeout }
        failure.isStalled = true
        if bodyCount > 0, form == .whole { failure.detail = "\(shortBody): silent" }
        fail(failure)
    }

    // MARK: - The end

    private func fail(_ kind: FailureClass, _ detail: String) {
        var failure = ProviderFailure(decoder.hasContent ? .streamInterrupted : kind, status: status)
        if decoder.hasContent { failure.cause = kind }
        failure.detail = detail
        fail(failure)
    }

    private func fail(_ failure: ProviderFailure) {
        guard onEnd != nil else { return }
        outcome.failure = failure
        finish()
    }

    private func ended() -> UpstreamOutcome {
        var ended = UpstreamOutcome()
        swap(&ended, &outcome)
        decoder.giveUp()
        ended.end = decoder.end
        ended.hasContent = decoder.hasContent
        return ended
    }

    private func finish() {
        guard let onEnd else { return }
        self.onEnd = nil
        timer?.cancel()
        wait?.cancel()
        if let channel {
            if outcome.failure == nil, decoder.isComplete {
                BodyTail.follow(channel, of: target)
            } else {
                target.pool.discard(channel)
            }
        }
        channel = nil
        target.inFlight -= 1
        onEnd(ended())
    }
}
