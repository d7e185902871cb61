// Every way in which a provider can fail, over real sockets: what the client is told, whether another target answers, what is charged.
import Core
import Foundation
import Testing
import Wire

/// What a client sees of a provider that fails, and has no other beside it.
private enum Told: CustomStringConvertible {
    /// A whole answer, with figures from there.
    case answer(UsageSource)
    /// An error, with what the client may do about it.
    case error(ErrorCode, RetryClass)

    var description: String {
        switch self {
        case .answer(let source): "answered (usage \(source.name))"
        case .error(let code, let retry): "\(code.name) \(retry)"
        }
    }
}

/// One fault: the simulator's setting, or nil for a provider that is not there.
private struct FaultCase {
    let setting: String?
    let streamed: Told
    let whole: Told
    /// Whether the second target answers where there is one.
    let streamMoves: Bool
    let wholeMoves: Bool

    var name: String { setting ?? "refused" }

    /// A fault that strikes streams and whole answers alike, before the first piece.
    init(_ setting: String?, _ code: ErrorCode, _ retry: RetryClass, moves: Bool = true) {
        self.init(setting, .error(code, retry), moves, .error(code, retry), moves)
    }

    /// A fault that strikes them differently; `moves` says whether another target answers instead.
    init(_ setting: String?, _ streamed: Told, _ streamMoves: Bool, _ whole: Told, _ wholeMoves: Bool) {
        self.setting = setting
        (self.streamed, self.streamMoves, self.whole, self.wholeMoves) = (streamed, streamMoves, whole, wholeMoves)
    }

    /// A fault that leaves the answer good.
    init(_ setting: String, good source: UsageSource) {
        self.init(setting, .answer(source), false, .answer(source), false)
    }

    static let all: [FaultCase] = {
        let truncated = Told.error(.upstreamTruncated, .unsafe)
        let failed = Told.error(.upstreamFailed, .unsafe)
        let malformed = Told.error(.upstreamMalformed, .unsafe)
        let stalled = Told.error(.upstreamStalled, .unsafe)
        let late = Told.error(.deadline, .unsafe)
        let busy = Told.error(.upstreamFailed, .safeElsewhere)
        let good = Told.answer(.provider)
        return [
            FaultCase(nil, .upstreamConnect, .safeElsewhere),
            FaultCase("400", .upstreamRejected, .never, moves: false),
            FaultCase("401", .upstreamRejected, .never), FaultCase("403", .upstreamRejected, .never),
            FaultCase("404", .upstreamRejected, .never), FaultCase("429", .upstreamThrottled, .safeHere),
            FaultCase("quota", .upstreamThrottled, .never), FaultCase("500", .upstreamFailed, .unsafe),
            FaultCase("502", .upstreamFailed, .unsafe), FaultCase("503", .upstreamFailed, .safeElsewhere),
            FaultCase("529", .upstreamFailed, .safeElsewhere), FaultCase("504", .upstreamStalled, .unsafe),
            FaultCase("not-http", .upstreamMalformed, .unsafe), FaultCase("content-type", .upstreamMalformed, .unsafe),
            FaultCase("gzip", .upstreamMalformed, .unsafe), FaultCase("endless-headers", .upstreamMalformed, .unsafe),
            // What is silent may cost something: quota must cover it and the other's answer. A whole answer comes when it is done, and time is
            // over then; once its body has begun, it must go on.
            FaultCase("hang", stalled, true, late, false), FaultCase("hang-after=0", stalled, true, stalled, true),
            FaultCase("comments-after=0", stalled, true, stalled, true),
            FaultCase("hang-after=3", stalled, false, stalled, true),
            FaultCase("comments-after=3", stalled, false, stalled, true),
            FaultCase("cut-after=0", .upstreamFailed, .unsafe), FaultCase("reset-after=0", .upstreamFailed, .unsafe),
            FaultCase("torn-after=0", .upstreamFailed, .unsafe),
            FaultCase("cut-after=3", truncated, false, failed, true),
            FaultCase("reset-after=3", truncated, false, failed, true),
            FaultCase("torn-after=3", truncated, false, failed, true),
            FaultCase("no-finish", truncated, false, good, false),
            FaultCase("malformed-after=0", .upstreamMalformed, .unsafe),
            FaultCase("malformed-after=3", truncated, false, malformed, true),
            FaultCase("bad-text-after=0", .upstreamMalformed, .unsafe),
            FaultCase("bad-text-after=3", truncated, false, malformed, true),
            FaultCase("error-after=0", .upstreamFailed, .unsafe),
            FaultCase("error-after=3", failed, false, failed, true),
            FaultCase("overloaded-after=0", .upstreamFailed, .safeElsewhere),
            FaultCase("overloaded-after=3", failed, false, busy, true),
            FaultCase("endless-after=0", .upstreamMalformed, .unsafe),
            FaultCase("endless-after=3", truncated, false, malformed, true),
            FaultCase("split", good: .provider), FaultCase("no-done", good: .provider),
            FaultCase("no-usage", good: .counted), FaultCase("absurd-usage", good: .counted),
            FaultCase("negative-usage", good: .counted),
        ]
    }()
}

