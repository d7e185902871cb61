// Shares of a provider's capacity: by demand, never above it in sum, whatever nodes do meanwhile.
import Core
import Testing

@testable import Policy

@Suite struct CapacitySplitTests {
    /// Nodes that run what they may, with calls that take their time to end.
    private struct Fleet {
        var share: [UInt32: Int] = [:]
        var running: [UInt32: Int] = [:]
        var demand: [UInt32: Int] = [:]

        mutating func step(_ capacity: Int, _ chance: inout Chance) {
            let users = demand.mapValues { _ in 0 }.keys.reduce(into: [UInt32: CapacityUser]()) {
                $0[$1] = CapacityUser(share: share[$1] ?? 0, running: running[$1] ?? 0)
            }
            let next = CapacitySplit.shares(of: capacity, among: users)
            // Shares arrive in any order: those that shrink and those that grow.
            for (node, value) in next.shuffled(by: &chance) {
                share[node] = value
                begin(node)
                #expect(running.values.reduce(0, +) <= capacity)
            }
            for node in demand.keys {
                let ends = Int(chance.next() % UInt64((running[node] ?? 0) / 2 + 1))
                running[node, default: 0] -= ends
                begin(node)
            }
        }

        mutating func begin(_ node: UInt32) {
            let wanted = min(demand[node] ?? 0, share[node] ?? 0)
            running[node] = max(running[node] ?? 0, wanted)
        }
    }

    /// Nodes whose reports are old when they are read, and who learn of their shares late, each in its own time.
    private struct LateFleet {
        struct Member {
            var share = 0
            var running = 0
            var demand = 0
            /// Publications on their way to it, and which was the last to arrive.
            var coming: [(number: Int, share: Int)] = []
            var has = 0
        }

        var members: [UInt32: Member] = [:]
        var ledger = CapacityLedger()
        private var published = 0

        mutating func step(_ capacity: Int, _ chance: inout Chance) {
            let reports = members.mapValues { ($0.running, $0.has) }
            // What happens between the reports and the news that answers them: demand jumps, calls begin and end.
            for node in members.keys.sorted() {
                if chance.next() % 4 == 0 { members[node]?.demand = Int(chance.next() % 200) }
                run(node, &chance)
            }
            var users: [UInt32: CapacityUser] = [:]
            for (node, (running, has)) in reports {
                if has == published { ledger.confirmed(by: node) }
                users[node] = CapacityUser(
                    share: ledger.shares[node] ?? 0, held: ledger.held[node] ?? 0, running: running)
            }
            ledger.take(CapacitySplit.shares(of: capacity, among: users))
            published += 1
            for node in members.keys {
                members[node]?.coming.append((published, ledger.shares[node] ?? 0))
            }
            for node in members.keys.sorted() where chance.next() % 3 != 0 {
                guard let last = members[node]?.coming.last else { continue }
                members[node]?.share = last.share
                members[node]?.has = last.number
                members[node]?.coming = []
                run(node, &chance)
                #expect(members.values.reduce(0) { $0 + $1.running } <= capacity)
            }
        }

