// The queue's promises over many seeds: shares, floors, bounds, and what each request is told.
import Core
import Foundation
import Policy
import Testing

@Suite struct FairQueueTests {
    /// `SLUICE_FAIRNESS_SEEDS=5000` proves more and prints the figures.
    private static let seeds =
        ProcessInfo.processInfo.environment["SLUICE_FAIRNESS_SEEDS"].flatMap { UInt64($0) } ?? 12

    private func percentile(_ waits: [Duration], _ part: Double) -> Double {
        let sorted = waits.sorted()
        guard !sorted.isEmpty else { return 0 }
        return Double(sorted[Int(Double(sorted.count - 1) * part)].nanoseconds) / 1e6
    }

    private func report(_ name: String, _ value: Double, _ bound: Double) {
        if ProcessInfo.processInfo.environment["SLUICE_FAIRNESS_SEEDS"] != nil {
            print("figure \(name) \(String(format: "%.3f", value)) \(bound)")
        }
        #expect(value <= bound, "\(name)")
    }

    @Test func `two teams that wait are served alike, whatever each of them sends`() {
        var worst = 0.0
        for seed in 0..<Self.seeds {
            var chance = Chance(seed: seed)
            let capacity = 1 + Int(chance.below(16))
            let teams = (0..<(2 + Int(chance.below(6)))).map { _ in
                let largest = 200 + Int64(chance.below(4_000))
                return SimulatedTeam(
                    rate: (0.2 + 3 * chance.unit()) * Double(capacity), cost: (largest / 20)...largest,
                    perToken: .microseconds(Int64(100 + chance.below(800))), error: chance.unit() * 0.8)
            }
            var simulation = QueueSimulation(teams, capacity: capacity, seconds: 60, seed: seed)
            let result = simulation.run()
            #expect(!result.wasIdle, "seed \(seed): a slot was free while somebody waited")
            worst = max(worst, result.worstGap / Double(result.bound))
        }
        report("gap_of_bound", worst, 1)
    }

    @Test func `shares follow weights`() {
        let teams = [1, 2, 4].map { SimulatedTeam(weight: $0, rate: 200) }
        var simulation = QueueSimulation(teams, capacity: 8, seconds: 120, seed: 7)
        let served = simulation.run().served.map(Double.init)
        #expect(abs(served[1] / served[0] - 2) < 0.1 && abs(served[2] / served[0] - 4) < 0.2, "\(served)")
    }

    @Test func `a team with ten times the demand does not make another wait longer`() {
        // The waits of all seeds together: the 99th percentile of one of them is fifteen requests, and moves by a third by chance.
        func waits(_ demand: Double) -> [Duration] {
            (0..<max(3, Self.seeds / 20)).flatMap { seed in
                // 8 slots serve about 25 requests a second; the quiet team wants five, the loud one 25 or 250.
                let teams = [SimulatedTeam(rate: 5), SimulatedTeam(rate: 25 * demand)]
                var simulation = QueueSimulation(teams, capacity: 8, seconds: 300, seed: seed)
                return simulation.run().waits[0]
            }
        }
        report("wait_beside_10x_demand", percentile(waits(10), 0.99) / percentile(waits(1), 0.99), 1.2)
    }

    @Test func `interactive requests pass a queue full of batches`() {
        var worst = 0.0
        for seed in 0..<max(3, Self.seeds / 20) {
            let teams = [
                SimulatedTeam(rate: 20), SimulatedTeam(priority: .batch, rate: 500),
                SimulatedTeam(priority: .batch, rate: 500),
            ]
            var simulation = QueueSimulation(teams, capacity: 64, seconds: 60, seed: seed)
            worst = max(worst, percentile(simulation.run().waits[0], 0.99))
        }
        report("p0_wait_p99_ms_beside_p2", worst, 50)
    }

