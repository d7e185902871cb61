// `POST /v1/explain`: what would become of a request, and why; nothing is charged.
import Core
import HTTP
import Net
import Policy
import Store

extension AdminServer {
    /// Answers with the decisions in their order, the route's targets, and how each limit stands.
    func explain(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = try? JSONValue.parse(body, limits: JSONLimits(depth: 4)) else {
            return problem(channel, 400, "the body is not JSON")
        }
        let question: ExplainQuestion
        do throws(ValueProblem) {
            question = try AdminServer.question(value)
        } catch {
            return reply(channel, 422, .object([.init("problems", .array([.string(error.message)]))]))
        }
        var cluster = coordinator.configuration.published
        cluster.keys = coordinator.allKeys
        coordinator.canaries.draw(into: &cluster)
        let now = coordinator.lane.wallClockMicroseconds / 1_000_000
        let explanation = Explanation(question, in: cluster, atSeconds: now)
        guard let call = explanation.call else {
            return reply(channel, 200, AdminServer.json(explanation, question, nil))
        }
        coordinator.quota.peek(call) { [self] result in
            var explanation = explanation
            switch result {
            case .success(let peek):
                explanation.take(peek)
                reply(channel, 200, AdminServer.json(explanation, question, peek))
            case .failure(let error):
                explanation.takeNoLimits("not known, Redis does not answer: \(error)")
                reply(channel, 200, AdminServer.json(explanation, question, nil))
            }
        }
    }

    private static func question(_ value: JSONValue) throws(ValueProblem) -> ExplainQuestion {
        guard case .object(let members) = value else { throw ValueProblem("the body is not a JSON object") }
        let texts = ["key", "model", "operation", "feature", "priority", "secret_sha256", "address"]
        let numbers = ["input_tokens", "max_output"]
        for member in members {
            if texts.contains(member.key) {
                guard let text = member.value.text, text.utf8.count <= 128 else {
                    throw ValueProblem("\(member.key): expected a text of at most 128 bytes")
                }
            } else if numbers.contains(member.key) {
                guard let number = member.value.integer, (0...Limit.maximumTokensPerCall / 2).contains(number) else {
                    throw ValueProblem("\(member.key): expected a number of tokens")
                }
            } else {
                let known = (texts + numbers).joined(separator: ", ")
                throw ValueProblem("unknown member '\(member.key)'; known: \(known)")
            }
        }
        guard let key = value["key"]?.text, let model = value["model"]?.text else {
            throw ValueProblem("'key' and 'model' are needed")
        }
        let wish = KeyQuestion(
            model: model, operation: try word(value["operation"]?.text, of: KeyOperation.self, standard: .chat),
            feature: value["feature"]?.text ?? "",
            priority: try word(value["priority"]?.text, of: PriorityClass.self, standard: .interactive))
        var question = ExplainQuestion(
            key: key, wish: wish, inputTokens: value["input_tokens"]?.integer ?? 1_000,
            outputLimit: value["max_output"]?.integer ?? 0)
        question.secretHash = value["secret_sha256"]?.text
        if let text = value["address"]?.text {
            guard let address = Network.address(of: text) else {
                throw ValueProblem("address: expected an IPv4 or IPv6 address, found '\(text)'")
            }
            question.address = address
        }
        return question
    }

    private static func word<T: CaseIterable & CustomStringConvertible>(
        _ text: String?, of type: T.Type, standard: T
    ) throws(ValueProblem) -> T {
        guard let text else { return standard }
        if let found = T.allCases.first(where: { $0.description == text }) { return found }
        let known = T.allCases.map(\.description).joined(separator: ", ")
        throw ValueProblem("expected \(known), found '\(text)'")
    }

    private static func json(
        _ explanation: Explanation, _ question: ExplainQuestion, _ peek: QuotaPeek?
    ) -> JSONValue {
        let steps = explanation.steps.map { step -> JSONValue in
            .object([
                .init("step", .string(step.name)), .init("passes", step.passes.map { .bool($0) } ?? .null),
                .init("text", .string(step.text)),
            ])
        }
        let targets = explanation.choices.map { choice -> JSONValue in
            .object([
                .init("target", .string("\(choice.target.provider)/\(choice.target.model)")),
                .init("group", .string(choice.target.groupText)), .init("permille", .integer(choice.permille)),
                .init("reserved_micro_usd", choice.reserved.map { .integer($0.amount) } ?? .null),
                .init("most_micro_usd", choice.most.map { .integer($0.amount) } ?? .null),
            ])
        }
        var limits: [JSONValue] = []
        if let peek, let call = explanation.call {
            limits = zip(call.limits.limits, peek.standings).map(limit)
        }
        return .object([
            .init("allowed", .bool(explanation.isAllowed)),
            .init("refused_by", explanation.refusal.map { .string($0.name) } ?? .null), .init("steps", .array(steps)),
            .init("targets", .array(targets)), .init("input_tokens", .integer(question.inputTokens)),
            .init("reserved_output_tokens", .integer(explanation.reservedOutput)),
            .init("most_output_tokens", .integer(explanation.mostOutput)), .init("limits", .array(limits)),
        ])
    }

    private static func limit(_ limit: Limit, _ standing: QuotaPeek.Standing) -> JSONValue {
        // A token bucket holds its burst; everything else its amount.
        let whole = limit.unit != .concurrency && limit.algorithm == .tokenBucket ? limit.burst : limit.amount
        var wait = JSONValue.null
        var retry = "now"
        switch standing.retry {
        case nil: break
        case .after(let microseconds):
            retry = "after"
            wait = .integer((microseconds + 999) / 1_000)
        case .whenReleased: retry = "when-released"
        case .never: retry = "never"
        }
        return .object([
            .init("scope", .string("\(limit.scope)")), .init("limit", .string(limit.text)),
            .init("unit", .string(limit.unitText)), .init("amount", .integer(limit.amount)),
            .init("used", .integer(max(0, whole - standing.remaining))), .init("left", .integer(standing.remaining)),
            .init("room", .string(retry)), .init("retry_after_ms", wait),
        ])
    }
}
