// An answer as one JSON value for `sluice chat --json`: all that came, whether it is whole or not.
import Client
import Core
import Wire

/// Collects what an answer is made of.
struct CollectedAnswer {
    private struct ToolCall {
        let index: UInt16
        let id: String
        let name: String
        var arguments: [UInt8] = []

        var json: JSONValue {
            .object([
                .init("id", .string(id)), .init("name", .string(name)),
                .init("arguments", CollectedAnswer.text(arguments)),
            ])
        }
    }

    private struct Choice {
        var text: [UInt8] = []
        var reasoning: [UInt8] = []
        var refusal: [UInt8] = []
        var tools: [ToolCall] = []
        /// The tool call whose arguments come now.
        var openTool: UInt16 = 0
        var finish: FinishReason?

        var members: [JSONValue.Member] {
            [
                .init("text", CollectedAnswer.text(text)), .init("reasoning", CollectedAnswer.text(reasoning)),
                .init("refusal", CollectedAnswer.text(refusal)), .init("tool_calls", .array(tools.map(\.json))),
                .init("finish_reason", finish.map { .string($0.word) } ?? .null),
            ]
        }
    }

    private var choices: [UInt8: Choice] = [:]

    mutating func add(choice: UInt8, kind: DeltaKind, _ bytes: [UInt8]) {
        switch kind {
        case .text: choices[choice, default: Choice()].text += bytes
        case .reasoning: choices[choice, default: Choice()].reasoning += bytes
        case .refusal: choices[choice, default: Choice()].refusal += bytes
        case .toolArguments:
            guard let open = choices[choice]?.openTool,
                let place = choices[choice]?.tools.lastIndex(where: { $0.index == open })
            else { return }
            choices[choice]?.tools[place].arguments += bytes
        case .audio, .vectors: break
        }
    }

    mutating func add(_ event: StreamEvent) {
        switch event {
        case .toolCallStart(let choice, let index, let id, let name):
            choices[choice, default: Choice()].tools.append(ToolCall(index: index, id: id, name: name))
            choices[choice]?.openTool = index
        case .toolCallResume(let choice, let index): choices[choice, default: Choice()].openTool = index
        case .choiceEnd(let choice, let finish): choices[choice, default: Choice()].finish = finish
        case .restart(let choice, _): choices[choice] = Choice()
        case .citation, .logProbabilities, .usage, .other: break
        }
    }

    /// The whole answer.
    func json(_ end: End) -> JSONValue {
        var members = content(finish: end.finish)
        members += usage(input: end.inputTokens, output: end.outputTokens, cost: end.costMicroUSD)
        members += [
            .init("cached_tokens", .integer(Int64(end.cachedTokens))),
            .init("cache_write_tokens", .integer(Int64(end.cacheWriteTokens))),
            .init("reasoning_tokens", end.reasoningTokens.map { .integer(Int64($0)) } ?? .null),
            .init("usage_source", .string("\(end.usageSource)")), .init("attempts", .integer(Int64(end.attempts))),
            .init("first_token_ms", .integer(Int64(end.timeToFirstTokenMilliseconds))),
            .init("total_ms", .integer(Int64(end.totalMilliseconds))),
        ]
        if !end.providerFinish.isEmpty { members.append(.init("provider_finish", .string(end.providerFinish))) }
        return .object(members)
    }

    /// What came of an answer that failed, what it used and cost, and why.
    func json(_ failure: ClientFailure) -> JSONValue {
        var error: [JSONValue.Member] = [
            .init("code", .string(failure.code.name)), .init("message", .string("\(failure)")),
            .init("retry", .string("\(failure.retry)")),
        ]
        var members = content(finish: nil)
        if case .refused(let refusal) = failure {
            members += usage(
                input: refusal.inputTokens, output: refusal.outputTokens, cost: refusal.costMicroUSD)
            if !refusal.field.isEmpty { error.append(.init("field", .string(refusal.field))) }
            if refusal.retryAfterMilliseconds > 0 {
                error.append(.init("retry_after_ms", .integer(Int64(refusal.retryAfterMilliseconds))))
            }
            if refusal.providerStatus > 0 {
                error.append(.init("provider_status", .integer(Int64(refusal.providerStatus))))
            }
        }
        return .object(members + [.init("error", .object(error))])
    }

    /// The first choice, as most answers have no other, and then all of them.
    private func content(finish: FinishReason?) -> [JSONValue.Member] {
        var first = choices[0] ?? Choice()
        first.finish = finish ?? first.finish
        var all = choices
        all[0] = first
        let list = all.sorted { $0.key < $1.key }.map { number, choice in
            JSONValue.object([.init("index", .integer(Int64(number)))] + choice.members)
        }
        return first.members + [.init("choices", .array(list))]
    }

    private func usage(input: UInt32, output: UInt32, cost: UInt64) -> [JSONValue.Member] {
        [
            .init("input_tokens", .integer(Int64(input))), .init("output_tokens", .integer(Int64(output))),
            .init("cost_micro_usd", .integer(Int64(clamping: cost))),
        ]
    }

    private static func text(_ bytes: [UInt8]) -> JSONValue { .string(String(decoding: bytes, as: UTF8.self)) }
}
