// When providers are probed, how their settings read, and that no hour has more probes than its budget.
import Core
import Policy
import Testing

@Suite struct ProbeTests {
    private static func at(_ seconds: Double) -> Instant { Instant(nanoseconds: Int64(seconds * 1e9)) }

    /// Lets a provider be probed for some hours, 5 looks a second; returns when.
    private static func run(
        _ setting: ProbeSetting, hours: Double, seed: UInt64 = 1, result: (Double) -> ProbeResult
    ) -> [Double] {
        var chance = Chance(seed: seed)
        var pace = ProbePace(setting, at: at(0), &chance)
        var begun: [Double] = []
        for look in 0..<Int(hours * 18_000) {
            let second = Double(look) / 5
            guard pace.isDue(at: at(second)) else { continue }
            pace.begin(at: at(second), &chance)
            let isDueAgain = pace.isDue(at: at(second + 10))
            #expect(!isDueAgain, "one at a time")
            begun.append(second)
            pace.ended(result(second), at: at(second))
        }
        return begun
    }

    @Test func `intervals are never longer than set, and spread`() {
        let begun = ProbeTests.run(ProbeSetting(.models, every: .seconds(30)), hours: 2) { _ in .up }
        #expect((begun.first ?? 9) <= 2.2)
        let waits = zip(begun, begun.dropFirst()).map { $1 - $0 }
        #expect(waits.allSatisfy { $0 <= 30.2 && $0 >= 23.8 })
        #expect(Set(waits).count > 10)
    }

    @Test func `a provider that failed is looked at sooner, until two probes in a row went well`() {
        let begun = ProbeTests.run(ProbeSetting(.models, every: .seconds(40)), hours: 0.2) {
            $0 < 100 || $0 > 180 ? .up : .failing("x")
        }
        let waits = zip(begun, begun.dropFirst()).map { (at: $0, wait: $1 - $0) }
        let failing = begun.first { $0 >= 100 } ?? 0
        #expect(waits.filter { $0.at < failing || $0.at > 220 }.allSatisfy { $0.wait > 30 })
        #expect(waits.filter { $0.at >= failing && $0.at < 180 }.allSatisfy { $0.wait <= 10.2 })
    }

    @Test func `what says nothing is no reason to look sooner`() {
        let begun = ProbeTests.run(ProbeSetting(.models, every: .seconds(40)), hours: 0.5) { _ in .unknown("x") }
        #expect(zip(begun, begun.dropFirst()).allSatisfy { $1 - $0 > 30 })
    }

    @Test(arguments: [1, 2, 3, 4, 5] as [UInt64]) func `no hour has more probes than the budget`(_ seed: UInt64) {
        let cases = [
            ProbeSetting(.models, every: .seconds(30)),
            ProbeSetting(.chat(model: "m"), every: .seconds(60), budget: 60),
            ProbeSetting(.models, every: .seconds(5), budget: 720),
        ]
        for setting in cases {
            let begun = ProbeTests.run(setting, hours: 3, seed: seed) {
                Int($0 / 700) % 2 == 0 ? .up : .failing("x")
            }
            for (place, start) in begun.enumerated() {
                let inHour = begun[place...].prefix { $0 < start + 3_600 }.count
                #expect(inHour <= setting.budget)
            }
            // And it is used: looking does not end with the first bad hour.
            let last = begun.count { $0 >= 7_200 }
            #expect(last * 10 >= Int(3_600 / setting.interval.seconds) * 8, "\(last) in the last hour")
        }
    }

    // MARK: - Settings

    private static func provider(_ lines: String) -> (ProviderRecord?, [String]) {
        let text = "[provider p]\nkind = openai\nbase-url = https://api.example.com/v1\n\(lines)\n"
        let (snapshot, problems) = ClusterSnapshot.read(text, file: "f")
        return (snapshot.providers["p"], problems.map(\.message))
    }

    @Test func `settings are read, and written as they are read`() {
        let cases: [(String, ProbeSetting?)] = [
            ("", nil), ("probe = off", nil), ("probe = models 30s", ProbeSetting(.models, every: .seconds(30))),
            (
                "probe = chat gpt-6-luna 1m\nprobe-budget = 61 / hour",
                ProbeSetting(.chat(model: "gpt-6-luna"), every: .seconds(60), budget: 61)
            ),
        ]
        for (lines, setting) in cases {
            let (record, problems) = ProbeTests.provider(lines)
            #expect(problems.isEmpty && record?.probe == setting, "\(lines): \(problems)")
            var snapshot = ClusterSnapshot()
            snapshot.providers = ["p": record ?? ProviderRecord(name: "p")]
            #expect(ClusterSnapshot.read(snapshot.text, file: "g").0 == snapshot, "\(lines)")
        }
        #expect(ProbeSetting(.models, every: .seconds(30)).budget == 240)
    }

    @Test func `mistakes are told`() {
        let cases = [
            ("probe = on", "expected 'off', 'models TIME'"), ("probe = models", "expected 'off'"),
            ("probe = models 10ms", "1s"), ("probe = chat 30s", "expected 'off'"),
            ("probe-budget = 10 / hour", "together with 'probe' only"),
            ("probe = models 30s\nprobe-budget = 100 / hour", "takes 120 probes an hour"),
            ("probe = models 30s\nprobe-budget = 100 / day", "expected a number of probes"),
            ("probe = models 30s\nprobe-budget = 0 / hour", "1"),
        ]
        for (lines, words) in cases {
            let problems = ProbeTests.provider(lines).1
            #expect(problems.count == 1 && problems[0].contains(words), "\(lines): \(problems)")
        }
    }
}

extension Duration {
    fileprivate var seconds: Double { Double(nanoseconds) / 1e9 }
}
