// The request goes to a provider, and its answer streams back.
import Core
import Policy
import Providers
import Wire

extension Pipeline {
    /// Renders the request, calls the target, waits for the end of the answer.
    static func forward(_ exchange: Exchange) async throws(Refusal) {
        try send(exchange)
        await exchange.callEnded()
        try exchange.checkGoesOn()
        if let failure = exchange.outcome?.failure { throw .upstream(failure) }
    }

    /// Renders and sends. Not inlined, for the sake of the waiting frame.
    @inline(never)
    private static func send(_ exchange: Exchange) throws(Refusal) {
        guard let choice = exchange.target, let route = exchange.route else {
            preconditionFailure("a request has its target before it is forwarded")
        }
        guard let target = exchange.gateway.target(choice.provider) else {
            throw .noRoute("the provider '\(choice.provider)' cannot be used by this node")
        }
        // The provider is held to what the reservation assumed, also when the client named no limit.
        let most = UInt32(clamping: route.maximumOutputTokens)
        let asked = exchange.head.maxOutputTokens
        let request = OpenAIChatRequest(
            model: choice.model, isStream: exchange.head.flags.contains(.stream),
            maximumOutputTokens: asked == 0 ? most : min(asked, most),
            usesLegacyLimitField: target.record.usesLegacyLimitField, provider: choice.provider)
        var json = ByteBuffer(capacity: exchange.body.count + 512)
        do throws(BodyError) {
            try exchange.writeRequest(request, into: &json)
        } catch {
            throw .body(error)
        }
        exchange.body.removeAll()
        exchange.body.releaseIfEmpty()
        exchange.startCall(target, &json)
    }
}
