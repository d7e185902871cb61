// The Lua scripts, embedded in the binary: loaded on each connection, then called by their digest.

/// A script that reads or changes shared state in one step.
public enum RedisScript: Int, CaseIterable, Sendable {
    /// Checks and writes all limits of a request.
    case reserve
    /// Ends a reservation.
    case settle
    /// Replaces or removes a field of a hash that nobody changed in between.
    case replace
    /// Tells how all limits of a request stand, and writes nothing.
    case peek
    /// Asks for the lease of the leading coordinator.
    case lead
    /// Writes what coordinators keep, if the term is the caller's.
    case keep
    /// Reads or changes the circuit breaker of a target.
    case breaker

    /// Its text: the `#!lua` line, what the quota scripts share, its own body.
    public var source: [UInt8] { Self.sources[rawValue] }

    private static let sources: [[UInt8]] = allCases.map { script in
        switch script {
        case .reserve: assemble(PackageResources.reserve_lua)
        case .settle: assemble(PackageResources.settle_lua)
        case .replace: PackageResources.replace_lua
        case .peek: assemble(PackageResources.peek_lua)
        case .lead: PackageResources.lead_lua
        case .keep: PackageResources.keep_lua
        case .breaker: PackageResources.breaker_lua
        }
    }

    /// `#!lua` must be the first line, so the shared part goes behind it.
    private static func assemble(_ body: [UInt8]) -> [UInt8] {
        let line = body.firstIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? body.endIndex
        return body[..<line] + PackageResources.quota_lua + body[line...]
    }
}