@Suite struct ProviderFaultTests {
    /// Each question has a target of its own, so that no fault is forgotten because an earlier one spoke against the target.
    private static func sections(_ base: Int) -> String {
        var text = ""
        for (name, port) in [("broken", base), ("gone", base + 1)] {
            text += """
                [provider \(name)]
                kind = openai
                base-url = http://127.0.0.1:\(port)/v1
                allow-plain-http = yes
                first-event-timeout = 1s
                idle-timeout = 1s

                """
        }
        for (number, fault) in FaultCase.all.enumerated() {
            let provider = fault.setting == nil ? "gone" : "broken"
            for form in ["stream", "whole"] {
                text += """
                    [route \(form)-\(number)]
                    target = \(provider)/\(form)-\(number)
                    attempts = 1
                    [route \(form)-\(number)-or-other]
                    target = \(provider)/\(form)-\(number)-first
                    target = sim/gpt-6-luna group 2
                    attempts = 2

                    """
            }
        }
        return text
    }

    @Test("d3: each fault has its code and retry class; another target answers where nothing was seen or spent")
    func faults() async throws {
        try await withSecondProvider(ProviderFaultTests.sections) { cluster, set in
            let caller = try Caller(cluster, connections: 4, node: 1)
            // Attempts beyond the first are a tenth of the requests: these save them up.
            for _ in 0..<10 { #expect(await caller.ask(100, "hi\nsim: tokens=1").allSatisfy { $0.end != nil }) }
            var wrong = 0
            for (number, fault) in FaultCase.all.enumerated() {
                if let setting = fault.setting { try await set("error=\(setting)") }
                async let stream = check(fault, number, isStream: true, caller)
                async let whole = check(fault, number, isStream: false, caller)
                let (first, second) = await (stream, whole)
                wrong += first + second
                if ProcessInfo.processInfo.environment["SLUICE_PROVE_FAULTS"] != nil {
                    let moves = "\(fault.streamMoves ? "yes" : "no") | \(fault.wholeMoves ? "yes" : "no")"
                    print("# | \(fault.name) | \(fault.streamed) | \(fault.whole) | \(moves) |")
                }
            }
            let asked = FaultCase.all.count * 4
            print("provider-faults.answers_not_as_promised_of_\(asked) \(wrong) 0 \(wrong == 0 ? "ok" : "SHORT")")
            let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
            let missing = page.split(separator: "\n").filter {
                $0.hasPrefix("sluice_attempts_without_usage_total{") && $0.contains("broken") && !$0.hasSuffix(" 0")
            }
            #expect(missing.count == 12, "each answer without a believable usage is counted: \(missing)")
            try await cluster.wait("the holds to be given back") { try await cluster.held("q:{acme}").requests == 0 }
        }
    }

    /// Asks the target alone, and with another behind it; how many of the two answers were not as promised.
    private func check(_ fault: FaultCase, _ number: Int, isStream: Bool, _ caller: Caller) async -> Int {
        let route = "\(isStream ? "stream" : "whole")-\(number)"
        async let alone = ask(route, isStream, caller)
        async let both = ask("\(route)-or-other", isStream, caller)
        let (first, second) = await (alone, both)
        let (told, moves) =
            isStream ? (fault.streamed, fault.streamMoves) : (fault.whole, fault.wholeMoves)
        var wrong = 0
        func expect(_ isTrue: Bool, _ outcome: Caller.Outcome) {
            if !isTrue { wrong += 1 }
            #expect(isTrue, "\(fault.name) \(route): \(outcome.result), promised \(told), moves: \(moves)")
        }
        switch told {
        case .answer(let source):
            let isCounted = first.end.map { $0.outputTokens > 0 && $0.outputTokens < 100 && $0.inputTokens > 0 } == true
            expect(first.end?.usageSource == source && isCounted && !first.text.isEmpty, first)
        case .error(let code, let retry):
            // A slow machine reaches the time limit before an endless line reaches its own.
            let isEndless = fault.name == "endless-after=0" && first.refusal?.code == .upstreamStalled
            expect((first.refusal?.code == code || isEndless) && first.refusal?.retry == retry, first)
        }
        if moves {
            expect(second.end?.attempts == 2 && !second.text.isEmpty, second)
        } else if case .error(let code, _) = told {
            expect(second.refusal?.code == code, second)
        } else {
            expect(second.end?.attempts == 1, second)
        }
        return wrong
    }

    private func ask(_ route: String, _ isStream: Bool, _ caller: Caller) async -> Caller.Outcome {
        await caller.ask("one two three four five six seven eight", timeout: .seconds(isStream ? 20 : 4)) {
            $0.model = route
            if !isStream { $0.flags.remove(.stream) }
        }
    }

    @Test func `a time to come again is passed on in every spelling, and not waited for where it is long`() async throws
    {
        let forms = [("ms", true), ("seconds", true), ("date", true), ("both", true), ("absurd", false)]
        let sections: (Int) -> String = { base in
            forms.reduce(
                """
                [provider broken]
                kind = openai
                base-url = http://127.0.0.1:\(base)/v1
                allow-plain-http = yes

                """
            ) { "\($0)[route \($1.0)]\ntarget = broken/\($1.0)\nattempts = 2\n" }
        }
        try await withSecondProvider(sections) { cluster, set in
            let caller = try Caller(cluster, node: 1)
            for (form, isBelieved) in forms {
                try await set("error=429 retry-after=30s retry-form=\(form)")
                let outcome = await caller.ask("hi") { $0.model = form }
                let told = try #require(outcome.refusal, "\(form): \(outcome.result)")
                let promised: ClosedRange<UInt32> = isBelieved ? 25_000...31_000 : 0...0
                #expect(told.code == .upstreamThrottled && promised.contains(told.retryAfterMilliseconds), "\(told)")
                #expect(outcome.time < .seconds(20), "\(form): the client decides what to do with such a time")
            }
        }
    }
}
