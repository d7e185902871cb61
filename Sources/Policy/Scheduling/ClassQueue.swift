// The waiting requests of one priority class: a line for each team, and the teams by what they were served.
import Core

/// One class of a `FairQueue`. Teams that wait stand in a heap by their counters; each operation costs O(log teams).
struct ClassQueue {
    struct Team {
        /// Numbers of waiting requests, in the order of arrival.
        var queue = Line()
        /// What it was served, in tokens divided by its weight.
        var served: Double = 0
        var weight = 1.0
        /// The order of its entry in the heap that counts; 0 while it does not wait.
        var mark: UInt64 = 0
    }

    private struct Rank {
        let served: Double
        let order: UInt64
        let team: String

        func precedes(_ other: Rank) -> Bool { (served, order) < (other.served, other.order) }
    }

    /// Part of the capacity that the class can count on, 0…1.
    let floor: Double
    var running = 0
    var waiting = 0
    /// When a request of it started last, or when it began to wait.
    var lastStart: Instant?
    /// Teams that wait.
    private(set) var activeTeams = 0
    private var teams: [String: Team] = [:]
    /// Entries whose order is not their team's mark are left over from before a change, and passed over.
    private var heap: [Rank] = []
    private var order: UInt64 = 0
    /// The counter of the team that was served last: nobody who returns begins far below it.
    private var level: Double = 0

    /// Teams that are remembered. Beyond, those that do not wait are forgotten and begin anew at the level.
    private static let teamLimit = 4_096

    init(floor: Double) { self.floor = floor }

    /// Waiting requests of a team.
    func waiting(of name: String) -> Int { teams[name]?.queue.count ?? 0 }

    /// The request that goes next.
    var first: UInt64? { heap.first.flatMap { teams[$0.team]?.queue.first } }

    mutating func append(_ number: UInt64, team name: String, weight: Int, burst: Int64) {
        if teams.count >= ClassQueue.teamLimit, teams[name] == nil { teams = teams.filter { $0.value.mark != 0 } }
        var team = teams[name] ?? Team()
        team.weight = Double(weight)
        if team.mark == 0 {
            // Lifted to the smallest counter of those who wait (or to the last one's, when nobody does): idle time earns no more
            // than the burst.
            let least = heap.first?.served ?? level
            team.served = max(team.served, least - Double(burst) / team.weight)
            activeTeams += 1
            push(&team, name)
        }
        team.queue.append(number)
        teams[name] = team
    }

    /// Takes the first request of the team that was served least; `cost` tells what it is charged.
    mutating func popFirst(cost: (UInt64) -> Int64) -> UInt64? {
        guard let top = heap.first, var team = teams[top.team], let number = team.queue.popFirst() else { return nil }
        waiting -= 1
        level = max(level, top.served)
        team.served += Double(cost(number)) / team.weight
        update(&team, top.team)
        teams[top.team] = team
        return number
    }

    /// Adds what a request cost more, or less, than was thought.
    mutating func correct(_ surplus: Int64, of name: String) {
        guard var team = teams[name] else { return }
        team.served += Double(surplus) / team.weight
        update(&team, name)
        teams[name] = team
    }

    /// A waiting request left: its team stops waiting with its last one.
    mutating func forget(_ number: UInt64, of name: String) {
        guard var team = teams[name] else { return }
        waiting -= 1
        team.queue.forget(number)
        if team.queue.count == 0 { update(&team, name) }
        teams[name] = team
    }

    // MARK: - Heap

    /// Gives a team that waits its place by its counter; takes one that waits no more out.
    private mutating func update(_ team: inout Team, _ name: String) {
        guard team.mark != 0 else { return }
        if team.queue.count > 0 {
            push(&team, name)
        } else {
            team.mark = 0
            activeTeams -= 1
        }
        dropLeftOver(replacing: team, of: name)
    }

    private mutating func push(_ team: inout Team, _ name: String) {
        order += 1
        team.mark = order
        heap.append(Rank(served: team.served, order: order, team: name))
        var place = heap.count - 1
        while place > 0, heap[place].precedes(heap[(place - 1) / 2]) {
            heap.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    /// The top of the heap always counts; elsewhere what is left over is thrown out when it is the larger part.
    private mutating func dropLeftOver(replacing changed: Team, of name: String) {
        func counts(_ rank: Rank) -> Bool { (rank.team == name ? changed.mark : teams[rank.team]?.mark) == rank.order }
        while let top = heap.first, !counts(top) { pop() }
        guard heap.count > 2 * activeTeams + 64 else { return }
        heap = heap.filter(counts)
        for place in stride(from: heap.count / 2, through: 0, by: -1) { sink(place) }
    }

    private mutating func pop() {
        heap.swapAt(0, heap.count - 1)
        heap.removeLast()
        sink(0)
    }

    private mutating func sink(_ start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count && heap[child].precedes(heap[least]) {
                least = child
            }
            guard least != place else { return }
            heap.swapAt(place, least)
            place = least
        }
    }
}

/// The waiting requests of one team in the order of their arrival. Who leaves is forgotten when its turn comes.
struct Line {
    private var numbers: [UInt64] = []
    private var head = 0
    private var gone: Set<UInt64> = []

    var count: Int { numbers.count - head - gone.count }

    var first: UInt64? { numbers[head...].first { !gone.contains($0) } }

    mutating func append(_ number: UInt64) { numbers.append(number) }

    mutating func forget(_ number: UInt64) {
        gone.insert(number)
        // Not kept for longer than they outnumber those who wait.
        guard gone.count > count + 16 || count == 0 else { return }
        numbers = numbers[head...].filter { !gone.contains($0) }
        gone.removeAll(keepingCapacity: true)
        head = 0
    }

    mutating func popFirst() -> UInt64? {
        while head < numbers.count {
            let number = numbers[head]
            head += 1
            if head == numbers.count {
                numbers.removeAll(keepingCapacity: true)
                head = 0
            } else if head >= 512 {
                numbers.removeFirst(head)
                head = 0
            }
            if gone.remove(number) == nil { return number }
        }
        return nil
    }
}
