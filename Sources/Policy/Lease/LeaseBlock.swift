// A block of quota while it is spent: what is left of it, who runs on it, and what the next part settles.
import Core

/// A granted block. What was granted is at each moment in exactly one of four places: left, with running requests, in a part that is
/// gathered or waits, or in a part that was handed out. Pure.
public struct LeaseBlock: Sendable {
    /// How it was reserved.
    public let call: ReserveCall
    /// Nothing is spent from it after this.
    public let expires: Instant
    /// What may still be spent.
    public private(set) var left: QuotaUse
    /// Requests that may still begin.
    public private(set) var requestsLeft: Int64
    /// Requests that run on it.
    public private(set) var running: Int64 = 0
    /// True when nothing is spent from it any more.
    public private(set) var isClosed = false
    /// Parts that are full, the oldest first.
    private var waiting: [PartCall] = []
    private var gathered = Gathered()
    private var nextNumber: Int64 = 1
    private var isEnded = false

    private struct Gathered {
        var requests: Int64 = 0
        var covers = QuotaUse.none
        var use = QuotaUse.none
        var uses: [BlockUse] = []

        var isEmpty: Bool { requests == 0 && covers == .none && uses.isEmpty }
    }

    /// A block as it was granted.
    public init(_ call: ReserveCall, expires: Instant) {
        precondition(call.isBlock, "only blocks are spent in parts")
        self.call = call
        self.expires = expires
        left = call.estimate
        requestsLeft = call.requests
    }

    /// A block that another process left: nothing of it is spent any more, `parts` are settled, then the rest is given back.
    public init(recovered call: ReserveCall, parts: [PartCall]) {
        self.init(call, expires: Instant(nanoseconds: 0))
        waiting = parts
        // Parts without requests left no trace: the last one has a number behind any of them.
        nextNumber = Int64(UInt32.max)
        isClosed = true
        (left, requestsLeft) = (.none, 0)
    }

    /// Takes what a request will probably use; false when it does not fit, or the time is over.
    public mutating func spend(_ use: QuotaUse, at now: Instant) -> Bool {
        guard !isClosed, now < expires, requestsLeft > 0, use.fits(in: left) else { return false }
        left = left - use
        requestsLeft -= 1
        running += 1
        return true
    }

    /// Takes more for a request that runs on it; false when it does not fit, or the time is over.
    public mutating func grow(by more: QuotaUse, at now: Instant) -> Bool {
        guard !isClosed, now < expires, more.fits(in: left) else { return false }
        left = left - more
        return true
    }

    /// True when half of something is spent: time to ask for the next.
    public var isHalfSpent: Bool {
        func isHalf(_ left: Int64, _ whole: Int64) -> Bool { left < whole - whole / 2 }
        let whole = call.estimate
        return isHalf(requestsLeft, call.requests) || isHalf(left.inputTokens, whole.inputTokens)
            || isHalf(left.outputTokens, whole.outputTokens) || isHalf(left.microUSD, whole.microUSD)
    }

    /// True when so little is left that the next may take its place.
    public var isNearlySpent: Bool {
        let whole = call.estimate
        return requestsLeft <= call.requests / 16 || left.inputTokens < whole.inputTokens / 16
            || left.outputTokens < whole.outputTokens / 16 || left.microUSD < whole.microUSD / 16
    }

    /// A request that had `estimate` never went out: as if it had not begun.
    public mutating func giveBack(_ estimate: QuotaUse) {
        running -= 1
        release(estimate, requests: 1)
    }

    /// A request that had `estimate` has ended; returns the number of the part that settles it, and what that ends of the block.
    public mutating func end(_ estimate: QuotaUse, _ use: BlockUse) -> (part: Int64, covers: QuotaUse) {
        running -= 1
        let sum = gathered.use
        let isFull =
            gathered.uses.count == PartCall.maximumUses
            || sum.inputTokens + use.use.inputTokens > LeaseTerms.mostTokens
            || sum.outputTokens + use.use.outputTokens > LeaseTerms.mostTokens
            || sum.microUSD + use.use.microUSD > Limit.maximumMicroUSDPerCall
        if isFull, !gathered.uses.isEmpty { seal(isLast: false) }
        // What it did not use can be spent by others; what it used beyond becomes a debt of the limits.
        let covers = isClosed ? estimate : estimate.lowered(to: use.use)
        if !isClosed { left = left + (estimate - covers) }
        gathered.covers = gathered.covers + covers
        gathered.requests += 1
        gathered.use = sum + use.use
        gathered.uses.append(use)
        return (nextNumber, covers)
    }

    private mutating func release(_ use: QuotaUse, requests: Int64) {
        if isClosed {
            gathered.covers = gathered.covers + use
            gathered.requests += requests
        } else {
            left = left + use
            requestsLeft += requests
        }
    }

    /// Nothing is spent any more; what is left goes back with the next part.
    public mutating func close() {
        guard !isClosed else { return }
        isClosed = true
        release(left, requests: requestsLeft)
        left = .none
        requestsLeft = 0
    }

    /// Requests that wait to be settled.
    public var waitingUses: Int { waiting.reduce(gathered.uses.count) { $0 + $1.uses.count } }

    /// True when a part is full.
    public var hasFullPart: Bool { !waiting.isEmpty || gathered.uses.count == PartCall.maximumUses }

    /// The next part, whatever it holds; the last one when nobody runs on it any more. Nil when there is nothing to settle.
    public mutating func takePart() -> PartCall? {
        guard !isEnded else { return nil }
        if waiting.isEmpty {
            let isLast = isClosed && running == 0
            guard isLast || !gathered.isEmpty else { return nil }
            seal(isLast: isLast)
        }
        let part = waiting.removeFirst()
        isEnded = part.isLast
        return part
    }

    /// True when its last part was handed out.
    public var isOver: Bool { isEnded }

    private mutating func seal(isLast: Bool) {
        waiting.append(
            PartCall(
                of: call, number: nextNumber, requests: gathered.requests, covers: gathered.covers, isLast: isLast,
                uses: gathered.uses))
        nextNumber += 1
        gathered = Gathered()
    }
}
