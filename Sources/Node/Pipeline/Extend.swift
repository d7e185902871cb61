// A stream that grows beyond its reservation asks for more while it runs, and ends where a limit has no room.
import Core
import Policy
import Store
import Telemetry

extension Pipeline {
    /// Follows what the watch of a stream wants.
    static func extend(_ exchange: Exchange, _ step: OutputWatch.Step) {
        switch step {
        case .goOn: break
        case .wait: exchange.pause()
        case .ask(let outputTokens): ask(exchange, outputTokens)
        }
    }

    private static func ask(_ exchange: Exchange, _ outputTokens: Int64) {
        guard let reservation = exchange.reservation else { return }
        let input = reservation.estimate.inputTokens
        let cost = exchange.price?.cost(of: TokenCounts(input: input, output: outputTokens))
        let estimate = QuotaUse(inputTokens: input, outputTokens: outputTokens, microUSD: cost?.amount ?? 0)
        let gateway = exchange.gateway
        gateway.metrics.extensions.add()
        if var lease = exchange.lease {
            exchange.lease = nil
            let hasRoom = gateway.leases.grow(&lease, to: estimate)
            exchange.lease = lease
            return hasRoom ? goOn(exchange) : leaveBlock(exchange, reservation, estimate)
        }
        if exchange.watch?.mustWait == true { exchange.pause() }
        gateway.quota.extend(ExtendCall(of: reservation, to: estimate)) { result in
            if case .success(.denied(let denial)) = result {
                gateway.metrics.extensionsDenied.add()
                return exchange.stop(.overLimit(denial))
            }
            goOn(exchange)
        }
    }

    /// Its block has no room: the whole of it is reserved by itself, and the block has back what it gave.
    private static func leaveBlock(_ exchange: Exchange, _ reservation: ReserveCall, _ estimate: QuotaUse) {
        let gateway = exchange.gateway
        if exchange.watch?.mustWait == true { exchange.pause() }
        let call = ReserveCall(
            id: reservation.id, tenant: reservation.tenant, estimate: estimate,
            holdMilliseconds: reservation.holdMilliseconds, limits: reservation.limits)
        guard var lease = exchange.lease else { return }
        gateway.leases.leave(&lease)
        exchange.lease = lease
        let block = lease.block
        gateway.quota.reserve(call) { result in
            defer { gateway.leases.left(block) }
            switch result {
            case .success(.denied(let denial)):
                gateway.metrics.extensionsDenied.add()
                return exchange.stop(.overLimit(denial))
            case .success(.granted), .success(.repeated):
                // It may have ended meanwhile, on its block: then this reservation is given back.
                guard exchange.lease != nil else { return gateway.settlements.settle(.release(of: call)) {} }
                exchange.leaveBlock(call)
            case .success(.duplicate), .failure: break
            }
            goOn(exchange)
        }
    }

    /// More is reserved. Or Redis is away, or has forgotten the request: an admitted stream goes on, and its settlement books all of it.
    private static func goOn(_ exchange: Exchange) {
        exchange.watch?.mayGoOn()
        exchange.resume()
    }
}
