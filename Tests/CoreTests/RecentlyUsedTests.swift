// The collection that forgets the longest unused, beside a list that is searched.
import Core
import Testing

@Suite struct RecentlyUsedTests {
    @Test(arguments: [1, 2, 3, 8]) func `it keeps what a plain list keeps`(limit: Int) {
        var kept = RecentlyUsed<Int, Int>(limit: limit)
        // The longest unused comes first.
        var plain: [(key: Int, value: Int)] = []
        var chance = Chance(seed: UInt64(limit))
        for step in 0..<20_000 {
            let key = Int(chance.below(12))
            let place = plain.firstIndex { $0.key == key }
            if chance.below(3) == 0 {
                kept.set(step, for: key)
                if let place { plain.remove(at: place) } else if plain.count == limit { plain.removeFirst() }
                plain.append((key, step))
            } else {
                let found = kept.use(key)
                #expect(found == place.map { plain[$0].value })
                if let place { plain.append(plain.remove(at: place)) }
            }
            #expect(kept.count == plain.count)
        }
    }
}
