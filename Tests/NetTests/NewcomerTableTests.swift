// Who goes when there is no room, and whose turn it is: against a plain model, and as transcripts.
import Core
import Testing

@testable import Net

@Suite struct NewcomerTableTests {
    private func source(_ number: UInt32) -> Source { Source(.ipv4(number, port: 1)) }

    @Test func `the oldest of the source that has most goes, never the one who comes`() {
        var table = NewcomerTable<String>()
        for number in 1...3 { _ = table.add("flood \(number)", from: source(1)) }
        let honest = table.add("honest", from: source(2))
        #expect(table.first == "flood 1")
        #expect(table.first(of: source(2)) == "honest")
        table.remove(honest)
        #expect(table.first(of: source(2)) == nil && table.sources == 1)
    }

    @Test func `of one source those that said nothing go first, and then the oldest`() {
        var table = NewcomerTable<String>()
        let spoke = table.add("spoke", from: source(1))
        let begun = table.add("begun", from: source(1))
        let silent = table.add("silent", from: source(1))
        table.move(spoke, to: .waiting)
        table.move(begun, to: .waiting)
        #expect(table.first == "silent")
        table.remove(silent)
        #expect(table.takeTurn() == "spoke")
        // It moved on last: what was heard of least lately goes first.
        #expect(table.first == "begun")
    }

    @Test func `sources take turns, however many of one wait`() {
        var table = NewcomerTable<String>()
        for number in 1...4 { table.move(table.add("flood \(number)", from: source(1)), to: .waiting) }
        table.move(table.add("honest", from: source(2)), to: .waiting)
        #expect((0..<5).map { _ in table.takeTurn() } == ["flood 1", "honest", "flood 2", "flood 3", "flood 4"])
        #expect(!table.hasWaiting && table.takeTurn() == nil && table.count == 5)
    }

    /// What the table must do, written plainly.
    private struct Model {
        struct Entry {
            let id: Int
            var source: UInt32
            var stage: NewcomerTable<Int>.Stage
            var number: Int
        }
        var entries: [Entry] = []
        var ring: [UInt32] = []
        var last = 0

        func first(of source: UInt32) -> Int? {
            let own = entries.filter { $0.source == source }
            let silent = own.filter { $0.stage == .silent }
            return (silent.isEmpty ? own : silent).min { $0.number < $1.number }?.id
        }

        mutating func settleRing() {
            let waiting = Set(entries.filter { $0.stage == .waiting }.map(\.source))
            ring.removeAll { !waiting.contains($0) }
            for source in waiting.sorted() where !ring.contains(source) { ring.append(source) }
        }
    }

    @Test(arguments: 1...20) func `the table and a plain model agree, whatever comes and goes`(_ seed: Int) {
        var chance = Chance(seed: UInt64(seed))
        var table = NewcomerTable<Int>()
        var model = Model()
        var places: [Int: Int] = [:]
        for id in 1...3_000 {
            model.last += 1
            switch chance.below(10) {
            case 0...3:
                let from = UInt32(chance.below(12))
                places[id] = table.add(id, from: source(from))
                model.entries.append(.init(id: id, source: from, stage: .silent, number: model.last))
            case 4...5:
                guard let pick = model.entries.indices.randomElement(using: &chance) else { continue }
                table.move(places[model.entries[pick].id] ?? -1, to: .waiting)
                // Who moves on and was the only one of its source that waited loses its source's turn.
                model.entries[pick].stage = .begun
                model.settleRing()
                (model.entries[pick].stage, model.entries[pick].number) = (.waiting, model.last)
                model.settleRing()
            case 6:
                let expected = model.ring.first.flatMap { source in
                    model.entries.indices.filter {
                        model.entries[$0].source == source && model.entries[$0].stage == .waiting
                    }.min { model.entries[$0].number < model.entries[$1].number }
                }
                #expect(table.takeTurn() == expected.map { model.entries[$0].id })
                guard let expected else { continue }
                (model.entries[expected].stage, model.entries[expected].number) = (.begun, model.last)
                model.ring.removeFirst()
                model.settleRing()
            default:
                guard let pick = model.entries.indices.randomElement(using: &chance) else { continue }
                let gone = model.entries.remove(at: pick)
                table.remove(places.removeValue(forKey: gone.id) ?? -1)
                model.settleRing()
            }
            #expect(table.count == model.entries.count)
            let most = Dictionary(grouping: model.entries, by: \.source).values.map(\.count).max()
            if let first = table.first, let entry = model.entries.first(where: { $0.id == first }) {
                #expect(model.entries.count { $0.source == entry.source } == most)
                #expect(model.first(of: entry.source) == first)
            } else {
                #expect(model.entries.isEmpty)
            }
        }
    }

    @Test func `an IPv6 network of 64 bits is one source, and an IPv4 address is itself in either form`() {
        func six(_ text: String) -> Source {
            Source(SocketAddress.parse("[\(text)]:1") ?? .unix("?"))
        }
        #expect(six("2001:db8:0:1::5") == six("2001:db8:0:1:ffff::9"))
        #expect(six("2001:db8:0:1::5") != six("2001:db8:0:2::5"))
        #expect(six("::ffff:10.0.0.1") == Source(.ipv4(0x0A00_0001, port: 9)))
        #expect(Source(.ipv4(1, port: 1)) != Source(.ipv4(2, port: 1)))
    }

    @Test func `refusals are told immediately, then every ten seconds with their number`() {
        var log = RefusalLog()
        let (start, peer) = (Instant(nanoseconds: 0), SocketAddress.ipv4(0x0A00_0001, port: 5))
        #expect(log.deadline == nil)
        #expect(
            log.note(.crowded, from: peer, at: start) == RefusalReport(reason: .crowded, count: 1, source: "10.0.0.1"))
        for second in 1...3 { #expect(log.note(.crowded, from: peer, at: start + .seconds(second)) == nil) }
        #expect(log.note(.silent, from: peer, at: start + .seconds(3))?.count == 1)
        #expect(log.deadline == start + .seconds(10))
        #expect(log.due(at: start + .seconds(9)).isEmpty)
        #expect(log.due(at: start + .seconds(10)) == [RefusalReport(reason: .crowded, count: 3, source: "10.0.0.1")])
        #expect(log.deadline == nil && log.due(at: start + .seconds(30)).isEmpty)
        #expect(log.note(.crowded, from: peer, at: start + .seconds(60))?.count == 1)
    }
}
