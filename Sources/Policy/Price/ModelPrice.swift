// What tokens cost: integer pico-USD a token, so that no rate is rounded; one rounding a request.
import Core

/// What one model's tokens cost, in pico-USD (10⁻¹²) a token: 1 USD per million tokens is 1,000,000 of them.
public struct ModelPrice: Sendable, Equatable {
    /// A prompt token that was not cached.
    public var input: Int64
    /// A token of the answer, reasoning included.
    public var output: Int64
    /// A prompt token read from the provider's cache.
    public var cachedInput: Int64
    /// A prompt token written to the provider's cache.
    public var cacheWrite: Int64
    /// Other rates for long prompts, when the model has them.
    public var longPrompt: LongPrompt?

    /// Rates of a request whose whole prompt is longer than a threshold; they hold for all of its tokens.
    public struct LongPrompt: Sendable, Equatable {
        /// The longest prompt, in tokens, that still has the usual rates.
        public var threshold: Int64
        /// A prompt token that was not cached, or was written to the cache.
        public var input: Int64
        /// A token of the answer.
        public var output: Int64
        /// A prompt token read from the provider's cache.
        public var cachedInput: Int64

        /// Rates above a threshold; a missing rate for cached tokens is the input rate.
        public init(threshold: Int64, input: Int64, output: Int64, cachedInput: Int64? = nil) {
            self.threshold = threshold
            self.input = input
            self.output = output
            self.cachedInput = cachedInput ?? input
        }
    }

    /// Prices; a missing rate for cached or written tokens is the input rate.
    public init(
        input: Int64, output: Int64, cachedInput: Int64? = nil, cacheWrite: Int64? = nil, longPrompt: LongPrompt? = nil
    ) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput ?? input
        self.cacheWrite = cacheWrite ?? input
        self.longPrompt = longPrompt
    }

    /// The highest price of an input token that is believed: 200 USD per million. Lists hold entries that are wrong by orders
    /// of magnitude.
    public static let believableInput: Int64 = 200_000_000
    /// The highest price of an output token that is believed: 1,000 USD per million.
    public static let believableOutput: Int64 = 1_000_000_000

    /// Micro-USD of a request, rounded half to even once. Cached and written tokens are part of `inputTokens`.
    public func cost(
        inputTokens: Int64, outputTokens: Int64, cachedTokens: Int64 = 0, cacheWriteTokens: Int64 = 0
    ) -> MicroUSD {
        let prompt = max(0, inputTokens)
        let cached = min(max(0, cachedTokens), prompt)
        let written = min(max(0, cacheWriteTokens), prompt - cached)
        var rates = self
        if let long = longPrompt, prompt > long.threshold {
            rates = ModelPrice(input: long.input, output: long.output, cachedInput: long.cachedInput)
        }
        let pico =
            Int128(prompt - cached - written) * Int128(rates.input) + Int128(cached) * Int128(rates.cachedInput)
            + Int128(written) * Int128(rates.cacheWrite) + Int128(max(0, outputTokens)) * Int128(rates.output)
        let (quotient, remainder) = pico.quotientAndRemainder(dividingBy: 1_000_000)
        let isUp = remainder > 500_000 || (remainder == 500_000 && quotient % 2 == 1)
        return MicroUSD(Int64(clamping: isUp ? quotient + 1 : quotient))
    }
}
