// The load over the wire protocol: the client library's callback side, one object for each request under way, used again.
import Client
import Core
import Net
import Wire

/// Asks over a client's connections, which it shares with the other callers.
final class WireCaller: BenchCaller, AnswerHandler {
    private let bench: Bench
    private let client: LaneClient
    private let body: [UInt8]
    private var head: RequestHead
    private var chance = Chance(seed: Host.randomSeed())
    private var began = Instant(nanoseconds: 0)
    private var firstAt: Instant?
    private var deltas: Int64 = 0

    init(_ bench: Bench, _ client: LaneClient, _ body: [UInt8]) {
        self.bench = bench
        self.client = client
        self.body = body
        head = RequestHead(
            idempotencyKey: chance.identifier(), model: bench.load.model, flags: bench.load.isStream ? .stream : [],
            timeoutMilliseconds: 60_000, maxOutputTokens: UInt32(bench.load.tokens))
    }

    /// The body that all requests of a load have.
    static func body(_ load: BenchLoad) -> [UInt8] {
        var writer = ChatBodyWriter()
        writer.message(.user, load.prompt)
        return writer.finish().array()
    }

    /// The connections are the client's.
    var wireBytes: (sent: Int64, received: Int64) { (0, 0) }

    func ask() {
        head.idempotencyKey = chance.identifier()
        firstAt = nil
        deltas = 0
        // Not the turn's time: what this program did since the turn began is no part of the answer's time.
        began = Host.monotonicNow()
        client.send(head, body: body, handler: self)
    }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        if firstAt == nil { firstAt = bench.lane.now }
        deltas += 1
    }

    func received(_ event: StreamEvent) {}

    func finished(_ result: Result<End, ClientFailure>) {
        switch result {
        // Deltas may be joined on the way: the provider's own figure counts tokens.
        case .success(let end): counted(Int64(end.outputTokens), nil)
        case .failure(.refused(let error)): counted(deltas, error.code.name)
        case .failure(let failure): counted(deltas, "\(failure)")
        }
    }

    private func counted(_ tokens: Int64, _ failure: String?) {
        bench.counted(self, deltas: tokens, began: began, firstAt: firstAt, failure: failure)
    }
}
