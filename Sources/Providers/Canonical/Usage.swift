// What an answer used, in the same terms for every provider.
import Core

extension String {
    /// The text itself when it has at most `limit` bytes of UTF-8, else its beginning; bounds what a provider may make us keep.
    func cut(to limit: Int) -> String {
        guard utf8.count > limit else { return self }
        // Whole characters only.
        var end = utf8.index(startIndex, offsetBy: limit)
        while end.samePosition(in: self) == nil { utf8.formIndex(before: &end) }
        return String(self[..<end])
    }
}

/// Tokens of one answer. Totals include their subsets; a provider's later figure replaces an earlier one, never adds to it.
public struct Usage: Sendable, Equatable {
    /// The whole prompt, cached and written tokens included.
    public var inputTokens: Int64 = 0
    /// The whole answer, reasoning included.
    public var outputTokens: Int64 = 0
    /// Prompt tokens that the provider read from its cache.
    public var cacheReadTokens: Int64 = 0
    /// Prompt tokens that the provider wrote to its cache.
    public var cacheWriteTokens: Int64 = 0
    /// Tokens of the answer that were thinking; nil when the provider did not say.
    public var reasoningTokens: Int64?

    /// No tokens.
    public init() {}

    /// The most tokens of one kind that are believed of anybody: twice the largest context window on sale.
    public static let most: Int64 = 20_000_000
}

/// What a request can use at most. A provider's figures beyond it are not believed.
public struct AnswerBounds: Sendable, Equatable {
    /// Answers that were asked for, at least 1.
    public var choices = 1
    /// The most tokens that its prompt can have.
    public var inputTokens = Usage.most
    /// The most tokens that its answers together may have.
    public var outputTokens = Usage.most

    /// No bounds but those of anybody.
    public init() {}

    /// Tokens that servers put around a prompt: templates of chats, rules for tools.
    static let template: Int64 = 1_024
    /// Tokens of one image or file that is sent by its address, or is small and counts much.
    static let attachment: Int64 = 100_000

    /// Bounds of a request of so many bytes. A byte is at most one token; twice that is for servers that write the prompt anew.
    init(requestBytes: Int, attachments: Int, outputLimit: UInt32, choices: Int) {
        self.choices = max(1, choices)
        let prompt = 2 * Int64(requestBytes) + AnswerBounds.template + Int64(attachments) * AnswerBounds.attachment
        inputTokens = min(Usage.most, prompt)
        if outputLimit > 0 { outputTokens = min(Usage.most, Int64(outputLimit) * Int64(self.choices)) }
    }
}

/// Figures as a provider said them, each where it is a whole number that can be at all. The last one said of each counts.
struct ReportedUsage: Sendable, Equatable {
    var input: Int64?
    var output: Int64?
    var cacheRead: Int64?
    var cacheWrite: Int64?
    var reasoning: Int64?
    /// True when a figure was said that cannot be.
    var hasAbsurd = false

    /// Takes over what another says.
    mutating func merge(_ later: ReportedUsage) {
        input = later.input ?? input
        output = later.output ?? output
        cacheRead = later.cacheRead ?? cacheRead
        cacheWrite = later.cacheWrite ?? cacheWrite
        reasoning = later.reasoning ?? reasoning
        hasAbsurd = hasAbsurd || later.hasAbsurd
    }
}
