// Hundreds of seeds: one outcome per request, no frame behind it, credit never leaks.

import Core
import Testing
import Wire

@Suite struct ScheduleTests {
    @Test(arguments: 0..<8) func everyScheduleKeepsTheRules(_ block: Int) {
        for seed in UInt64(block * 100)..<UInt64(block * 100 + 100) {
            var chance = Chance(seed: seed)
            let schedule = Schedule { Int(chance.below(UInt64(max(1, $0)))) }
            schedule.run(steps: 600)
            #expect(schedule.violations == [], "seed \(seed)")
        }
    }
}
