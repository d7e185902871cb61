// What an answer used, in the same terms for every provider.

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

    /// The most tokens of one kind that are believed: twice the largest context window on sale.
    public static let most: Int64 = 20_000_000

    /// False for figures that cannot be: negative ones, or more than any model takes.
    public var isPlausible: Bool {
        [inputTokens, outputTokens, cacheReadTokens, cacheWriteTokens, reasoningTokens ?? 0]
            .allSatisfy { (0...Usage.most).contains($0) }
    }
}
