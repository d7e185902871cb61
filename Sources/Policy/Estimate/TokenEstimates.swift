// What a request will probably use: the reservation is learned from real answers, never a constant.
import Core

/// Learns, for one lane and each org apart, how many body bytes make an input token of each model, and how long answers are for each model and
/// feature: what one org's clients do says nothing about another's reservations.
///
/// A class, because every request asks it twice, and what it knows is in several collections.
public final class TokenEstimates {
    private struct TenantModel: Hashable {
        let org: String
        let model: String
    }

    private struct Place: Hashable {
        let org: String
        let model: String
        let feature: String
    }

    private struct Learned {
        var ratio = BytesPerToken()
        var output = HighOutput()
    }

    /// Where an org that is new to a model begins; a feature that is new begins with its org's answers of the model.
    private var models = RecentlyUsed<String, Learned>(limit: TokenEstimates.placeLimit)
    private var tenants = RecentlyUsed<TenantModel, Learned>(limit: TokenEstimates.placeLimit)
    private var features = RecentlyUsed<Place, HighOutput>(limit: TokenEstimates.placeLimit)

    /// Models, orgs' models and their features that are known at once, each: at about 200 B. Clients name features, so the one that was not used for
    /// the longest time is forgotten first.
    public static let placeLimit = 4_096

    /// Nothing learned yet.
    public init() {}

    /// Input tokens of a body of this many bytes; at least one.
    public func inputTokens(org: String, model: String, bodyBytes: Int) -> Int64 {
        learned(org, model).ratio.tokens(bodyBytes)
    }

    /// Output tokens to reserve for one answer, clamped by what the request may use.
    public func outputTokens(org: String, model: String, feature: String, limit: Int64) -> Int64 {
        let high = features.use(Place(org: org, model: model, feature: feature)) ?? learned(org, model).output
        return high.tokens(limit: limit)
    }

    /// Learns from a real answer: its body's bytes and the tokens that the provider counted, the output of one answer.
    public func observe(
        org: String, model: String, feature: String, bodyBytes: Int, inputTokens: Int64, outputTokens: Int64
    ) {
        let tenant = TenantModel(org: org, model: model)
        var own = learned(org, model)
        own.ratio.observe(bodyBytes, inputTokens)
        let place = Place(org: org, model: model, feature: feature)
        var high = features.use(place) ?? own.output
        own.output.observe(outputTokens)
        high.observe(outputTokens)
        var all = models.use(model) ?? Learned()
        all.ratio.observe(bodyBytes, inputTokens)
        all.output.observe(outputTokens)
        tenants.set(own, for: tenant)
        features.set(high, for: place)
        models.set(all, for: model)
    }

    private func learned(_ org: String, _ model: String) -> Learned {
        tenants.use(TenantModel(org: org, model: model)) ?? models.use(model) ?? Learned()
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
