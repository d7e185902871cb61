// One provider's capacity shared by many nodes: weighted max-min, moved so that the sum never passes the capacity.

/// What a coordinator knows of one node and one provider.
public struct CapacityUser: Hashable, Sendable {
    /// The share that was published last; 0 for a node that is new.
    public let share: Int
    /// The most that it may believe to have: shares that it has not confirmed to have given up are in it.
    public let held: Int
    /// Calls that run at it, as it reported last.
    public let running: Int
    /// True when it has not been heard of lately: it keeps what its own clock lets it keep.
    public let isSilent: Bool

    /// A node's standing.
    public init(share: Int, held: Int = 0, running: Int, isSilent: Bool = false) {
        self.share = max(0, share)
        self.held = max(0, held)
        self.running = max(0, running)
        self.isSilent = isSilent
    }
}

/// The split of a provider's capacity. Pure; asked each second.
public enum CapacitySplit {
    /// A node without news keeps its share for so long, and then lets it fall by a tenth each second down to `silentShare`.
    public static let silence: Duration = .seconds(10)

    /// What a node may keep that hears nothing any more: half of an equal share, at least one call.
    public static func silentShare(of capacity: Int, nodes: Int) -> Int { max(1, capacity / max(1, nodes) / 2) }

    /// What a node keeps of its share when it has heard nothing for `seconds`.
    public static func kept(of share: Int, after seconds: Int, capacity: Int, nodes: Int) -> Int {
        let least = silentShare(of: capacity, nodes: nodes)
        var kept = share
        for _ in 0..<max(0, min(60, seconds - Int(silence.components.seconds))) where kept > least {
            kept = max(least, kept - max(1, kept / 10))
        }
        return kept
    }

    /// The shares that are published next.
    ///
    /// A node that uses its whole share wants all there is; another one a quarter more than it uses. Everybody has one call at least. A share
    /// shrinks at once; it grows only into what others have really given back, so that at no moment more calls may run than the
    /// capacity says, as far as reports are true: a share that shrank counts whole until its node confirms the smaller one, and calls
    /// that run above that count until they end. A report is older than the news that answers it, so what it says to run is not all
    /// that may run.
    public static func shares(of capacity: Int, among users: [UInt32: CapacityUser]) -> [UInt32: Int] {
        guard !users.isEmpty else { return [:] }
        let numbers = users.keys.sorted()
        var next: [UInt32: Int] = [:]
        var room = capacity
        var wants: [(number: UInt32, want: Int)] = []
        for number in numbers {
            guard let user = users[number] else { continue }
            guard !user.isSilent else {
                next[number] = silentShare(of: capacity, nodes: users.count)
                room -= max(next[number] ?? 0, user.held)
                continue
            }
            let isFull = user.running >= user.share
            wants.append((number, isFull ? capacity : user.running + max(1, user.running / 4)))
        }
        let wanted = fill(max(0, room), wants)
        // Who shrinks does it now; what it still may run, or runs, above its share is not free yet.
        var taken = capacity - room
        for (number, _) in wants {
            guard let user = users[number], let target = wanted[number] else { continue }
            let present = min(user.share, target)
            next[number] = present
            taken += max(present, user.running, user.held)
        }
        var free = capacity - taken
        var hungry = wants.map(\.number).filter { (next[$0] ?? 0) < (wanted[$0] ?? 0) }
        while free > 0, !hungry.isEmpty {
            let each = max(1, free / hungry.count)
            for number in hungry where free > 0 {
                guard let user = users[number], let have = next[number], let goal = wanted[number] else { continue }
                // What it runs or may run beyond its share is counted already.
                let more = min(goal - have, each)
                let fresh = max(0, have + more - max(have, user.running, user.held))
                let given = fresh > free ? more - (fresh - free) : more
                next[number] = have + given
                free -= min(free, fresh)
            }
            hungry = hungry.filter { (next[$0] ?? 0) < (wanted[$0] ?? 0) }
        }
        return next
    }

    /// Max-min: each gets what it wants as far as an equal part of the rest reaches; what nobody wants is spread over all.
    private static func fill(_ capacity: Int, _ wants: [(number: UInt32, want: Int)]) -> [UInt32: Int] {
        var given: [UInt32: Int] = [:]
        var room = capacity
        var left = wants.count
        for (number, want) in wants.sorted(by: { ($0.want, $0.number) < ($1.want, $1.number) }) {
            let amount = min(max(1, want), max(min(1, room), room / max(1, left)))
            given[number] = amount
            room -= amount
            left -= 1
        }
        guard room > 0, !wants.isEmpty else { return given }
        for (place, (number, _)) in wants.enumerated() {
            given[number, default: 0] += room / wants.count + (place < room % wants.count ? 1 : 0)
        }
        return given
    }
}
