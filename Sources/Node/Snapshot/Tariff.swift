// What requests are billed with: the part of a snapshot that they keep until their end.
import Policy

/// Prices and the numbers of providers; the same object as in the snapshots before while nothing about them changes.
final class Tariff: Sendable {
    /// Prices by model.
    let prices: [String: ModelPrice]
    /// Names the prices.
    let version: PriceVersion
    /// Numbers of providers in END and ACCEPTED frames, from 1, in the order of their names.
    let providerNumbers: [String: UInt16]

    private init(_ cluster: ClusterSnapshot) {
        prices = cluster.prices
        version = cluster.priceVersion
        providerNumbers = Dictionary(
            uniqueKeysWithValues: cluster.providers.keys.sorted().enumerated().map { ($1, UInt16(clamping: $0 + 1)) })
    }

    /// The tariff of a cluster; that of `previous` where it is the same.
    static func of(_ cluster: ClusterSnapshot, previous: ActiveSnapshot?) -> Tariff {
        if let previous, previous.cluster.prices == cluster.prices,
            previous.cluster.providers.keys == cluster.providers.keys
        {
            return previous.tariff
        }
        return Tariff(cluster)
    }
}
