// Who asks, and whether it may: decided from the snapshot alone.
import Core
import Policy
import Wire

/// Who asks, and for what: a key that may name the route.
struct Caller {
    let grant: KeyGrant
    let route: ActiveRoute

    fileprivate init(_ grant: KeyGrant, _ route: ActiveRoute) { (self.grant, self.route) = (grant, route) }
}

extension Pipeline {
    /// Finds the key's rights and the route. A key that lost its rights since the connection began is refused here.
    static func authenticate(_ exchange: Exchange) throws(Refusal) -> Caller {
        if let problem = exchange.head.problem { throw .invalid(problem) }
        // A number that is not in the connection's table, which has only what the key might name, says nothing about models.
        guard exchange.head.modelID == 0 else { throw .unknownModelNumber(exchange.head.modelID) }
        let grant: KeyGrant
        do throws(KeyRefusal) {
            // The rights of this moment, also when the request came a moment before they changed.
            grant = try exchange.session.grant()
            exchange.grant = grant
            // The key's rights first: who may not name a model does not learn whether there is one.
            let route = exchange.gateway.snapshot.route(alias: exchange.head.model)
            if let refusal = grant.refusal(of: exchange.question(model: route?.name ?? exchange.head.model)) {
                throw refusal
            }
            exchange.route = route
        } catch {
            throw .forbidden(error)
        }
        guard let route = exchange.route else { throw .unknownModel(exchange.head.model) }
        guard exchange.head.operation == .chat else { throw .unsupported(exchange.head.operation) }
        guard !exchange.gateway.isDrained else { throw .draining }
        return Caller(grant, route)
    }
}

extension Exchange {
    /// What the request wants, as its key's rights see it.
    func question(model: String) -> KeyQuestion {
        let operation: KeyOperation =
            switch head.operation {
            case .chat: .chat
            case .embeddings: .embeddings
            }
        return KeyQuestion(
            model: model, operation: operation, feature: head.feature, priority: priorityClass,
            usesPassthrough: body.usesPassthrough)
    }

    /// Its class, as keys and queues see it.
    var priorityClass: PriorityClass {
        switch head.priority {
        case .interactive: .interactive
        case .background: .background
        case .batch: .batch
        }
    }

    /// The key's rights changed: a request that they no longer cover ends here; limits count from the next request on.
    func review(_ grant: KeyGrant) {
        guard let route, let refusal = grant.refusal(of: question(model: route.name)) else { return }
        stop(.forbidden(refusal))
    }
}
