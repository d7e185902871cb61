// The tasks that carry requests: each serves one after another, so that a request does not pay for the making of one.
import Net

/// One lane's tasks. Confined to its lane; marked Sendable because its tasks, which stay on the lane, hold it.
final class Servers: @unchecked Sendable {
    /// A task at rest, or with its next request.
    private final class Server {
        let latch = Latch()
        var next: Exchange?
    }

    private let lane: Lane
    private var resting: [Server] = []
    /// Tasks kept at rest, about 1 KiB each; so many requests run at once without a new one.
    private static let restingLimit = 1_024

    init(lane: Lane) { self.lane = lane }

    /// Serves a request, beginning in this turn of the lane.
    func serve(_ exchange: Exchange) {
        if let server = resting.popLast() {
            server.next = exchange
            server.latch.open()
        } else {
            lane.spawn { await self.run(exchange) }
        }
    }

    /// Serves `first` and then whatever comes, until enough others rest.
    private func run(_ first: Exchange) async {
        let server = Server()
        server.next = first
        while true {
            guard let exchange = server.next else {
                await server.latch.wait()
                continue
            }
            server.next = nil
            await Pipeline.serve(exchange)
            guard resting.count < Servers.restingLimit else { return }
            resting.append(server)
        }
    }
}
