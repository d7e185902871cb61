// A large body comes only when its request has a slot; then it is whole, and quota covers what it turns out to ask for.
import Core
import Net
import Policy
import Providers
import Wire

/// A request that can be sent: quota is held, its target has a slot for it, and its body is whole.
struct Placed {
    let held: Held
    /// Its slot; another one where another target is asked.
    var seat: Seat

    fileprivate init(_ held: Held, _ seat: Seat) { (self.held, self.seat) = (held, seat) }
}

extension Pipeline {
    /// Asks for what is missing of the body and waits for it. Where it asks for more answers than are reserved for, those are reserved, too.
    @inline(never)
    static func wholeBody(_ exchange: Exchange, _ held: Held, _ seat: Seat) async throws(Refusal) -> Placed {
        if !exchange.body.isComplete, exchange.goesOn {
            try grant(exchange, held.caller)
            while !exchange.body.isComplete, exchange.goesOn { await exchange.latch.wait() }
        }
        try exchange.checkGoesOn()
        try outline(exchange, held.caller)
        if held.choices < exchange.body.choices {
            startChoices(exchange, held)
            let isCovered = await exchange.covered(held)
            try endChoices(exchange, held, isCovered)
        }
        return Placed(held, seat)
    }

    private static func grant(_ exchange: Exchange, _ caller: Caller) throws(Refusal) {
        try exchange.holdBody(exchange.body.rest(of: Int(exchange.head.bodyLength)), for: caller)
        exchange.downstream.grantBody()
    }

    /// Before the request is sent quota must cover all of its answers. Not inlined: keeps the suspended frame small.
    @inline(never)
    private static func startChoices(_ exchange: Exchange, _ held: Held) {
        exchange.startCover(held, all(exchange, held))
    }

    @inline(never)
    private static func endChoices(_ exchange: Exchange, _ held: Held, _ isCovered: Bool) throws(Refusal) {
        try exchange.checkGoesOn()
        guard isCovered else {
            if case .missing(let denial?) = held.cover { throw .overLimit(denial) }
            throw .stateUnavailable
        }
        let whole = all(exchange, held)
        held.covers(exchange.body.choices, whole)
        watch(exchange, held, output: whole.outputTokens)
    }

    /// What all of its answers will probably use.
    private static func all(_ exchange: Exchange, _ held: Held) -> QuotaUse {
        let output = held.estimate.outputTokens / held.choices * exchange.body.choices
        return use(exchange, held.caller, held.target, input: held.estimate.inputTokens, output: output)
    }
}