    @Test func `classes hold their floors when all of them wait`() {
        for (seed, floors) in [(1, [60.0, 30, 10]), (2, [60, 30, 10])] as [(UInt64, [Double])] {
            let teams = PriorityClass.allCases.map { SimulatedTeam(priority: $0, rate: 400) }
            var simulation = QueueSimulation(teams, capacity: 40, seconds: 60, seed: seed)
            let occupied = simulation.run().occupied
            let whole = occupied.reduce(0, +)
            for place in floors.indices {
                #expect(abs(occupied[place] / whole * 100 - floors[place]) < 4, "class \(place): \(occupied)")
            }
        }
    }

    @Test func `nobody starves, even with one slot`() {
        let teams = PriorityClass.allCases.map { SimulatedTeam(priority: $0, rate: 20) }
        var simulation = QueueSimulation(teams, capacity: 1, seconds: 600, seed: 3)
        let result = simulation.run()
        #expect(result.waits.allSatisfy { $0.count > 50 }, "\(result.waits.map(\.count))")
    }

    // MARK: - What a request is told

    private let now = Instant(nanoseconds: 1_000_000_000)

    private func ask(
        _ team: String, _ priority: PriorityClass = .interactive, cost: Int64 = 100, bytes: Int = 0,
        limit: Duration = .seconds(10)
    ) -> QueueRequest {
        QueueRequest(priority: priority, team: team, cost: cost, bytes: bytes, waitLimit: limit)
    }

    @Test func `with room and nobody waiting a request runs at once`() {
        var queue = FairQueue<Int>(capacity: 2)
        guard case .runs = queue.arrive(ask("a"), 1, at: now), case .runs = queue.arrive(ask("b"), 2, at: now),
            case .waits(_, 1, nil) = queue.arrive(ask("a"), 3, at: now),
            case .waits(_, 2, nil) = queue.arrive(ask("a"), 4, at: now)
        else {
            Issue.record("not as expected")
            return
        }
        #expect(queue.running == 2)
        queue.finished(.interactive, team: "b", surplus: 0, at: now)
        let next = queue.next(at: now + .milliseconds(5))
        #expect(next?.item == 3 && next?.waited == .milliseconds(5))
        #expect(queue.waiting == 1 && queue.running == 2)
    }

    @Test func `full queues refuse, and say why`() {
        var limits = QueueLimits()
        limits.total = 3
        limits.team = 2
        limits.bytes = 1_000
        var queue = FairQueue<Int>(capacity: 1, limits: limits)
        _ = queue.arrive(ask("a"), 0, at: now)
        for item in 1...2 { _ = queue.arrive(ask("a"), item, at: now) }
        guard case .refused(.teamFull, let retry) = queue.arrive(ask("a"), 3, at: now) else {
            Issue.record("the team's line is full")
            return
        }
        #expect(retry > .zero)
        guard case .refused(.full, _) = queue.arrive(ask("b", bytes: 1_001), 4, at: now) else {
            Issue.record("too many bytes")
            return
        }
        _ = queue.arrive(ask("b"), 5, at: now)
        guard case .refused(.full, _) = queue.arrive(ask("c"), 6, at: now) else {
            Issue.record("too many requests")
            return
        }
        #expect(queue.waiting == 3)
    }

    @Test func `a request whose turn would come too late is refused at once, with the time to come again`() {
        var queue = FairQueue<Int>(capacity: 1)
        var clock = now
        _ = queue.arrive(ask("a"), 0, at: clock)
        for item in 1...40 { _ = queue.arrive(ask("a"), item, at: clock) }
        // One ends each 100 ms.
        for _ in 0..<20 {
            clock = clock + .milliseconds(100)
            queue.finished(.interactive, team: "a", surplus: 0, at: clock)
            _ = queue.next(at: clock)
        }
        guard case .refused(.tooLate, let retry) = queue.arrive(ask("a", limit: .milliseconds(500)), 99, at: clock)
        else {
            Issue.record("twenty are before it")
            return
        }
        #expect(retry > .milliseconds(1_200) && retry < .milliseconds(2_000), "\(retry)")
        guard case .waits(_, let position, let predicted?) = queue.arrive(ask("b"), 100, at: clock) else {
            Issue.record("another team's turn comes soon")
            return
        }
        #expect(position == 1 && predicted < .milliseconds(500))
    }

