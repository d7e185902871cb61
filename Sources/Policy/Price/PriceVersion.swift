// Names a set of prices by its content, so that a bill can always be traced to the rates it was made with.

/// 64 bits that identify the content of a set of prices: equal prices have equal versions, whoever computes them.
public struct PriceVersion: Hashable, Sendable, CustomStringConvertible {
    /// The bits.
    public let number: UInt64

    /// A version that was written down.
    public init(_ number: UInt64) { self.number = number }

    /// The version of these prices: FNV-1a over one line a model, in the order of the models' bytes.
    ///
    /// It tells versions apart and is no proof against forgery: prices come from coordinators that nodes have authenticated.
    public init(of prices: [String: ModelPrice]) {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for (model, price) in prices.sorted(by: { $0.key.utf8.lexicographicallyPrecedes($1.key.utf8) }) {
            var line = "\(model) \(PriceVersion.words(price.rates))"
            if let long = price.longPrompt { line += " \(long.threshold) \(PriceVersion.words(long.rates))" }
            for byte in (line + "\n").utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        }
        number = hash
    }

    private static func words(_ rates: ModelPrice.Rates) -> String {
        "\(rates.input) \(rates.output) \(rates.cachedInput) \(rates.cacheWrite) \(rates.reasoning)"
    }

    /// Sixteen hexadecimal digits.
    public var description: String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}
