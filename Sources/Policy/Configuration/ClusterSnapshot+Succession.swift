// Whether a configuration may follow another: a broken file or a broken coordinator must not end a cluster's service.

extension ClusterSnapshot {
    /// Why this snapshot must not replace `current`: it would take more than half of the routes away, and nobody confirmed
    /// that exactly so many are to be left.
    public func suspicion(replacing current: ClusterSnapshot) -> String? {
        guard !current.routes.isEmpty, confirmedRouteCount != routes.count else { return nil }
        let kept = current.routes.keys.filter { routes[$0] != nil }.count
        guard kept * 2 < current.routes.count else { return nil }
        return "it keeps only \(kept) of \(current.routes.count) routes"
    }

    /// Why this snapshot must not follow what is published, in words for the operator; nil when it may, and then it carries the
    /// confirmation that nodes ask for.
    ///
    /// Once a removal was confirmed, each later snapshot carries its own count: it follows from a confirmed one step by step, so
    /// that also a node which was away all the time takes it.
    public mutating func follow(_ current: ClusterSnapshot, confirming count: Int?) -> String? {
        if let count, count != routes.count {
            return "\(count) routes were confirmed to be left, but the file has \(routes.count)"
        }
        confirmedRouteCount = count
        if let suspicion = suspicion(replacing: current) {
            return "\(suspicion); if that is meant: sluice apply --confirm-routes \(routes.count)"
        }
        if current.confirmedRouteCount != nil { confirmedRouteCount = routes.count }
        return nil
    }
}
