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
        if exchange.watch?.mustWait == true { exchange.pause() }
        gateway.quota.extend(ExtendCall(of: reservation, to: estimate)) { result in
            if case .success(.denied(let denial)) = result {
                gateway.metrics.extensionsDenied.add()
                return exchange.stop(.overLimit(denial))
            }
            // Granted; or Redis is away, or has forgotten the request: an admitted stream goes on, and its settlement books all of it.
            exchange.watch?.mayGoOn()
            exchange.resume()
        }
    }
}