        private mutating func run(_ node: UInt32, _ chance: inout Chance) {
            guard var member = members[node] else { return }
            member.running -= Int(chance.next() % UInt64(member.running / 2 + 1))
            member.running = max(member.running, min(member.demand, member.share))
            members[node] = member
        }
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5])
    func `reports that are old and news that comes late do not pass the capacity either`(seed: UInt64) {
        var chance = Chance(seed: seed)
        for _ in 0..<40 {
            let capacity = 8 + Int(chance.next() % 300)
            var fleet = LateFleet()
            for node in 1...UInt32(2 + chance.next() % 6) { fleet.members[node] = .init() }
            for _ in 0..<120 { fleet.step(capacity, &chance) }
        }
    }

    @Test func `a share that shrinks is given to others when its node has confirmed, not before`() {
        var ledger = CapacityLedger([1: 10, 2: 2])
        func split() -> [UInt32: Int] {
            CapacitySplit.shares(
                of: 12,
                among: [
                    1: CapacityUser(share: ledger.shares[1] ?? 0, held: ledger.held[1] ?? 0, running: 2),
                    2: CapacityUser(share: ledger.shares[2] ?? 0, held: ledger.held[2] ?? 0, running: 2),
                ])
        }
        ledger.take(split())
        #expect(ledger.shares == [1: 3, 2: 2] && ledger.held == [1: 10, 2: 2])
        #expect(split() == [1: 3, 2: 2])
        ledger.confirmed(by: 1)
        #expect(split() == [1: 3, 2: 9])
    }

    @Test func `what a node that fell silent still keeps is nobody else's`() {
        #expect(CapacitySplit.kept(of: 90, after: 10, capacity: 100, nodes: 2) == 90)
        #expect(CapacitySplit.kept(of: 90, after: 12, capacity: 100, nodes: 2) == 73)
        #expect(CapacitySplit.kept(of: 90, after: 600, capacity: 100, nodes: 2) == 25)
        #expect(CapacitySplit.kept(of: 7, after: 600, capacity: 100, nodes: 2) == 7)
        let shares = CapacitySplit.shares(
            of: 100,
            among: [
                1: CapacityUser(share: 90, held: 73, running: 90, isSilent: true),
                2: CapacityUser(share: 10, held: 10, running: 10),
            ])
        #expect(shares == [1: 25, 2: 27])
    }

    @Test(arguments: [UInt64(1), 2, 3, 4, 5])
    func `the sum of what runs never passes the capacity`(seed: UInt64) {
        var chance = Chance(seed: seed)
        for _ in 0..<60 {
            let capacity = 8 + Int(chance.next() % 300)
            var fleet = Fleet()
            for node in 1...UInt32(2 + chance.next() % 6) { fleet.demand[node] = Int(chance.next() % 400) }
            for step in 0..<80 {
                fleet.step(capacity, &chance)
                #expect(fleet.share.values.reduce(0, +) <= capacity)
                if step % 20 == 19 {
                    let node = UInt32(1 + chance.next() % UInt64(fleet.demand.count))
                    fleet.demand[node] = Int(chance.next() % 400)
                }
                if step == 40 { fleet.demand[99] = Int(chance.next() % 400) }
            }
        }
    }

    @Test func `whoever wants more than its part gets what the others leave`() {
        var chance = Chance(seed: 1)
        var fleet = Fleet()
        fleet.demand = [1: 1_000, 2: 3, 3: 0]
        for _ in 0..<40 { fleet.step(100, &chance) }
        #expect((fleet.share[1] ?? 0) >= 80 && (fleet.share[2] ?? 0) >= 3, "\(fleet.share)")
        fleet.demand = [1: 1_000, 2: 1_000, 3: 0]
        for _ in 0..<60 { fleet.step(100, &chance) }
        #expect(abs((fleet.share[1] ?? 0) - (fleet.share[2] ?? 0)) <= 3, "\(fleet.share)")
        #expect((fleet.share[1] ?? 0) >= 40)
    }

    @Test func `idle nodes share equally, and a silent one keeps half of its part`() {
        let idle = (1...4).reduce(into: [UInt32: CapacityUser]()) { $0[$1] = CapacityUser(share: 0, running: 0) }
        #expect(CapacitySplit.shares(of: 100, among: idle) == [1: 25, 2: 25, 3: 25, 4: 25])
        var users = idle
        users[4] = CapacityUser(share: 25, running: 25, isSilent: true)
        let shares = CapacitySplit.shares(of: 100, among: users)
        #expect(shares[4] == 12 && shares.values.reduce(0, +) <= 100)
        #expect(CapacitySplit.shares(of: 10, among: [:]).isEmpty)
    }

    @Test func `more nodes than calls get one each as far as it reaches`() {
        let users = (1...5).reduce(into: [UInt32: CapacityUser]()) { $0[$1] = CapacityUser(share: 0, running: 0) }
        let shares = CapacitySplit.shares(of: 3, among: users)
        #expect(shares.values.reduce(0, +) == 3)
    }
}

extension Dictionary {
    fileprivate func shuffled(by chance: inout Chance) -> [(Key, Value)] where Key: Comparable {
        var pairs = sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
        for place in pairs.indices.reversed() where place > 0 {
            pairs.swapAt(place, Int(chance.next() % UInt64(place + 1)))
        }
        return pairs
    }
}
