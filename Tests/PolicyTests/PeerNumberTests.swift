// The largest numbers that peers and stores can say, in each place where they are added up: nothing overflows.
import Core
import Testing

@testable import Policy

@Suite struct PeerNumberTests {
    private static var largest: CanaryCounts {
        var counts = CanaryCounts()
        (counts.attempts, counts.failures, counts.answers, counts.cost) = (.max, .max, .max, .max)
        counts.costSquares = .greatestFiniteMagnitude
        for bucket in 0..<FirstTokenScale.count { counts.add(.max, inBucket: bucket) }
        return counts
    }

    @Test func `sums of canaries stop at a limit, and are judged there`() throws {
        let plan = try CanaryPlan.read(route: "chat", target: "b/m", replaced: nil) { _ in nil }
        var run = CanaryRun(plan, who: "", reason: "", atSeconds: 0)
        for _ in 0..<3 {
            run.take(baseline: Self.largest, canary: Self.largest)
            run.take(baseline: CanaryCounts(), canary: Self.largest)
            run.take(baseline: Self.largest, canary: CanaryCounts())
            _ = run.judge(after: .seconds(1_000_000), atSeconds: .max)
        }
        #expect(run.steps.allSatisfy { $0.canary.attempts <= CanaryCounts.limit && $0.baseline.cost >= 0 })
        let counts = Self.largest
        #expect(counts.firstTokenP95 != nil)
        #expect(counts.since(CanaryCounts()) != nil)
        var less = CanaryCounts()
        less.attempts = .max
        #expect(CanaryCounts().since(less) == nil)
    }

    @Test func `a canary from Redis with impossible numbers is not taken`() throws {
        let plan = try CanaryPlan.read(route: "chat", target: "b/m", replaced: nil) { _ in nil }
        let text = String(
            decoding: CanaryRecords.encode([CanaryRun(plan, who: "", reason: "", atSeconds: 0)]), as: UTF8.self)
        #expect(CanaryRecords.decode(Array(text.utf8)) != nil)
        for (good, bad) in [
            (#""held_ms":0"#, #""held_ms":-9223372036854775808"#), (#""held_ms":0"#, #""held_ms":9223372036854775807"#),
            (#""attempts":0,"failures":0,"answers""#, #""attempts":9223372036854775807,"failures":0,"answers""#),
            (#""attempts":0,"failures":0,"answers""#, #""attempts":-1,"failures":0,"answers""#),
        ] {
            let damaged = text.replacing(good, with: bad)
            #expect(damaged != text)
            #expect(CanaryRecords.decode(Array(damaged.utf8)) == nil, "\(bad)")
        }
    }

    @Test func `a target's window takes the largest reports of a flood`() {
        var judge = TargetJudge(at: Instant(nanoseconds: 0))
        var news = TargetNews()
        (news.successes, news.failures, news.throttled) = (.max, .max, .max)
        news.firstTokenMicroseconds = Int(UInt32.max)
        for second in 0..<120 {
            for _ in 0..<10 { judge.take(news, at: Instant(nanoseconds: Int64(second) * 1_000_000_000)) }
        }
        let sums = judge.lastMinute(at: Instant(nanoseconds: 119_000_000_000))
        #expect(sums.failures > 0 && sums.failures.multipliedReportingOverflow(by: 1_000).overflow == false)
    }

    @Test func `a share that no provider can have is refused, whoever published it`() {
        for text in ["node = 1 9223372036854775807", "node = 1 -1", "node = 4294967296 1"] {
            #expect(!ClusterSnapshot.read("[share p]\n\(text)\n", file: "t").1.isEmpty, "\(text)")
        }
        let most = CapacityUser(share: 1_000_000_000, held: 1_000_000_000, running: Int(UInt32.max))
        let users = Dictionary(uniqueKeysWithValues: (0..<UInt32(1_024)).map { ($0, most) })
        #expect(CapacitySplit.shares(of: 1_000_000, among: users).count == 1_024)
    }

    @Test func `a record with a line that older nodes refuse names its level`() {
        func record(_ kind: UInt8, _ body: String) -> ClusterSnapshot.Record {
            ClusterSnapshot.Record(kind: kind, name: "x", body: Array(body.utf8))
        }
        #expect(RecordLevel.needed(by: [record(0, "kind = openai"), record(5, "passthrough = yes")]) == nil)
        for line in ["passthrough = top_k", "stream-options = usage", "user-field = none", "developer-role = system"] {
            let needed = RecordLevel.needed(by: [record(0, "kind = openai\n\(line)")])
            let key = line.prefix { $0 != " " }
            #expect(needed?.level == 1 && needed?.reason == "'\(key)' of provider x")
            let (cluster, problems) = ClusterSnapshot.read(
                "[provider x]\nkind = openai\nbase-url = https://a.example/v1\n\(line)\n", file: "test")
            #expect(problems.isEmpty && RecordLevel.needed(by: cluster)?.reason == "'\(key)' of provider x")
        }
        #expect(RecordLevel.needed(by: ClusterSnapshot()) == nil)
    }
}
