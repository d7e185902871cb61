// The load of newcomers: each request over a connection of its own, as of a program that starts, asks once and ends.
import Client
import Core
import Net
import Wire

/// Connects, asks one request, closes; then the same again.
final class FreshCaller: BenchCaller, AnswerHandler {
    private let bench: Bench
    private let options: ClientOptions
    private let body: [UInt8]
    private var client: LaneClient?
    private var chance = Chance(seed: Host.randomSeed())
    private var began = Instant(nanoseconds: 0)
    private var firstAt: Instant?
    /// What a client says of its last problem before it had one.
    private var untroubled = ""

    init(_ bench: Bench, _ options: ClientOptions) {
        self.bench = bench
        var options = options
        options.connections = 1
        self.options = options
        body = WireCaller.body(bench.load)
    }

    /// Not counted: each connection is short.
    var wireBytes: (sent: Int64, received: Int64) { (0, 0) }

    func ask() {
        firstAt = nil
        began = Host.monotonicNow()
        let client = LaneClient(lane: bench.lane, options: options)
        self.client = client
        untroubled = client.lastProblem
        let head = RequestHead(
            idempotencyKey: chance.identifier(), model: bench.load.model, flags: bench.load.isStream ? .stream : [],
            timeoutMilliseconds: 60_000, maxOutputTokens: UInt32(bench.load.tokens))
        client.send(head, body: body, handler: self)
    }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) { if firstAt == nil { firstAt = bench.lane.now } }

    func received(_ event: StreamEvent) {}

    func finished(_ result: Result<End, ClientFailure>) {
        // A client connects again by itself; here that is a failure, for somebody else would not have.
        let problem = client?.lastProblem ?? untroubled
        var failure = problem == untroubled ? nil : "connecting failed: \(problem)"
        var tokens: Int64 = 0
        switch result {
        case .success(let end): tokens = Int64(end.outputTokens)
        case .failure(.refused(let error)): failure = error.code.name
        case .failure(let other): failure = "\(other)"
        }
        client?.close()
        client = nil
        bench.counted(self, deltas: tokens, began: began, firstAt: firstAt, failure: failure)
    }
}
