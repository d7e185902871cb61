// One node's connection: proves who it is, subscribes, reports.
import Core
import Net
import Telemetry
import Wire

/// A connection from a node. Confined to the coordinator's lane.
final class Subscriber {
    private unowned let coordinator: Coordinator
    private let channel: Channel<ServerConnection>
    /// What a node's certificate says of it, alone or with a number behind it.
    private static let role = "spiffe://sluice/node"
    private var stream: UInt32?
    private var node: UInt32?
    /// The level of records that it obeys; nil before it subscribed.
    private(set) var level: UInt16?
    /// True when something was left out for it: it gets the whole state once it has read what waits.
    private var isBehind = false

    init(_ coordinator: Coordinator, _ channel: Channel<ServerConnection>) {
        self.coordinator = coordinator
        self.channel = channel
        channel.onEvent = { [unowned self] _, event in handle(event) }
        channel.onClose = { [self] channel, _ in coordinator.left(channel, node: node) }
    }

    private func handle(_ event: ServerConnection.Event) {
        let now = coordinator.lane.now
        switch event {
        case .hello(let hello):
            // Only a node's own certificate opens this door.
            let uri = channel.peer.uri ?? ""
            let isNode = uri == Subscriber.role || uri.hasPrefix(Subscriber.role + "/")
            guard hello.role == .node, channel.peer.isVerified, isNode else {
                coordinator.note(.warning, "node_refused", "'\(uri)' at \(channel.peer.address) is no node")
                channel.machine.reject(.authFailed, at: now)
                break
            }
            channel.greeted()
            channel.machine.accept(HelloOK(tableVersion: 0), at: now)
        case .subscribe(let stream, let message):
            guard self.stream == nil else {
                channel.machine.fail(
                    stream: stream, StreamError(code: .invalidRequest, text: "this connection has a subscription"))
                channel.machine.release(stream: stream)
                break
            }
            self.stream = stream
            level = message.level
            // A certificate that names a number is good for that node alone.
            let number = (channel.peer.uri ?? "").dropFirst(Subscriber.role.count + 1)
            guard number.isEmpty || number == "\(message.node)" else {
                coordinator.note(.warning, "node_refused", "the certificate of node \(number) asked as \(message.node)")
                end(StreamError(code: .forbidden, text: "this certificate is of node \(number)"))
                break
            }
            node = message.node
            if let refusal = coordinator.joined(message, self, on: channel) { end(refusal) }
        case .report(_, let report):
            guard let node else { break }
            coordinator.reported(report, by: node, on: channel)
        case .request(let stream, _, _, _), .resume(let stream, _):
            let error = StreamError(code: .invalidRequest, text: "a coordinator serves no models")
            channel.machine.fail(stream: stream, error)
            channel.machine.release(stream: stream)
        case .failed(let error): coordinator.note(.warning, "node_connection", error.description)
        case .cancel, .writable, .slowConsumer, .slowBody, .responseTooLong, .drainExpired, .drained, .goAway, .body:
            break
        }
        channel.wake()
    }

    /// Sends the whole state or a change. A node that does not read holds back at most `backlogLimit` bytes here: what does not fit
    /// is left out, and the whole state makes up for it as soon as there is room.
    func send(_ state: StateBytes) {
        guard let stream, channel.isOpen, channel.machine.isOpen(stream: stream) else { return }
        let waiting = channel.machine.bufferedBytes(stream: stream)
        guard waiting == 0 || waiting + state.count <= Subscriber.backlogLimit else { return isBehind = true }
        channel.machine.send(stream: stream, state)
        channel.wake()
    }

    /// Says which version there is: a heartbeat to a node that understands and misses nothing, the whole state to others.
    func beat(_ heartbeat: StateBytes, _ whole: () -> StateBytes) {
        if (level ?? 0) >= 1, !isBehind { return send(heartbeat) }
        isBehind = false
        send(whole())
    }

    private static let backlogLimit = 4 << 20

    /// Ends the subscription with a reason: the node asks elsewhere.
    func end(_ error: StreamError) {
        guard let stream, channel.isOpen, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.fail(stream: stream, error)
        channel.machine.release(stream: stream)
        channel.wake()
    }

    func close() { channel.close() }

    /// After a reload of the certificates: a node whose certificate was revoked goes.
    func recheck() {
        guard let refusal = channel.transport.peerRefusal else { return }
        coordinator.note(
            .warning, "node_refused", "'\(channel.peer.uri ?? "")' at \(channel.peer.address): \(refusal.description)")
        channel.abort()
    }
}
