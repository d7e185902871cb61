// A stream that grows beyond its reservation asks for more while it runs, and ends where a limit has no room.
import Core
import Policy
import Telemetry

extension Pipeline {
    /// Follows what the watch of a stream wants.
    static func extend(_ exchange: Exchange, _ held: Held, _ attempt: Attempt, _ step: OutputWatch.Step) {
        switch step {
        case .goOn: break
        case .wait: exchange.pause()
        case .ask(let outputTokens): ask(exchange, held, attempt, outputTokens)
        }
    }

    private static func ask(_ exchange: Exchange, _ held: Held, _ attempt: Attempt, _ outputTokens: Int64) {
        let input = held.estimate.inputTokens
        let cost = attempt.price?.cost(of: TokenCounts(input: input, output: outputTokens))
        var estimate = QuotaUse(inputTokens: input, outputTokens: outputTokens, microUSD: cost?.amount ?? 0)
        for entry in exchange.tries.earlier {
            estimate = QuotaUse(
                inputTokens: estimate.inputTokens + entry.tokens.input,
                outputTokens: estimate.outputTokens + entry.tokens.output,
                microUSD: estimate.microUSD + entry.microUSD)
        }
        exchange.gateway.metrics.extensions.add()
        let growth = exchange.grow(held, to: estimate)
        if case .done = growth { return goOn(exchange, held) }
        if held.watch?.mustWait == true { exchange.pause() }
        exchange.ask(held, growth) { grown in
            guard case .denied(let denial) = grown else { return goOn(exchange, held) }
            exchange.gateway.metrics.extensionsDenied.add()
            exchange.stop(.overLimit(denial))
        }
    }

    /// More is reserved. Or Redis is away, or has forgotten the request: an admitted stream goes on, and its settlement books all of it.
    private static func goOn(_ exchange: Exchange, _ held: Held) {
        held.watch?.mayGoOn()
        exchange.resume()
    }
}
