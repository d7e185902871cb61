// What of the body counts before quota is taken: how many answers it asks for, and what it adds for a provider.
import Core
import Policy
import Providers
import Wire

extension Pipeline {
    /// Looks through the body when it is whole: mostly before anything is reserved, a large one before anything is sent.
    static func outline(_ exchange: Exchange) throws(Refusal) {
        guard exchange.isBodyComplete, !exchange.isOutlined else { return }
        exchange.isOutlined = true
        let whole = exchange.body.slice
        let outline = exchange.body.withBytes(of: whole) { ChatBodyOutline($0) }
        exchange.choices = Int64(outline.choices)
        if outline.hasPassthrough { try checkPassthrough(exchange) }
    }

    @inline(never)
    private static func checkPassthrough(_ exchange: Exchange) throws(Refusal) {
        exchange.usesPassthrough = true
        let question = exchange.question(model: exchange.alias)
        if let refusal = exchange.grant?.refusal(of: question) { throw .forbidden(refusal) }
        let providers = exchange.gateway.snapshot.cluster.providers
        let whole = exchange.body.slice
        var failure: BodyError?
        exchange.body.withBytes(of: whole) { bytes in
            do throws(BodyError) {
                try OpenAIChatRequest.checkPassthrough(bytes) { providers[$0]?.passthrough }
            } catch { failure = error }
        }
        if let failure { throw .body(failure) }
    }

    /// The whole of a large body asks for more answers than were reserved for: before it is sent quota must cover all of them.
    static func reserveChoices(_ exchange: Exchange) async throws(Refusal) {
        let whole = wholeUse(exchange)
        exchange.startCover(whole)
        let isCovered = await exchange.covered()
        try exchange.checkGoesOn()
        guard isCovered else {
            if case .missing(let denial?) = exchange.cover { throw .overLimit(denial) }
            throw .stateUnavailable
        }
        exchange.coversAll(whole)
    }

    /// What all of its answers will probably use.
    @inline(never)
    private static func wholeUse(_ exchange: Exchange) -> QuotaUse {
        guard let one = exchange.estimate, let grant = exchange.grant, let route = exchange.route else {
            preconditionFailure("a request has its reservation before its body is whole")
        }
        let output = one.outputTokens / exchange.reservedChoices * exchange.choices
        watch(exchange, output: output)
        return use(exchange, route, grant, input: one.inputTokens, output: output)
    }
}
