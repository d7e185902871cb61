// Whose turn it is when more sockets are ready than a lane serves in one turn: one of each tenant after the other.
import Core

/// One tenant's part in a lane. Sockets that have none are served at once.
///
/// Confined to its lane.
public final class LaneShare {
    /// Tickets of its sockets that wait, each once: descriptors bound them.
    private var waiting = BoundedQueue<UInt64>(limit: .max)
    /// True while it stands in a `ReadyQueue`.
    fileprivate var isListed = false

    /// A part in which nothing waits.
    public init() {}

    fileprivate var isEmpty: Bool { waiting.isEmpty }

    fileprivate func append(_ ticket: UInt64) { waiting.append(ticket) }

    fileprivate func popFirst() -> UInt64? { waiting.popFirst() }
}

/// Sockets that are ready and wait, by the tenants that they belong to.
struct ReadyQueue {
    /// Tenants with sockets that wait, from `head` on.
    private var tenants: [LaneShare] = []
    private var head = 0

    /// True when nothing waits.
    var isEmpty: Bool { head == tenants.count }

    /// True when sockets of several tenants wait.
    var isShared: Bool { tenants.count - head > 1 }

    /// A socket waits, once, until `popFirst` gives its ticket.
    mutating func append(_ ticket: UInt64, of share: LaneShare) {
        share.append(ticket)
        guard !share.isListed else { return }
        share.isListed = true
        tenants.append(share)
    }

    /// The socket that is next: the oldest one of the tenant whose turn it is.
    mutating func popFirst() -> UInt64? {
        while head < tenants.count {
            let share = tenants[head]
            head += 1
            if head >= 64, head * 2 > tenants.count {
                tenants.removeFirst(head)
                head = 0
            }
            let ticket = share.popFirst()
            if share.isEmpty { share.isListed = false } else { tenants.append(share) }
            if let ticket { return ticket }
        }
        tenants.removeAll(keepingCapacity: true)
        head = 0
        return nil
    }
}
