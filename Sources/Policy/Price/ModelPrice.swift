// What tokens cost: integer pico-USD a token, so that no rate is rounded; one rounding a request.
import Core

/// What one model's tokens cost, in pico-USD (10⁻¹²) a token: 1 USD per million tokens is 1,000,000 of them.
public struct ModelPrice: Sendable, Hashable {
    /// What each kind of token costs.
    public struct Rates: Sendable, Hashable {
        /// A prompt token that was not cached.
        public var input: Int64
        /// A token of the answer that the reader sees.
        public var output: Int64
        /// A prompt token read from the provider's cache.
        public var cachedInput: Int64
        /// A prompt token written to the provider's cache.
        public var cacheWrite: Int64
        /// A token of the answer that was thinking.
        public var reasoning: Int64

        /// Rates; a missing rate for cached or written tokens is the input rate, one for reasoning the output rate.
        public init(
            input: Int64, output: Int64, cachedInput: Int64? = nil, cacheWrite: Int64? = nil, reasoning: Int64? = nil
        ) {
            self.input = input
            self.output = output
            self.cachedInput = cachedInput ?? input
            self.cacheWrite = cacheWrite ?? input
            self.reasoning = reasoning ?? output
        }
    }

    /// Rates of a request whose whole prompt is longer than a threshold; they hold for all of its tokens.
    public struct LongPrompt: Sendable, Hashable {
        /// The longest prompt, in tokens, that still has the usual rates.
        public var threshold: Int64
        /// What tokens cost above it.
        public var rates: Rates

        /// Rates above a threshold.
        public init(threshold: Int64, rates: Rates) {
            self.threshold = threshold
            self.rates = rates
        }
    }

    /// What tokens usually cost.
    public var rates: Rates
    /// Other rates for long prompts, when the model has them.
    public var longPrompt: LongPrompt?

    /// Prices of one model.
    public init(_ rates: Rates, longPrompt: LongPrompt? = nil) {
        self.rates = rates
        self.longPrompt = longPrompt
    }

    /// The highest price of an input token that is believed: 200 USD per million. Lists hold entries that are wrong by orders
    /// of magnitude.
    public static let believableInput: Int64 = 200_000_000
    /// The highest price of an output token that is believed: 1,000 USD per million.
    public static let believableOutput: Int64 = 1_000_000_000

    /// Micro-USD of a request, rounded half to even once.
    public func cost(of tokens: TokenCounts) -> MicroUSD {
        let used = tokens.consistent
        var rates = self.rates
        if let longPrompt, used.input > longPrompt.threshold { rates = longPrompt.rates }
        let prompt =
            Int128(used.input - used.cached - used.cacheWrite) * Int128(rates.input)
            + Int128(used.cached) * Int128(rates.cachedInput) + Int128(used.cacheWrite) * Int128(rates.cacheWrite)
        let answer =
            Int128(used.output - used.reasoning) * Int128(rates.output)
            + Int128(used.reasoning) * Int128(rates.reasoning)
        let (quotient, remainder) = (prompt + answer).quotientAndRemainder(dividingBy: 1_000_000)
        let isUp = remainder > 500_000 || (remainder == 500_000 && quotient % 2 == 1)
        return MicroUSD(Int64(clamping: isUp ? quotient + 1 : quotient))
    }
}
