// How an answer ended, and what it used: the provider's figures where they can be, ours where it said none.
import Core
import Policy
import Wire

/// How an answer ended.
public struct AnswerEnd: Sendable, Equatable {
    /// Why the model stopped.
    public var finish = FinishReason.other
    /// The provider's own word for it.
    public var finishWord = ""
    /// The model that served it.
    public var model = ""
    /// What it can have used at most.
    public var bounds = AnswerBounds()
    /// What came of it: texts, thinking, refusals, names and arguments of tool calls.
    public internal(set) var output = OutputCount()
    var reported = ReportedUsage()
    /// What had come when the provider last said how much that was.
    var outputWhenReported = OutputCount()

    /// An end about which nothing is known yet.
    public init() {}

    /// What the provider says was used; nil when it did not say both counts, or not believably, or not of all that came.
    public var usage: Usage? {
        let found = used(estimatedInput: 0)
        return found.isReported ? found.usage : nil
    }

    /// True when the provider said figures that cannot be.
    public var isImplausible: Bool {
        let (input, output) = (reported.input ?? 0, reported.output ?? 0)
        return reported.hasAbsurd || input > bounds.inputTokens || output > bounds.outputTokens || isSilentAboutOutput
            || max(reported.cacheRead ?? 0, reported.cacheWrite ?? 0) > (reported.input ?? .max)
            || (reported.reasoning ?? 0) > (reported.output ?? .max)
    }

    /// Output tokens as counted on the way, at most what was asked for.
    public var countedOutputTokens: Int64 { min(output.tokens, bounds.outputTokens) }

    /// What was used, as far as the provider said it believably; a count that it did not say is ours. `isReported` when both are the provider's.
    public func used(estimatedInput: Int64) -> (usage: Usage, isReported: Bool) {
        var usage = Usage()
        var isReported = true
        // Nothing for a prompt that was answered may be; beside nothing for a text that came it is no figure.
        if let said = reported.input, said > 0 || !isSilentAboutOutput {
            usage.inputTokens = min(said, bounds.inputTokens)
            isReported = said <= bounds.inputTokens
        } else {
            usage.inputTokens = estimatedInput
            isReported = false
        }
        if let said = reported.output, !isSilentAboutOutput {
            // What came behind the figure is not in it.
            let rest = output.since(outputWhenReported).tokens
            usage.outputTokens = min(said + rest, bounds.outputTokens)
            isReported = isReported && rest == 0 && said <= bounds.outputTokens
        } else {
            usage.outputTokens = countedOutputTokens
            isReported = false
        }
        // A part is not larger than its total, here and in the ledger.
        usage.cacheReadTokens = min(reported.cacheRead ?? 0, usage.inputTokens)
        usage.cacheWriteTokens = min(reported.cacheWrite ?? 0, usage.inputTokens - usage.cacheReadTokens)
        usage.reasoningTokens = reported.reasoning.map { min($0, usage.outputTokens) }
        return (usage, isReported)
    }

    /// True when the provider says 0 of an output that is there.
    private var isSilentAboutOutput: Bool { reported.output == 0 && outputWhenReported.bytes > 0 }
}
