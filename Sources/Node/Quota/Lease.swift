// A request's room on a block of quota that its lane holds.
import Core
import Policy

/// A request's room on a block.
struct Lease {
    let block: Leases.Block
    /// What it took of the block.
    var estimate: QuotaUse
    let tenant: Tenant
    /// Its request's id, when Redis remembers it for this block.
    var remembered: Identifier128?

    /// More for a running request; false when its block has no room.
    mutating func grow(to use: QuotaUse, at now: Instant) -> Bool {
        guard block.book.grow(by: use - estimate, at: now) else { return false }
        estimate = estimate.raised(to: use)
        return true
    }
}
