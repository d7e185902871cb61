// Who asks, and whether it may: decided from the snapshot alone.
import Core
import Policy
import Wire

extension Pipeline {
    /// Finds the key's rights and the route. A key that was revoked or expired since the connection began is refused here.
    static func authenticate(_ exchange: Exchange) throws(Refusal) {
        let snapshot = exchange.snapshot
        guard let grant = exchange.session.grant(in: snapshot) else {
            throw .forbidden("the API key is revoked, expired or unknown")
        }
        exchange.grant = grant
        guard let route = snapshot.route(alias: exchange.head.model, number: exchange.head.modelID) else {
            throw .unknownModel(exchange.head.model)
        }
        exchange.route = route
        guard grant.record.allows(model: route.name) else {
            throw .forbidden("this API key may not use '\(route.name)'")
        }
        guard exchange.head.operation == .chat else { throw .unsupported(exchange.head.operation) }
        guard !exchange.gateway.isDrained else { throw .draining }
    }
}
