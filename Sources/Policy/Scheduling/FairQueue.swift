// Who goes next when a target's capacity binds: classes by guaranteed floors, teams by what they were served, then by arrival.
import Core

/// The queue before one target on one lane. Pure: instants and costs are arguments.
///
/// Within a class each team has a counter of what it was served, in tokens by weight (input + 2 × output; Sheng et al., "Fairness
/// in Serving Large Language Models", OSDI 2024): the estimate is added when a request starts and corrected when it ends, and the
/// team with the smallest counter goes next. A team that returns begins at the smallest counter of those who wait, less a small
/// burst: it can save up no more than that. So two teams that wait all the time are served alike, whatever each of them sends:
/// their difference stays below `bound(largestCost:)`.
///
/// While nothing waits and there is room, a request costs two additions.
public struct FairQueue<Item> {
    /// Who waits, and how much may.
    public let limits: QueueLimits
    /// Requests that may run at once.
    public var capacity: Int
    /// Requests that run.
    public private(set) var running = 0
    /// Requests that wait.
    public private(set) var waiting = 0
    private var waitingBytes = 0
    private var classes: [ClassQueue]
    private var ticketNumber: UInt64 = 0
    private var entries: [UInt64: Entry] = [:]
    private var rate = ServiceRate()

    /// A place in the queue.
    public struct Ticket: Hashable, Sendable {
        let number: UInt64
    }

    struct Entry {
        let item: Item
        let priority: PriorityClass
        let team: String
        let cost: Int64
        let bytes: Int
        let since: Instant
    }

    /// An empty queue before a target that serves `capacity` requests at once.
    public init(capacity: Int, limits: QueueLimits = QueueLimits()) {
        precondition(capacity > 0, "a target without capacity is not queued for")
        self.capacity = capacity
        self.limits = limits
        classes = limits.floors.percent.map { ClassQueue(floor: Double($0) / 100) }
    }

    /// The most by which what two teams were served may differ while both wait, in weighted tokens of a weight of one: each is at most the
    /// requests under way ahead of the other, and what a returning team may have saved up.
    public func bound(largestCost: Int64) -> Int64 { 2 * largestCost * Int64(capacity) + limits.burst }

    /// Waiting requests of a class.
    public func waiting(_ priority: PriorityClass) -> Int { classes[Int(priority.rawValue)].waiting }

    /// Waiting requests of all teams but one.
    public func waiting(besides team: String) -> Int {
        classes.reduce(waiting) { $0 - $1.waiting(of: team) }
    }

    /// Running requests of a class.
    public func running(_ priority: PriorityClass) -> Int { classes[Int(priority.rawValue)].running }

    /// A request wants to run. `waitLimit` is the longest that it may wait.
    public mutating func arrive(_ request: QueueRequest, _ item: Item, at now: Instant) -> QueueArrival<Ticket> {
        let place = Int(request.priority.rawValue)
        if waiting == 0, running < capacity {
            running += 1
            classes[place].running += 1
            return .runs
        }
        let ahead = classes[place].waiting(of: request.team)
        if waiting >= limits.total || waitingBytes + request.bytes > limits.bytes {
            return .refused(.full, retryAfter: predicted(place, ahead: ahead) ?? .seconds(1))
        }
        if ahead >= limits.team {
            return .refused(.teamFull, retryAfter: predicted(place, ahead: ahead) ?? .seconds(1))
        }
        let predicted = predicted(place, ahead: ahead)
        if let predicted, predicted > request.waitLimit {
            return .refused(.tooLate, retryAfter: max(.milliseconds(1), predicted - request.waitLimit))
        }
        ticketNumber += 1
        let ticket = Ticket(number: ticketNumber)
        entries[ticket.number] = Entry(
            item: item, priority: request.priority, team: request.team, cost: request.cost, bytes: request.bytes,
            since: now)
        if classes[place].waiting == 0 { classes[place].lastStart = now }
        classes[place].append(ticket.number, team: request.team, weight: request.weight, burst: limits.burst)
        classes[place].waiting += 1
        waiting += 1
        waitingBytes += request.bytes
        return .waits(ticket, position: ahead + 1, predicted: predicted)
    }

    /// The next request that may run now, with how long it waited; nil when there is no room or nobody waits. Ask again until then.
    public mutating func next(at now: Instant) -> (item: Item, waited: Duration)? {
        guard running < capacity, waiting > 0, let place = nextClass(at: now),
            let number = classes[place].popFirst(cost: { entries[$0]?.cost ?? 0 }),
            let entry = entries.removeValue(forKey: number)
        else { return nil }
        waiting -= 1
        waitingBytes -= entry.bytes
        classes[place].lastStart = now
        classes[place].running += 1
        running += 1
        return (entry.item, now - entry.since)
    }

    /// A waiting request goes away: cancelled, or its time is over. False when it was not waiting any more.
    @discardableResult public mutating func leave(_ ticket: Ticket) -> Bool {
        guard let entry = entries.removeValue(forKey: ticket.number) else { return false }
        let place = Int(entry.priority.rawValue)
        waiting -= 1
        waitingBytes -= entry.bytes
        classes[place].forget(ticket.number, of: entry.team)
        return true
    }

    /// A running request ended. `surplus` is what it really cost less its estimate, when it had waited; 0 otherwise.
    public mutating func finished(_ priority: PriorityClass, team: String, surplus: Int64, at now: Instant) {
        let place = Int(priority.rawValue)
        precondition(running > 0 && classes[place].running > 0, "what ends was running")
        running -= 1
        classes[place].running -= 1
        if surplus != 0 { classes[place].correct(surplus, of: team) }
        if waiting > 0 { rate.finished(at: now) } else { rate.rest() }
    }

    // MARK: - Order

    /// The class that is furthest below its floor among those that wait; the more important one when they are alike. But first a class from which
    /// nobody went for as long as its oldest request waits too long: with few slots a small floor is less than one.
    private mutating func nextClass(at now: Instant) -> Int? {
        var best: Int?
        var least = Double.infinity
        for place in classes.indices where classes[place].waiting > 0 {
            if isForgotten(place, at: now) { return place }
            let share = Double(classes[place].running) / classes[place].floor
            if share < least { (best, least) = (place, share) }
        }
        return best
    }

    private func isForgotten(_ place: Int, at now: Instant) -> Bool {
        guard now - (classes[place].lastStart ?? now) > limits.aging, let number = classes[place].first,
            let entry = entries[number]
        else { return false }
        return now - entry.since > limits.aging
    }

    /// How long a request with `ahead` others of its team before it will wait: the class has its floor of what the target serves, and the teams
    /// that wait share it. Nil while nothing is known.
    private func predicted(_ place: Int, ahead: Int) -> Duration? {
        guard let perSecond = rate.perSecond, perSecond > 0 else { return nil }
        var floors = 0.0
        for queue in classes where queue.waiting > 0 || queue.floor == classes[place].floor { floors += queue.floor }
        let share = perSecond * classes[place].floor / max(floors, classes[place].floor)
        let teams = max(1, classes[place].activeTeams)
        return .nanoseconds(Int64(min(3.6e12, Double(ahead + 1) * Double(teams) / share * 1e9)))
    }
}
