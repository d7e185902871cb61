// What an answer is said to have cost.
import Core

/// The usage of one answer. The rule: a message costs 4 input tokens and one more for every 4 bytes of its text (as JSON text,
/// rounded up); an answer costs one output token for every word.
struct ChatUsage: Equatable {
    var inputTokens: Int
    var outputTokens: Int
    var cachedTokens = 0
    var reasoningTokens = 0

    /// Input tokens of a message with `bytes` bytes of text.
    static func inputTokens(ofMessageWith bytes: Int) -> Int { 4 + (bytes + 3) / 4 }

    /// What the fault `absurd-usage` says.
    static let absurd = ChatUsage(inputTokens: 999_999_999_999, outputTokens: 999_999_999_999)

    /// What the fault `negative-usage` says.
    static let negative = ChatUsage(inputTokens: -5, outputTokens: -7)

    /// Appends the `usage` object. Reasoning tokens are part of the completion tokens, cached tokens of the prompt tokens.
    func write(into buffer: inout ByteBuffer) {
        let completion = outputTokens + reasoningTokens
        buffer.append(literal: "{\"prompt_tokens\":")
        buffer.append(decimal: inputTokens)
        buffer.append(literal: ",\"completion_tokens\":")
        buffer.append(decimal: completion)
        buffer.append(literal: ",\"total_tokens\":")
        buffer.append(decimal: inputTokens + completion)
        buffer.append(literal: ",\"prompt_tokens_details\":{\"cached_tokens\":")
        buffer.append(decimal: min(cachedTokens, inputTokens))
        buffer.append(literal: ",\"audio_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":")
        buffer.append(decimal: reasoningTokens)
        buffer.append(
            literal: ",\"audio_tokens\":0,\"accepted_prediction_tokens\":0,\"rejected_prediction_tokens\":0}}")
    }
}
