// The limits of a connection, shared, with what is computed from them once.

/// The limits of a connection behind one reference, so that ten thousand connections share one copy, with what is derived from them.
final class SharedLimits: Sendable {
    let limits: WireLimits
    /// Nanoseconds that 1,024 inbound bytes cost.
    let inboundCost: Int64
    let inboundDepth: Int64
    let glitchCost: Int64
    let glitchDepth: Int64
    let streamCost: Int64

    private static let standard = SharedLimits(.standard)

    static func of(_ limits: WireLimits) -> SharedLimits {
        limits == .standard ? standard : SharedLimits(limits)
    }

    private init(_ limits: WireLimits) {
        let problems = limits.problems
        precondition(problems.isEmpty, "the limits of a connection hold together: \(problems)")
        self.limits = limits
        inboundCost = 1_000_000_000 * 1024 / Int64(max(1, limits.inboundBytesPerSecond))
        inboundDepth = inboundCost * Int64(limits.inboundBurstBytes) / 1024
        glitchCost = 1_000_000_000 / Int64(max(1, limits.glitchesPerSecond))
        glitchDepth = glitchCost * Int64(limits.glitches)
        streamCost = 1_000_000_000 / Int64(max(1, limits.streamsPerSecond))
    }
}
