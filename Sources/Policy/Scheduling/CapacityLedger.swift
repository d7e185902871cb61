// What was published of one provider's capacity, and what nodes may still believe to have of it.

/// The shares of one provider. Pure; a coordinator keeps one for each provider whose capacity is split.
public struct CapacityLedger: Hashable, Sendable {
    /// The shares that are published, or will be next.
    public private(set) var shares: [UInt32: Int]
    /// The most that each node may believe to have: the largest share since the one that it confirmed.
    public private(set) var held: [UInt32: Int]

    /// A ledger that begins with what was published before; nobody has given anything of it back.
    public init(_ shares: [UInt32: Int] = [:]) {
        self.shares = shares
        held = shares
    }

    /// These shares are published next; who is not among them has given everything back.
    public mutating func take(_ next: [UInt32: Int]) {
        shares = next
        held = next.reduce(into: [:]) { $0[$1.key] = max($1.value, held[$1.key] ?? 0) }
    }

    /// The node has the present shares on all its lanes.
    public mutating func confirmed(by node: UInt32) {
        if let share = shares[node] { held[node] = share }
    }
}
