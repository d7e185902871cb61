// A price list in CSV: a heading line that names the columns, one model a line, USD per million tokens.
import Core

/// Reads price lists. Columns may stand in any order; those that are not known here are skipped.
///
/// | Column | Meaning |
/// |---|---|
/// | `model` | the model as targets name it |
/// | `mode` | `embedding` and `rerank` models have no output price; without the column every model needs one |
/// | `input_usd_per_mtok`, `output_usd_per_mtok` | needed; a model without them, or with 0 for both, has no known price |
/// | `cached_input_usd_per_mtok`, `cache_write_usd_per_mtok` | empty: as `input`; 0 is a price |
/// | `reasoning_usd_per_mtok` | empty: as `output` |
/// | `tier_threshold_tokens`, `input_above_usd_per_mtok`, … | rates of prompts longer than the threshold |
public enum PriceList {
    /// All models of the list whose price is known, and the lines that cannot be believed or understood.
    public static func parse(
        _ text: String, file: String
    ) -> (prices: [String: ModelPrice], problems: [ConfigurationProblem]) {
        var reader = PriceListReader(file: file)
        var number = 0
        // Bytes, not characters: CR LF is one character.
        for line in text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false) {
            number += 1
            let content = line.last == UInt8(ascii: "\r") ? line.dropLast() : line
            if !content.isEmpty { reader.read(String(Substring(content)), number) }
        }
        if !reader.hasHeading { reader.report(1, "expected a heading line with the names of the columns") }
        return (reader.prices, reader.problems)
    }
}

private struct PriceListReader {
    let file: String
    private(set) var prices: [String: ModelPrice] = [:]
    private(set) var problems: [ConfigurationProblem] = []
    private(set) var hasHeading = false
    private var columns: [String: Int] = [:]
    private var columnCount = 0

    init(file: String) { self.file = file }

    mutating func report(_ line: Int, _ message: String) {
        problems.append(ConfigurationProblem(file: file, line: line, column: 1, message: message))
    }

    mutating func read(_ line: String, _ number: Int) {
        let cells = line.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        guard hasHeading else { return heading(cells, number) }
        guard !columns.isEmpty else { return }
        guard cells.count == columnCount else {
            return report(number, "expected \(columnCount) cells, found \(cells.count)")
        }
        do {
            guard let (model, price) = try price(cells) else { return }
            guard prices.updateValue(price, forKey: model) == nil else {
                return report(number, "'\(model)' stands twice")
            }
        } catch {
            report(number, error.message)
        }
    }

    private mutating func heading(_ cells: [String], _ number: Int) {
        hasHeading = true
        columnCount = cells.count
        let needed = ["model", "input_usd_per_mtok", "output_usd_per_mtok"]
        guard needed.allSatisfy(cells.contains) else {
            return report(number, "expected the columns \(needed.joined(separator: ", "))")
        }
        columns = Dictionary(cells.enumerated().map { ($1, $0) }, uniquingKeysWith: { first, _ in first })
    }

    /// The price of a line; nil when the list does not know it. A model without a price is unknown, never free.
    private func price(_ cells: [String]) throws(ValueProblem) -> (String, ModelPrice)? {
        func cell(_ column: String) -> String { columns[column].map { cells[$0] } ?? "" }
        func rate(_ column: String, believable: Int64) throws(ValueProblem) -> Int64? {
            let text = cell(column)
            guard !text.isEmpty else { return nil }
            guard let rate = ConfigurationValue.decimal(text, scale: 6) else {
                throw ValueProblem("expected dollars with at most 6 decimals in \(column), found '\(text)'")
            }
            guard rate <= believable else {
                throw ValueProblem("\(text) dollars per million tokens in \(column) cannot be believed")
            }
            return rate
        }
        let inputs = ModelPrice.believableInput
        let outputs = ModelPrice.believableOutput
        let hasNoOutput = ["embedding", "rerank"].contains(cell("mode"))
        guard let input = try rate("input_usd_per_mtok", believable: inputs),
            let output = try rate("output_usd_per_mtok", believable: outputs) ?? (hasNoOutput ? 0 : nil),
            input > 0 || output > 0
        else { return nil }
        var price = ModelPrice(
            .init(
                input: input, output: output, cachedInput: try rate("cached_input_usd_per_mtok", believable: inputs),
                cacheWrite: try rate("cache_write_usd_per_mtok", believable: inputs),
                reasoning: try rate("reasoning_usd_per_mtok", believable: outputs)))
        let threshold = cell("tier_threshold_tokens")
        guard !threshold.isEmpty else { return (cell("model"), price) }
        guard let tokens = ConfigurationValue.decimal(threshold, scale: 0), tokens > 0 else {
            throw ValueProblem("expected a number of tokens in tier_threshold_tokens, found '\(threshold)'")
        }
        price.longPrompt = ModelPrice.LongPrompt(
            threshold: tokens,
            rates: .init(
                input: try rate("input_above_usd_per_mtok", believable: inputs) ?? input,
                output: try rate("output_above_usd_per_mtok", believable: outputs) ?? output,
                cachedInput: try rate("cached_input_above_usd_per_mtok", believable: inputs),
                cacheWrite: try rate("cache_write_above_usd_per_mtok", believable: inputs),
                reasoning: try rate("reasoning_above_usd_per_mtok", believable: outputs)))
        return (cell("model"), price)
    }
}
