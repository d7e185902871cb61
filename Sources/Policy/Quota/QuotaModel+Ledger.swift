// The ledger in the model: one record an attempt and its sums, written with the settlement or not at all.
import Core

extension QuotaModel {
    /// The records and sums of one org.
    struct Ledger: Sendable {
        var records: [LedgerRecord] = []
        var rollups: [Int64: [UsagePlace: UsageSums]] = [:]
        /// Places of an hour's teams beyond those that all share.
        var extra: [Int64: [String: Int]] = [:]
    }

    /// Writes the attempts of a request.
    mutating func book(_ attempts: [LedgerEntry], of id: Identifier128, _ tenant: Tenant, at now: Int64) {
        for entry in attempts {
            ledgers[tenant.org, default: Ledger()].records.append(
                LedgerRecord(atMicroseconds: now, id: id, tenant: tenant, entry: entry))
            let hour = now / 3_600_000_000
            var sums = ledgers[tenant.org]?.rollups[hour] ?? [:]
            var place = UsagePlace(entry, of: tenant)
            if sums[place] == nil, sums.count >= UsagePlace.placeLimit {
                let own = ledgers[tenant.org]?.extra[hour]?[place.team] ?? 0
                if own < UsagePlace.teamLimit {
                    ledgers[tenant.org]?.extra[hour, default: [:]][place.team] = own + 1
                } else {
                    place = place.shared
                }
            }
            sums[place, default: UsageSums()].add(entry)
            ledgers[tenant.org]?.rollups[hour] = sums
        }
    }

    /// What was written for an org, in the order of the settlements.
    public func ledgerRecords(of org: String) -> [LedgerRecord] { ledgers[org]?.records ?? [] }

    /// Sums of an org by hour since the Unix epoch and place.
    public func rollups(of org: String) -> [Int64: [UsagePlace: UsageSums]] { ledgers[org]?.rollups ?? [:] }
}
