// A target with its queue in virtual time: teams send, slots serve, everything from a seed.
import Core
import Glibc
import Policy

/// One team of a simulation.
struct SimulatedTeam {
    var priority = PriorityClass.interactive
    var weight = 1
    /// Requests a second.
    var rate: Double
    /// Tokens of a request, evenly between the two.
    var cost: ClosedRange<Int64> = 100...2_000
    /// Time to serve a token.
    var perToken = Duration.microseconds(300)
    /// The estimate is off by up to this part.
    var error = 0.5
}

/// What became of it.
struct SimulationResult {
    /// Waits of the requests that were served, in order, a list a team.
    var waits: [[Duration]]
    /// Cost that was served, a sum a team.
    var served: [Int64]
    /// The largest difference of service between two teams of one class and weight while both waited, per weight.
    var worstGap: Double = 0
    /// The bound that it must keep.
    var bound: Int64 = 0
    /// True when a slot was free while somebody waited.
    var wasIdle = false
    /// Slots in use by class, summed over the time in which all classes waited.
    var occupied: [Double] = [0, 0, 0]
}

/// A discrete-event simulation of one `FairQueue`.
struct QueueSimulation {
    private enum Happening { case arrival(Int), end(Int, Int64, Int64, Bool) }
    private struct Event {
        let at: Int64
        let order: Int
        let what: Happening
    }
    private struct Sent {
        let team: Int
        let estimate: Int64
        let real: Int64
    }

    private var chance: Chance
    private let teams: [SimulatedTeam]
    private var queue: FairQueue<Sent>
    private var events: [Event] = []
    private var order = 0
    private var result: SimulationResult
    private var now: Int64 = 0
    private let end: Int64
    /// For each pair the extremes of the difference since both began to wait.
    private var extremes: [Int: (low: Double, high: Double)] = [:]
    private var waitingCounts: [Int]

    init(_ teams: [SimulatedTeam], capacity: Int, seconds: Int, seed: UInt64) {
        chance = Chance(seed: seed)
        self.teams = teams
        var limits = QueueLimits()
        limits.total = 1_000_000
        limits.team = 1_000_000
        limits.bytes = .max
        queue = FairQueue(capacity: capacity, limits: limits)
        end = Int64(seconds) * 1_000_000_000
        result = SimulationResult(waits: teams.map { _ in [] }, served: teams.map { _ in 0 })
        result.bound = queue.bound(largestCost: (teams.map(\.cost.upperBound).max() ?? 0) * 2)
        waitingCounts = teams.map { _ in 0 }
    }

    /// Runs it to its end.
    mutating func run() -> SimulationResult {
        for team in teams.indices { push(gap(team), .arrival(team)) }
        while let event = pop(), event.at < end {
            account(until: event.at)
            now = event.at
            switch event.what {
            case .arrival(let team): arrive(team)
            case .end(let team, let estimate, let real, let hasWaited):
                queue.finished(
                    teams[team].priority, team: "t\(team)", surplus: hasWaited ? real - estimate : 0, at: instant)
                result.served[team] += real
            }
            while let next = queue.next(at: instant) {
                waitingCounts[next.item.team] -= 1
                start(next.item, waited: next.waited, hasWaited: true)
            }
            if queue.waiting > 0, queue.running < queue.capacity { result.wasIdle = true }
            compare()
        }
        return result
    }

    private var instant: Instant { Instant(nanoseconds: now) }

    private mutating func arrive(_ team: Int) {
        push(now + gap(team), .arrival(team))
        let from = teams[team]
        let real = from.cost.lowerBound + Int64(chance.below(UInt64(from.cost.upperBound - from.cost.lowerBound + 1)))
        let off = 1 + from.error * (2 * chance.unit() - 1)
        let sent = Sent(team: team, estimate: max(1, Int64(Double(real) * off)), real: real)
        let request = QueueRequest(
            priority: from.priority, team: "t\(team)", weight: from.weight, cost: sent.estimate,
            waitLimit: .seconds(100_000))
        switch queue.arrive(request, sent, at: instant) {
        case .runs: start(sent, waited: .zero, hasWaited: false)
        case .waits: waitingCounts[team] += 1
        case .refused: preconditionFailure("nothing is refused here")
        }
    }

    private mutating func start(_ sent: Sent, waited: Duration, hasWaited: Bool) {
        result.waits[sent.team].append(waited)
        let time = Int64(Double(teams[sent.team].perToken.nanoseconds) * Double(sent.real))
        push(now + time, .end(sent.team, sent.estimate, sent.real, hasWaited))
    }

    private mutating func gap(_ team: Int) -> Int64 {
        Int64(-log(1 - chance.unit()) / teams[team].rate * 1e9)
    }

    /// Follows the difference of every pair of equals that wait both.
    private mutating func compare() {
        for left in teams.indices {
            for right in teams.indices where right > left {
                let key = left * teams.count + right
                guard waitingCounts[left] > 0, waitingCounts[right] > 0, teams[left].weight == teams[right].weight,
                    teams[left].priority == teams[right].priority
                else {
                    extremes[key] = nil
                    continue
                }
                let gap = Double(result.served[left] - result.served[right]) / Double(teams[left].weight)
                var known = extremes[key] ?? (gap, gap)
                known = (min(known.low, gap), max(known.high, gap))
                extremes[key] = known
                result.worstGap = max(result.worstGap, known.high - known.low)
            }
        }
    }

    private mutating func account(until next: Int64) {
        guard PriorityClass.allCases.allSatisfy({ queue.waiting($0) > 0 }) else { return }
        for priority in PriorityClass.allCases {
            result.occupied[Int(priority.rawValue)] += Double(queue.running(priority)) * Double(next - now)
        }
    }

    // MARK: - Events in the order of time

    private mutating func push(_ at: Int64, _ what: Happening) {
        order += 1
        events.append(Event(at: at, order: order, what: what))
        var place = events.count - 1
        while place > 0, precedes(place, (place - 1) / 2) {
            events.swapAt(place, (place - 1) / 2)
            place = (place - 1) / 2
        }
    }

    private mutating func pop() -> Event? {
        guard let first = events.first else { return nil }
        events.swapAt(0, events.count - 1)
        events.removeLast()
        var place = 0
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < events.count && precedes(child, least) {
                least = child
            }
            guard least != place else { return first }
            events.swapAt(place, least)
            place = least
        }
    }

    private func precedes(_ left: Int, _ right: Int) -> Bool {
        (events[left].at, events[left].order) < (events[right].at, events[right].order)
    }
}
