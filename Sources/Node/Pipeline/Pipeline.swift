// The life of a request, whole: one short function; each phase stands in a file beside it.
import Core
import Policy
import Providers
import Wire

/// authenticate → shed → outline → reserve → admit → forward → settle → log. Settle and log run on every exit, exactly once.
///
/// Outline needs the whole body: a large one comes after admission, and is looked through then.
/// Cache and redaction have their places before reserve.
enum Pipeline {
    /// Serves one request to its end. Runs on the lane; never throws, never leaves a stream without its terminal frame.
    static func serve(_ exchange: Exchange) async {
        var refusal: Refusal?
        exchange.startDeadline()
        do throws(Refusal) {
            // It may have waited for its turn.
            try exchange.checkGoesOn()
            try authenticate(exchange)
            try shed(exchange)
            try exchange.holdFirstBody()
            try outline(exchange)
            try await reserve(exchange)
            try await admit(exchange)
            try await exchange.wholeBody()
            try outline(exchange)
            if exchange.reservedChoices < exchange.choices { try await reserveChoices(exchange) }
            try await forward(exchange)
        } catch {
            refusal = error
        }
        conclude(exchange, refusal)
    }

    /// The end that every request has. Not inlined: what it needs must not live in the frame that waits.
    @inline(never)
    private static func conclude(_ exchange: Exchange, _ refusal: Refusal?) {
        exchange.finish()
        let bill = bill(exchange)
        giveBack(exchange, bill)
        settle(exchange, refusal, bill)
        let all = total(exchange, bill)
        if let shadow = exchange.shadow { tell(shadow, exchange, refusal, bill) }
        exchange.session.finish(exchange, lastWord(exchange, refusal, all))
        log(exchange, refusal, all)
    }
}
