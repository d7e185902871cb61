// What a request will probably use: the reservation is learned from real answers, never a constant.
import Core

/// Learns the ratio of body bytes to input tokens and a high quantile of output tokens for one model and feature.
public struct TokenEstimate: Sendable {
    /// Body bytes per input token, as a moving average; four is usual for English text.
    private var bytesPerToken = 4.0
    /// The value that nine of ten answers did not exceed so far.
    private var high = 256.0
    private static let quantile = 0.9

    /// An estimate before any answer was seen.
    public init() {}

    /// Input tokens of a body of this many bytes; at least one.
    public func inputTokens(bodyBytes: Int) -> Int64 { max(1, Int64((Double(bodyBytes) / bytesPerToken).rounded(.up))) }

    /// Output tokens to reserve, clamped by what the request may use.
    public func outputTokens(limit: Int64) -> Int64 { min(max(1, Int64(high.rounded(.up))), max(1, limit)) }

    /// Learns from a real answer. The quantile moves by steps in proportion to itself (stochastic approximation).
    public mutating func observe(bodyBytes: Int, inputTokens: Int64, outputTokens: Int64) {
        if inputTokens > 0, bodyBytes > 0 {
            let ratio = min(16, max(0.5, Double(bodyBytes) / Double(inputTokens)))
            bytesPerToken += (ratio - bytesPerToken) * 0.05
        }
        let step = max(1, high * 0.05)
        let isAbove = Double(outputTokens) > high
        high = max(1, high + step * (isAbove ? TokenEstimate.quantile : TokenEstimate.quantile - 1))
    }
}
