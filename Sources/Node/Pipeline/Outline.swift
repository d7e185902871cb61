// What of the body counts before quota is taken: how many answers it asks for, and what it adds for a provider.
import Core
import Policy
import Providers
import Wire

extension Pipeline {
    /// Looks through the body when it is whole: mostly before anything is reserved, a large one before anything is sent.
    static func outline(_ exchange: Exchange, _ caller: Caller) throws(Refusal) {
        if exchange.body.outline(), exchange.body.usesPassthrough { try checkPassthrough(exchange, caller) }
    }

    @inline(never)
    private static func checkPassthrough(_ exchange: Exchange, _ caller: Caller) throws(Refusal) {
        let question = exchange.question(model: caller.route.name)
        if let refusal = caller.grant.refusal(of: question) { throw .forbidden(refusal) }
        let providers = exchange.gateway.snapshot.cluster.providers
        let whole = exchange.body.bytes.slice
        var failure: BodyError?
        exchange.body.bytes.withBytes(of: whole) { bytes in
            do throws(BodyError) {
                try Passthrough.check(bytes) { providers[$0] }
            } catch { failure = error }
        }
        if let failure { throw .body(failure) }
    }
}
