// What becomes of a command that a server sends elsewhere: it goes there, within its deadline, as often as the journey allows.

import Core
import Net
import Telemetry

extension RedisCluster: RedisRedirector {
    /// Commands that wait for connections that are being made: the first ones after a slot moved to a new server.
    private static let parkLimit = 4096

    func follow(_ message: String, _ pending: RedisConnection.Pending, on connection: RedisConnection) -> Bool {
        guard let endpoint = connection.address else { return false }
        if message.hasPrefix("CLUSTERDOWN") || message.hasPrefix("READONLY") { wantMap() }
        guard let redirection = Redirection(message, from: endpoint) else { return false }
        connection.metrics.redirections.add()
        if case .moved(let slot, let owner) = redirection {
            move(slot, to: owner)
            wantMap()
        }
        guard let call = routed(pending) else {
            // A look at this server itself: it has no answer elsewhere, and nothing is wrong with the server.
            pending.listener.hear(.failure(StoreError(serverMessage: message)))
            return true
        }
        switch call.journey.next(redirection, at: network.now, deadline: call.deadline) {
        case .go(let endpoint, let asking):
            call.isAsking = asking
            send(call, to: endpoint)
        case .again(let pause):
            _ = network.after(pause) { [weak self] in
                guard let self, !isClosed else { return call.hear(.failure(.notConnected(reason: "closed"))) }
                resume(call)
            }
        case .end(let error): call.hear(.failure(error))
        }
        return true
    }

    private func routed(_ pending: RedisConnection.Pending) -> RoutedCall? {
        switch pending.listener {
        case .function: nil
        case .call(let call): RoutedCall(.call(call), slot: call.slot, deadline: pending.deadline)
        case .routed(let call): call
        }
    }

    private func send(_ call: RoutedCall, to endpoint: Endpoint) {
        guard let connection = guest(endpoint) else { return call.hear(.failure(.overloaded)) }
        if connection.state == .ready { return connection.send(call) }
        guard parked.count < Self.parkLimit else { return call.hear(.failure(.overloaded)) }
        parked.append((call, endpoint))
        _ = network.after(max(.zero, call.deadline - network.now)) { [weak self] in
            guard let self, let place = parked.firstIndex(where: { $0.call === call }) else { return }
            parked.remove(at: place)
            call.hear(.failure(.timeout))
        }
    }

    /// A connection is ready: what waited for it goes out.
    func unpark(_ endpoint: Endpoint, _ connection: RedisConnection) {
        let due = parked.filter { $0.endpoint == endpoint }
        guard !due.isEmpty else { return }
        parked.removeAll { $0.endpoint == endpoint }
        for (call, _) in due { connection.send(call) }
    }
}
