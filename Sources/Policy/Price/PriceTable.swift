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

    /// Prices; a missing rate for cached or written tokens is the input rate.
    public init(input: Int64, output: Int64, cachedInput: Int64? = nil, cacheWrite: Int64? = nil) {
        self.input = input
        self.output = output
        self.cachedInput = cachedInput ?? input
        self.cacheWrite = cacheWrite ?? input
    }

    /// The highest price that is believed: 200 USD per million tokens. Lists hold entries that are wrong by orders of magnitude.
    public static let believable: Int64 = 200_000_000

    /// Micro-USD of a request, rounded half to even once. Cached and written tokens are part of `inputTokens`.
    public func cost(inputTokens: Int64, outputTokens: Int64, cachedTokens: Int64 = 0, cacheWriteTokens: Int64 = 0)
        -> MicroUSD
    {
        let cached = min(max(0, cachedTokens), max(0, inputTokens))
        let written = min(max(0, cacheWriteTokens), max(0, inputTokens) - cached)
        let plain = max(0, inputTokens) - cached - written
        let pico =
            Int128(plain) * Int128(input) + Int128(cached) * Int128(cachedInput) + Int128(written) * Int128(cacheWrite)
            + Int128(max(0, outputTokens)) * Int128(output)
        let (quotient, remainder) = pico.quotientAndRemainder(dividingBy: 1_000_000)
        let rounded = remainder > 500_000 || (remainder == 500_000 && quotient % 2 == 1) ? quotient + 1 : quotient
        return MicroUSD(Int64(clamping: rounded))
    }
}

/// Reads the price list's format: a heading line that names the columns, one model a line, USD per million tokens.
public enum PriceList {
    /// All models of the list that have both an input and an output price. Reports lines that cannot be believed.
    public static func parse(
        _ text: String, file: String
    ) -> (prices: [String: ModelPrice], problems: [ConfigurationProblem]) {
        let lines = text.split(separator: "\n").map { $0.hasSuffix("\r") ? $0.dropLast() : $0 }
        var problems: [ConfigurationProblem] = []
        func problem(_ line: Int, _ message: String) {
            problems.append(ConfigurationProblem(file: file, line: line, column: 1, message: message))
        }
        let columns = lines.first?.split(separator: ",", omittingEmptySubsequences: false).map(String.init) ?? []
        let wanted = [
            "model", "input_usd_per_mtok", "output_usd_per_mtok", "cached_input_usd_per_mtok",
            "cache_write_usd_per_mtok",
        ]
        let places = wanted.map { columns.firstIndex(of: $0) }
        guard let model = places[0], let input = places[1], let output = places[2] else {
            problem(1, "expected the columns \(wanted.joined(separator: ", "))")
            return ([:], problems)
        }
        var prices: [String: ModelPrice] = [:]
        for (number, line) in lines.enumerated().dropFirst() {
            let cells = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard cells.count == columns.count else {
                problem(number + 1, "expected \(columns.count) cells, found \(cells.count)")
                continue
            }
            func rate(_ place: Int?) -> Int64? {
                place.flatMap { cells[$0].isEmpty ? nil : ConfigurationValue.decimal(cells[$0], scale: 6) }
            }
            // A model without a price is unknown, never free.
            guard let inputRate = rate(input), let outputRate = rate(output) ?? (inputRate > 0 ? 0 : nil) else {
                continue
            }
            guard max(inputRate, outputRate) <= ModelPrice.believable * 5, inputRate <= ModelPrice.believable else {
                problem(number + 1, "the price of \(cells[model]) cannot be believed: over $200 a million input tokens")
                continue
            }
            prices[cells[model]] = ModelPrice(
                input: inputRate, output: outputRate, cachedInput: rate(places[3]), cacheWrite: rate(places[4]))
        }
        return (prices, problems)
    }
}
