// What a request will probably use: the reservation is learned from real answers, never a constant.
import Core

/// Learns, for one lane, how many body bytes make an input token of each model, and how long answers are for each model and feature.
///
/// A class, because every request asks it twice, and what it knows is in five collections.
public final class TokenEstimates {
    private struct Place: Hashable {
        let model: String
        let feature: String
    }

    /// Places in `learned` and `outputs`.
    private var models: [String: Int] = [:]
    private var features: [Place: Int] = [:]
    private var learned: [(ratio: BytesPerToken, output: HighOutput)] = []
    private var outputs: [HighOutput] = []
    /// Where the last answer was noted: mostly also the next request's places.
    private var latest: (place: Place, model: Int, feature: Int)?

    /// Models and features that are told apart, since clients name features: at about 100 B each. Beyond, a feature is taken
    /// for its model's average, and a model for an average model.
    public static let placeLimit = 4_096

    /// Nothing learned yet.
    public init() {}

    /// Input tokens of a body of this many bytes; at least one.
    public func inputTokens(model: String, bodyBytes: Int) -> Int64 {
        (index(of: model).map { learned[$0].ratio } ?? BytesPerToken()).tokens(bodyBytes)
    }

    /// Output tokens to reserve, clamped by what the request may use.
    public func outputTokens(model: String, feature: String, limit: Int64) -> Int64 {
        let high =
            index(of: Place(model: model, feature: feature)).map { outputs[$0] }
            ?? index(of: model).map { learned[$0].output } ?? HighOutput()
        return high.tokens(limit: limit)
    }

    /// Learns from a real answer: its body's bytes and the tokens that the provider counted.
    public func observe(
        model: String, feature: String, bodyBytes: Int, inputTokens: Int64, outputTokens: Int64
    ) {
        let place = Place(model: model, feature: feature)
        var (ofModel, ofFeature) = (index(of: model), index(of: place))
        if ofModel == nil, learned.count < TokenEstimates.placeLimit {
            ofModel = learned.count
            models[model] = learned.count
            learned.append((BytesPerToken(), HighOutput()))
        }
        if let ofModel {
            learned[ofModel].ratio.observe(bodyBytes, inputTokens)
            learned[ofModel].output.observe(outputTokens)
            if ofFeature == nil, outputs.count < TokenEstimates.placeLimit {
                // A new feature begins with what is known of its model.
                ofFeature = outputs.count
                features[place] = outputs.count
                outputs.append(learned[ofModel].output)
            }
        }
        if let ofFeature { outputs[ofFeature].observe(outputTokens) }
        if let ofModel, let ofFeature { latest = (place, ofModel, ofFeature) }
    }

    private func index(of model: String) -> Int? {
        if let latest, latest.place.model == model { return latest.model }
        return models[model]
    }

    private func index(of place: Place) -> Int? {
        if let latest, latest.place == place { return latest.feature }
        return features[place]
    }
}

/// The ratio of body bytes to input tokens of one model, as a moving average.
struct BytesPerToken: Sendable {
    /// Four is usual for English text.
    private var ratio = 4.0

    func tokens(_ bodyBytes: Int) -> Int64 { max(1, Int64((Double(bodyBytes) / ratio).rounded(.up))) }

    mutating func observe(_ bodyBytes: Int, _ inputTokens: Int64) {
        guard inputTokens > 0, bodyBytes > 0 else { return }
        ratio += (min(16, max(0.5, Double(bodyBytes) / Double(inputTokens))) - ratio) * 0.05
    }
}

/// The number of output tokens that nine of ten answers did not exceed so far.
///
/// It moves by steps in proportion to itself (stochastic approximation): up by 90 % of a step, down by 10 %, so that it rests where
/// one of ten answers lies above.
struct HighOutput: Sendable {
    private var high = 256.0
    private static let quantile = 0.9

    func tokens(limit: Int64) -> Int64 { min(max(1, Int64(high.rounded(.up))), max(1, limit)) }

    mutating func observe(_ outputTokens: Int64) {
        let step = max(1, high * 0.05)
        high = max(1, high + step * (Double(outputTokens) > high ? HighOutput.quantile : HighOutput.quantile - 1))
    }
}
