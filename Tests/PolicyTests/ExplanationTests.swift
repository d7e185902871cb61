// What would become of a request: every decision in its order, with its reason.
import Core
import Testing

@testable import Policy

struct ExplanationTests {
    private func cluster() throws -> ClusterSnapshot {
        let hash = String(repeating: "ab", count: 32)
        let old = String(repeating: "cd", count: 32)
        let text = """
            [provider sim]
            kind = openai
            base-url = https://sim.example/v1
            [price small]
            input = $1 / 1M tokens
            output = $10 / 1M tokens
            [price large]
            input = $2 / 1M tokens
            output = $20 / 1M tokens
            [route chat]
            target = sim/small weight 75
            target = sim/large weight 25
            max-output = 2000
            [price huge]
            input = $3 / 1M tokens
            output = $30 / 1M tokens
            [route later]
            target = sim/large
            target = sim/small group overload
            target = sim/huge group 2
            max-output = 2000
            [route bare]
            target = sim/free
            [org acme]
            limit = $5 / day
            [team acme/search]
            key-limit = 600 requests / minute
            [key k1]
            hash = \(hash)
            hash = \(old) until 500
            org = acme
            team = search
            model = chat
            model = bare
            model = later
            operation = chat
            feature = summary
            priority = background
            network = 10.0.0.0/8
            expires = 1000
            [key gone]
            hash = \(hash)
            org = acme
            team = nobody
            """
        let (snapshot, problems) = ClusterSnapshot.read(text, file: "t")
        #expect(problems == [])
        return snapshot
    }

    private func question(_ edit: (inout ExplainQuestion) -> Void = { _ in }) -> ExplainQuestion {
        let wish = KeyQuestion(model: "chat", operation: .chat, feature: "summary", priority: .background)
        var question = ExplainQuestion(key: "k1", wish: wish, inputTokens: 1_000, outputLimit: 0)
        edit(&question)
        return question
    }

    private func explain(at now: Int64 = 100, _ edit: (inout ExplainQuestion) -> Void = { _ in }) throws -> Explanation
    {
        Explanation(question(edit), in: try cluster(), atSeconds: now)
    }

    @Test func `a request that may run shows its targets, its cost and what would be reserved`() throws {
        let found = try explain()
        #expect(found.isAllowed && found.refusal == nil)
        #expect(found.choices.map(\.permille) == [750, 250])
        #expect(found.choices.map { $0.reserved?.amount } == [1_000 + 2_560, 2_000 + 5_120])
        #expect(found.choices.map { $0.most?.amount } == [1_000 + 20_000, 2_000 + 40_000])
        #expect((found.reservedOutput, found.mostOutput) == (256, 2_000))
        // The dearest target: what is told must hold whichever is chosen.
        #expect(found.call?.estimate == QuotaUse(inputTokens: 1_000, outputTokens: 256, microUSD: 7_120))
        #expect(
            found.call?.limits.limits.map(\.text) == ["$5.00 / day", "600 requests / minute burst 600 token-bucket"])
        #expect(found.steps.first { $0.name == "network" }?.passes == nil, "not asked about")
    }

    @Test func `targets that come later are named, and what is reserved covers them`() throws {
        let wish = KeyQuestion(model: "later", operation: .chat, feature: "summary", priority: .background)
        let found = try explain { $0.wish = wish }
        #expect(
            found.steps.first { $0.name == "route" }?.text
                == "sim/large, then sim/huge, then sim/small (first under overload)")
        #expect(found.choices.map(\.permille) == [1_000, 0, 0])
        #expect(found.call?.estimate == QuotaUse(inputTokens: 1_000, outputTokens: 256, microUSD: 10_680))
    }

    @Test func `each refusal is the node's own, and later steps are still told`() throws {
        func first(at now: Int64 = 100, _ edit: (inout ExplainQuestion) -> Void) throws -> String? {
            let found = try explain(at: now, edit)
            #expect(found.call == nil)
            return found.refusal.map { "\($0.name): \($0.text)" }
        }
        func wish(
            _ model: String, _ operation: KeyOperation = .chat, _ feature: String = "summary",
            _ priority: PriorityClass = .background
        ) -> KeyQuestion {
            KeyQuestion(model: model, operation: operation, feature: feature, priority: priority)
        }
        #expect(try first { $0.key = "nobody" } == "key: the API key is unknown")
        #expect(try first(at: 1_000) { _ in } == "key: the API key has expired")
        #expect(
            try first { $0.secretHash = String(repeating: "00", count: 32) } == "secret: not one of the key's secrets")
        #expect(
            try first(at: 500) { $0.secretHash = String(repeating: "CD", count: 32) }
                == "secret: replaced, and its time is over")
        #expect(
            try first { $0.address = Network.address(of: "192.0.2.1") }
                == "network: this API key may not be used from this address")
        #expect(try first { $0.key = "gone" }?.hasPrefix("tenant: the org or the team") == true)
        #expect(try first { $0.wish = wish("other") } == "model: this API key may not use the model 'other'")
        #expect(
            try first { $0.wish = wish("chat", .embeddings) } == "operation: this API key may not ask for embeddings")
        #expect(
            try first { $0.wish = wish("chat", .chat, "x") } == "feature: this API key may not name the feature 'x'")
        #expect(
            try first { $0.wish = wish("chat", .chat, "summary", .interactive) }
                == "priority: this API key may use the priority background or lower, not interactive")
        #expect(try first { $0.wish = wish("bare") } == "price: 'free' has no price, so no budget can be kept")
        let all = try explain { $0.wish = wish("chat", .embeddings, "x", .interactive) }
        #expect(all.steps.filter { $0.passes == false }.map(\.name) == ["operation", "feature", "priority"])
    }

    @Test func `what is asked about and right is said to be right`() throws {
        let found = try explain {
            $0.secretHash = String(repeating: "CD", count: 32)
            $0.address = Network.address(of: "::ffff:10.1.2.3")
        }
        #expect(found.isAllowed)
        #expect(found.steps.allSatisfy { $0.passes == true })
    }

    @Test func `the limit that stands in the way longest is named with its time`() throws {
        var found = try explain()
        var model = QuotaModel()
        let call = try #require(found.call)
        let now: Int64 = 1_800_000_000_000_000
        found.take(model.peek(call, at: now))
        #expect(found.isAllowed && found.steps.last?.text == "all have room")
        // Spend nearly all of the day's budget.
        let spender = ReserveCall(
            id: Identifier128(high: 1, low: 1), tenant: call.tenant,
            estimate: QuotaUse(inputTokens: 1, outputTokens: 1, microUSD: 4_999_000), holdMilliseconds: 1_000,
            limits: call.limits)
        guard case .granted = model.reserve(spender, at: now) else { return #expect(Bool(false)) }
        _ = model.settle(SettleCall(of: spender, use: spender.estimate), at: now)
        let before = model
        var again = try explain()
        let peek = model.peek(call, at: now)
        again.take(peek)
        #expect(again.refusal?.name == "limits")
        #expect(again.refusal?.text.hasPrefix("the org's limit of $5.00 / day has room in ") == true)
        #expect(peek.standings[0].remaining == 1_000 && peek.standings[1].retry == nil)
        var twin = model
        guard case .denied(let denial) = twin.reserve(call, at: now) else { return #expect(Bool(false)) }
        #expect(denial.remaining == peek.standings[0].remaining && denial.retry == peek.standings[0].retry)
        #expect(model.peek(call, at: now) == before.peek(call, at: now), "looking changes nothing")
    }
}
