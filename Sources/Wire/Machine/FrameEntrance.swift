// What both sides do with a frame before they look into it: wait for all of it, charge it, count what is odd.

import Core

/// The entrance of a connection: one frame at a time, within time and within the budgets against abuse.
struct FrameEntrance {
    /// When a frame that is incomplete must be whole; distant while none is.
    private(set) var partialDue = Instant.distantFuture
    /// When the last whole frame came.
    var lastReceived: Instant
    private var inbound = RateBudget()
    private var oddities = RateBudget()
    private var lastPing = Instant(nanoseconds: .min / 2)
    private var pingStrikes = 0

    init(at now: Instant) { lastReceived = now }

    /// The header of the first frame of `input`; nil while it is incomplete.
    @inline(__always)
    mutating func header(
        of input: borrowing ByteBuffer, at now: Instant, _ shared: SharedLimits
    ) -> FrameHeader? {
        if input.count >= FrameHeader.size { return FrameHeader(input) }
        wait(forMoreThan: input.count, at: now, shared)
        return nil
    }

    /// Takes a frame whose header was found good, and charges it: bytes, and at least what its bookkeeping costs. False while it is incomplete.
    ///
    /// A server answers many small frames at once, so that a client charges a `part` of the cost: four times the budget that it is given.
    @inline(__always)
    mutating func take(
        _ size: Int, of waiting: Int, costShift part: Int64 = 0, at now: Instant, _ shared: SharedLimits
    ) throws(WireFault) -> Bool {
        guard waiting >= size else {
            wait(forMoreThan: waiting, at: now, shared)
            return false
        }
        partialDue = .distantFuture
        lastReceived = now
        let cost = Int64(max(size, shared.limits.frameCharge)) &* shared.inboundCost >> (10 + part)
        guard inbound.take(cost, depth: shared.inboundDepth, at: now) else { throw WireFault(.inboundRate) }
        return true
    }

    /// Remembers since when a frame is incomplete.
    private mutating func wait(forMoreThan waiting: Int, at now: Instant, _ shared: SharedLimits) {
        if waiting == 0 {
            partialDue = .distantFuture
        } else if partialDue == .distantFuture {
            partialDue = now + shared.limits.partialFrameTime
        }
    }

    /// A frame that is allowed and has no sense: some of them are harmless.
    mutating func oddity(at now: Instant, _ shared: SharedLimits) throws(WireFault) {
        guard oddities.take(shared.glitchCost, depth: shared.glitchDepth, at: now) else { throw WireFault(.glitches) }
    }

    /// A PING, of which some may come too soon.
    mutating func ping(at now: Instant, _ shared: SharedLimits) throws(WireFault) {
        if now - lastPing < shared.limits.pingInterval {
            pingStrikes += 1
            guard pingStrikes <= shared.limits.pingStrikes else { throw WireFault(.pings) }
        }
        lastPing = now
    }
}
