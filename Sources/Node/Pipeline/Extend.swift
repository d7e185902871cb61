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
        let input = exchange.estimate?.inputTokens ?? 0
        let cost = exchange.price?.cost(of: TokenCounts(input: input, output: outputTokens))
        var estimate = QuotaUse(inputTokens: input, outputTokens: outputTokens, microUSD: cost?.amount ?? 0)
        for entry in exchange.earlier {
            estimate = QuotaUse(
                inputTokens: estimate.inputTokens + entry.tokens.input,
                outputTokens: estimate.outputTokens + entry.tokens.output,
                microUSD: estimate.microUSD + entry.microUSD)
        }
        let gateway = exchange.gateway
        gateway.metrics.extensions.add()
        if var lease = exchange.lease {
            exchange.lease = nil
            let hasRoom = gateway.leases.grow(&lease, to: estimate)
            exchange.lease = lease
            if hasRoom { return goOn(exchange) }
            if exchange.watch?.mustWait == true { exchange.pause() }
            return leaveBlock(exchange, reservation, estimate) { result in
                guard case .success(.denied(let denial)) = result else { return goOn(exchange) }
                gateway.metrics.extensionsDenied.add()
                exchange.stop(.overLimit(denial))
            }
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

    /// Reserves `whole` before another attempt follows one that may be billed; the exchange hears whether there is room.
    static func cover(_ exchange: Exchange, _ whole: QuotaUse) {
        guard let reservation = exchange.reservation else { preconditionFailure("what is sent is reserved") }
        let gateway = exchange.gateway
        exchange.coverBegins()
        if var lease = exchange.lease {
            exchange.lease = nil
            let hasRoom = gateway.leases.grow(&lease, to: whole)
            exchange.lease = lease
            if hasRoom { return exchange.coverDecided(true) }
            return leaveBlock(exchange, reservation, whole) { result in
                switch result {
                case .success(.granted): exchange.coverDecided(true)
                case .success(.denied(let denial)): exchange.coverDecided(false, denial)
                case .success(.repeated), .success(.duplicate), .failure: exchange.coverDecided(false)
                }
            }
        }
        gateway.quota.extend(ExtendCall(of: reservation, to: whole)) { result in
            switch result {
            case .success(.granted): exchange.coverDecided(true)
            case .success(.denied(let denial)): exchange.coverDecided(false, denial)
            case .success(.settled), .success(.unknown), .failure: exchange.coverDecided(false)
            }
        }
    }

    /// Its block has no room: the whole of it is reserved by itself, and the block has back what it gave.
    private static func leaveBlock(
        _ exchange: Exchange, _ reservation: ReserveCall, _ estimate: QuotaUse,
        decided: @escaping (Result<ReserveReply, StoreError>) -> Void
    ) {
        let gateway = exchange.gateway
        let call = ReserveCall(
            id: reservation.id, claim: reservation.claim, tenant: reservation.tenant, estimate: estimate,
            holdMilliseconds: reservation.holdMilliseconds, limits: reservation.limits)
        guard var lease = exchange.lease else { preconditionFailure("only a request on a block leaves one") }
        gateway.leases.leave(&lease)
        exchange.lease = lease
        let block = lease.block
        gateway.quota.reserve(call) { result in
            defer { gateway.leases.left(block) }
            switch result {
            case .success(.granted), .success(.repeated):
                // It may have ended meanwhile, on its block: then this reservation is given back.
                guard exchange.lease != nil else { return gateway.settlements.settle(.leftOnBlock(call)) {} }
                exchange.leaveBlock(call)
            case .success(.denied), .success(.duplicate), .failure: break
            }
            decided(result)
        }
    }

    /// More is reserved. Or Redis is away, or has forgotten the request: an admitted stream goes on, and its settlement books all of it.
    private static func goOn(_ exchange: Exchange) {
        exchange.watch?.mayGoOn()
        exchange.resume()
    }
}
