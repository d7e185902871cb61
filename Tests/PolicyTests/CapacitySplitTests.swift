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
