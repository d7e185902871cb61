// How hot a tenant is on a lane, and what its requests are like: integers only, a few operations a request.
import Core

/// Requests of the last quarters of a second, and the size of a usual one.
public struct LeaseDemand: Sendable {
    private var slot: Int64 = 0
    private var count: Int64 = 0
    private var before: Int64 = 0
    /// 256 times the means, each a sixteenth of the way to the latest.
    private var means: (input: Int64, output: Int64, money: Int64)?

    /// Nothing asked yet.
    public init() {}

    /// A request that is expected to use `use`.
    public mutating func note(_ use: QuotaUse, at now: Instant) {
        roll(to: now)
        count += 1
        let old = means ?? (use.inputTokens << 8, use.outputTokens << 8, use.microUSD << 8)
        means = (
            old.input + ((use.inputTokens << 8) - old.input) / 16,
            old.output + ((use.outputTokens << 8) - old.output) / 16,
            old.money + ((use.microUSD << 8) - old.money) / 16
        )
    }

    /// Requests a second, as of the last whole quarter and this one.
    public mutating func perSecond(at now: Instant) -> Int64 {
        roll(to: now)
        return max(before, count) * 4
    }

    /// A usual request, rounded up.
    public var usual: QuotaUse {
        guard let means else { return .none }
        return QuotaUse(
            inputTokens: (means.input + 255) >> 8, outputTokens: (means.output + 255) >> 8,
            microUSD: (means.money + 255) >> 8)
    }

    private mutating func roll(to now: Instant) {
        let present = now.nanoseconds / 250_000_000
        guard present != slot else { return }
        before = present == slot + 1 ? count : 0
        count = 0
        slot = present
    }
}
