// One probe of a provider: over a connection of its own, with a deadline of its own, its answer read and thrown away.
import Core
import HTTP
import Net
import Policy

/// A probe under way. Confined to its lane; keeps itself alive until its end.
public final class ProbeCall {
    private let target: UpstreamTarget
    private let setting: ProbeSetting
    private var onEnd: ((Outcome) -> Void)?
    private var channel: Channel<HTTPClientConnection>?
    private var wait: ConnectionPool<HTTPClientConnection>.Wait?
    private var timer: LaneTimer?
    private var status = 0
    private var body: [UInt8] = []

    /// What came of it.
    public struct Outcome: Sendable {
        /// Whether the provider works.
        public let result: ProbeResult
        /// The provider works, but does not have the model that was asked for.
        public let isOfModel: Bool
    }

    /// How much of an answer is looked at; a longer list of models is a list all the same.
    static let bodyLimit = 64 * 1024

    /// A probe that `start` makes. `onEnd` is called exactly once, on the lane.
    public init(_ target: UpstreamTarget, _ setting: ProbeSetting, onEnd: @escaping (Outcome) -> Void) {
        self.target = target
        self.setting = setting
        self.onEnd = onEnd
    }

    /// Connects anew, so that a name that leads nowhere and a certificate that has run out are found as well, and asks.
    public func start() {
        timer = target.lane.schedule(after: setting.deadline) { [self] in
            end(.failing("no answer within \(ConfigurationValue.words(setting.deadline))"))
        }
        wait = target.pool.lease(fresh: true) { [self] result in
            wait = nil
            switch result {
            case .success(let channel): send(on: channel)
            case .failure(.connect(let reason)): end(.failing("connect: \(reason)"))
            case .failure(.full), .failure(.closed): end(.unknown("no connection for a probe"))
            }
        }
    }

    /// Ends it without a result.
    public func cancel() { end(.unknown("given up")) }

    private func send(on channel: Channel<HTTPClientConnection>) {
        guard onEnd != nil else { return target.pool.discard(channel) }
        self.channel = channel
        channel.onEvent = { [self] channel, event in received(event, channel) }
        channel.onClose = { [self] _, reason in
            self.channel = nil
            end(status == 0 ? .failing("closed before an answer: \(reason)") : judged)
        }
        var head = ByteBuffer()
        var body = ByteBuffer()
        target.dialect.writeProbe(
            setting.call, wallClockMicroseconds: target.lane.wallClockMicroseconds, head: &head, body: &body)
        channel.machine.send(head: { $0.append(head.bytes) }, body: { $0.append(body.bytes) })
        channel.wake()
    }

    private func received(_ event: HTTPClientConnection.Event, _ channel: Channel<HTTPClientConnection>) {
        switch event {
        case .head(let head):
            status = head.status
            let isJSON = channel.withBytes(of: head.slice) { head.isMediaType("application/json", in: $0) }
            if status == 200, !isJSON { end(.failing("the answer is not application/json")) }
        case .body(let slice):
            body += channel.transport.input.array(of: slice).prefix(ProbeCall.bodyLimit - body.count)
            if body.count == ProbeCall.bodyLimit { end(judged) }
        case .end: end(judged)
        case .failed(.truncated) where status == 0: end(.failing("closed before an answer"))
        case .failed(let failure):
            // Of an error its status says enough.
            end(status == 0 || status == 200 ? .failing("\(failure)") : judged)
        }
    }

    /// What status and body say.
    private var judged: ProbeResult { target.dialect.judge(setting.call, status: status, body: body) }

    private func end(_ result: ProbeResult) {
        guard let onEnd else { return }
        self.onEnd = nil
        timer?.cancel()
        wait?.cancel()
        if let channel { target.pool.discard(channel) }
        channel = nil
        let isOfModel = setting.call != .models && (status == 404 || status == 403)
        onEnd(Outcome(result: result, isOfModel: isOfModel))
    }
}