    @Test func `who leaves gives its place back, wherever it stands`() {
        var queue = FairQueue<Int>(capacity: 1)
        _ = queue.arrive(ask("a"), 0, at: now)
        var tickets: [FairQueue<Int>.Ticket] = []
        for item in 1...100 {
            guard case .waits(let ticket, _, _) = queue.arrive(ask(item % 2 == 0 ? "a" : "b"), item, at: now) else {
                return
            }
            tickets.append(ticket)
        }
        for place in stride(from: 0, to: 100, by: 1) where place % 10 != 9 {
            let hasLeft = queue.leave(tickets[place])
            #expect(hasLeft)
        }
        let leavesTwice = queue.leave(tickets[0])
        #expect(!leavesTwice)
        #expect(queue.waiting == 10)
        var served: [Int] = []
        while queue.waiting > 0 {
            queue.finished(.interactive, team: "a", surplus: 0, at: now)
            if let next = queue.next(at: now) { served.append(next.item) }
        }
        #expect(served == [10, 20, 30, 40, 50, 60, 70, 80, 90, 100])
    }

    @Test func `idle time earns a small burst and no more`() {
        var limits = QueueLimits()
        limits.burst = 250
        var queue = FairQueue<String>(capacity: 1, limits: limits)
        _ = queue.arrive(ask("busy"), "first", at: now)
        for _ in 0..<50 { _ = queue.arrive(ask("busy"), "busy", at: now) }
        func serve(_ count: Int) -> [String] {
            (0..<count).compactMap { _ in
                queue.finished(.interactive, team: "x", surplus: 0, at: now)
                return queue.next(at: now)?.item
            }
        }
        _ = serve(20)
        for _ in 0..<20 { _ = queue.arrive(ask("late"), "late", at: now) }
        let order = serve(14)
        // 250 tokens ahead: three of its requests at once, then turn by turn.
        #expect(order.prefix(3).allSatisfy { $0 == "late" })
        #expect(order.filter { $0 == "late" }.count <= 9, "\(order)")
    }

    // MARK: - Concurrency

    @Test func `the limit falls when first tokens come late, and rises when they come as usual`() {
        var limit = ConcurrencyLimit(4...100)
        func observe(_ milliseconds: Int64, _ times: Int) {
            for _ in 0..<times { limit.observe(timeToFirstToken: .milliseconds(milliseconds), running: limit.value) }
        }
        observe(100, 500)
        #expect(limit.value == 100)
        observe(1_000, 60)
        let low = limit.value
        #expect(low < 70, "\(low)")
        observe(100, 1_500)
        #expect(limit.value > low + 20)
    }

    @Test func `a 429 lowers the limit at once, once a second, and never below its floor`() {
        var limit = ConcurrencyLimit(10...100)
        for _ in 0..<5 { limit.throttled(at: now) }
        #expect(limit.value == 80)
        for second in 1...40 { limit.throttled(at: now + .seconds(second * 2)) }
        #expect(limit.value == 10)
        var fixed = ConcurrencyLimit(50...50)
        fixed.throttled(at: now)
        fixed.observe(timeToFirstToken: .seconds(9), running: 50)
        #expect(fixed.value == 50)
    }

    @Test func `a quiet target teaches nothing about its limit`() {
        var limit = ConcurrencyLimit(1...100)
        for _ in 0..<300 { limit.observe(timeToFirstToken: .milliseconds(10), running: 2) }
        for _ in 0..<100 { limit.observe(timeToFirstToken: .milliseconds(900), running: 2) }
        #expect(limit.value == 100)
    }
}
