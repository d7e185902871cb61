// The life of a request, whole: one short function; each phase stands in a file beside it.
import Core
import Policy
import Providers
import Wire

/// authenticate → shed → outline → reserve → admit → whole body → forward → settle → log. Settle and log run on every exit, exactly once.
///
/// A phase takes what the ones before it found: a `Caller` from authenticate, `Held` quota from reserve, a `Seat` from admit, and a request
/// that is `Placed` once its body is whole. Only those phases make them, so that nothing is reserved for a stranger and nothing is sent
/// that is not held. Outline needs the whole body: a large one comes after admission, and is looked through then.
enum Pipeline {
    /// Serves one request to its end. Runs on the lane; never throws, never leaves a stream without its terminal frame.
    ///
    /// Neither this nor a phase that waits long is inlined: a frame lives only as long as its phase, and a task at rest has none.
    @inline(never)
    static func serve(_ exchange: Exchange) async {
        var refusal: Refusal?
        exchange.startDeadline()
        do throws(Refusal) {
            // It may have waited for its turn.
            try exchange.checkGoesOn()
            let held = try await reserve(exchange, try ask(exchange))
            let seat = try await admit(exchange, held)
            try await forward(exchange, try await wholeBody(exchange, held, seat))
        } catch {
            refusal = error
        }
        conclude(exchange, refusal)
    }

    /// What is decided from the request and the snapshot alone.
    @inline(never)
    private static func ask(_ exchange: Exchange) throws(Refusal) -> Caller {
        let caller = try authenticate(exchange)
        try shed(exchange)
        try exchange.holdBody(exchange.body.first(of: Int(exchange.head.bodyLength)), for: caller)
        try outline(exchange, caller)
        return caller
    }

    /// The end that every request has. Not inlined: what it needs must not live in the frame that waits.
    @inline(never)
    private static func conclude(_ exchange: Exchange, _ refusal: Refusal?) {
        exchange.finish()
        var (bill, all) = (Bill(), Bill())
        if let held = exchange.held {
            bill = exchange.leading?.bill(held) ?? Bill()
            all = bill.with(exchange.tries.earlier)
            giveBack(exchange, held, bill)
            settle(exchange, held, refusal, bill)
        } else {
            exchange.origin.release()
        }
        if let shadow = exchange.shadow { tell(shadow, exchange, refusal, bill) }
        exchange.session.finish(exchange, lastWord(exchange, refusal, all))
        log(exchange, refusal, all)
    }
}
