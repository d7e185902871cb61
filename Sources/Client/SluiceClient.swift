// The client library's front door: async calls from any task, over a `LaneClient` on a lane.
import Core
public import Net
import Wire

/// A client of a Sluice cluster, for any number of tasks. Make one for a program and keep it: it holds the connections.
///
///     let client = try SluiceClient(options)
///     for try await event in try await client.chat(request) { … }
///     let answer = try await client.answer(request)
///
/// Each request has exactly one outcome: a stream that ends with `end`, or one `ClientFailure`.
public final class SluiceClient: Sendable {
    /// The callback client, touched on the lane only.
    private final class OnLane: @unchecked Sendable { var client: LaneClient? }

    private let lane: Lane
    private let ownsLane: Bool
    private let onLane = OnLane()
    private let chance = Guarded(Chance(seed: Host.randomSeed()))

    /// A client that begins to connect at once, on `lane` or on a thread of its own.
    ///
    /// - Throws: `refused` when the options cannot work, `unreachable` when the system gives no thread.
    public init(_ options: ClientOptions, lane: Lane? = nil) throws(ClientFailure) {
        guard options.apiKey.count <= Hello.maximumKeyLength else {
            throw .refused(StreamError(code: .authFailed, text: "an API key has at most 128 bytes"))
        }
        do {
            self.lane = try lane ?? Lane.start(count: 1, name: "sluice")[0]
        } catch {
            throw .unreachable("no event loop: \(error)")
        }
        ownsLane = lane == nil
        self.lane.execute { [onLane, lane = self.lane] in onLane.client = LaneClient(lane: lane, options: options) }
    }

    deinit {
        shut()
        // Connections have a second to say their last words.
        if ownsLane { lane.execute { [lane] in lane.schedule(after: .seconds(2)) { lane.stop() } } }
    }

    /// Asks, and returns when the answer begins; the pieces come as they are read.
    ///
    /// - Throws: what is known before anything of the answer came, repetitions included.
    public func chat(_ request: ChatRequest) async throws(ClientFailure) -> ChatStream {
        let head = try request.head(fresh: chance.withLock { $0.identifier() })
        let body = request.body
        let mailbox = AnswerMailbox(lane: lane)
        let stream = ChatStream(mailbox, of: self)
        lane.execute { [onLane] in
            guard let client = onLane.client else { return mailbox.finished(.failure(.closed)) }
            mailbox.start(client, head, body)
        }
        await mailbox.arrival()
        if let failure = mailbox.earlyFailure() { throw failure }
        return stream
    }

    /// Asks, and returns the whole answer.
    public func answer(_ request: ChatRequest) async throws(ClientFailure) -> ChatAnswer {
        var answer = ChatAnswer()
        var iterator = try await chat(request).makeAsyncIterator()
        while let event = try await iterator.next() { answer.add(event) }
        return answer
    }

    /// Connections that are ready for requests now.
    public func readyConnections() async -> Int {
        await withCheckedContinuation { continuation in
            lane.execute { [onLane] in continuation.resume(returning: onLane.client?.readyConnections ?? 0) }
        }
    }

    /// Closes all connections. Requests that wait fail as `closed`, those under way as `connectionLost`; later ones fail as `closed`.
    public func close() async {
        shut()
        await withCheckedContinuation { continuation in lane.execute { continuation.resume() } }
    }

    private func shut() {
        lane.execute { [onLane] in
            onLane.client?.close()
            onLane.client = nil
        }
    }
}
