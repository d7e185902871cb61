// LLM tokens of one attempt, by the kinds that have prices of their own.

/// LLM tokens by kind. `input` and `output` are totals, the others parts of them.
public struct TokenCounts: Hashable, Sendable {
    /// The whole prompt.
    public var input: Int64
    /// Prompt tokens that the provider read from its cache.
    public var cached: Int64
    /// Prompt tokens that the provider wrote to its cache.
    public var cacheWrite: Int64
    /// The whole answer.
    public var output: Int64
    /// Tokens of the answer that were thinking.
    public var reasoning: Int64

    /// Counts by kind.
    public init(input: Int64 = 0, cached: Int64 = 0, cacheWrite: Int64 = 0, output: Int64 = 0, reasoning: Int64 = 0) {
        self.input = input
        self.cached = cached
        self.cacheWrite = cacheWrite
        self.output = output
        self.reasoning = reasoning
    }

    /// The same with negative counts as 0 and no part larger than its total: what a provider got wrong must cost no more.
    public var consistent: TokenCounts {
        let (prompt, answer) = (max(0, input), max(0, output))
        let read = min(max(0, cached), prompt)
        return TokenCounts(
            input: prompt, cached: read, cacheWrite: min(max(0, cacheWrite), prompt - read), output: answer,
            reasoning: min(max(0, reasoning), answer))
    }
}
