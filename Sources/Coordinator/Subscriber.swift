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
            channel.machine.accept(HelloOK(tableVersion: 0), at: now)
        case .subscribe(let stream, let message):
            self.stream = stream
            node = message.node
            coordinator.joined(message, on: channel)
            send(coordinator.snapshot)
        case .report(_, let report): coordinator.reported(report)
        case .request(let stream, _, _, _):
            let error = StreamError(code: .invalidRequest, text: "a coordinator serves no models")
            channel.machine.fail(stream: stream, error)
            channel.machine.release(stream: stream)
        case .failed(let error): coordinator.note(.warning, "node_connection", error.description)
        case .cancel, .writable, .slowConsumer, .slowBody, .responseTooLong, .drainExpired, .drained, .goAway, .body:
            break
        }
        channel.wake()
    }

    func send(_ snapshot: Snapshot) {
        guard let stream, channel.isOpen, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.sendSnapshot(stream: stream, snapshot)
        channel.wake()
    }

    func send(_ update: Update) {
        guard let stream, channel.isOpen, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.sendUpdate(stream: stream, update)
        channel.wake()
    }

    func close() { channel.close() }
}
