// Connections that are made to find the node that keeps an answer: behind a balancer, each may lead to another one.
import Core
import Net
import Wire

/// A bounded search, one connection after another. A connection to the right node takes the answers that it keeps and ends with them.
/// Confined to the client's lane; the client holds it while there is something to find.
final class StreamSearch {
    private unowned let client: LaneClient
    private var left: Int
    private var tried = 0
    private var link: ClientLink?
    /// Connections to other nodes, kept until the search is over: a balancer that sends clients to the node with the fewest
    /// connections would otherwise choose the same one again and again.
    private var misses: [ClientLink] = []
    private var timer: LaneTimer?
    private var isStopped = false

    init(_ client: LaneClient, attempts: Int) {
        self.client = client
        left = attempts
        // The connection that broke is being made again meanwhile, and may find the node first.
        again()
    }

    deinit { stop() }

    /// The next attempt, a little later than the last: anywhere below 50 ms at first, below 1.6 s at most.
    private func again() {
        guard left > 0, !isStopped else { return }
        left -= 1
        let longest = UInt64(50) << UInt64(min(5, tried))
        tried += 1
        timer = client.lane.schedule(after: .milliseconds(Int64(client.chance.below(longest) + 1))) { [weak self] in
            self?.connect()
        }
    }

    private func connect() {
        guard !isStopped, !client.interrupted.isEmpty else { return }
        client.dial { [weak self] result in
            guard let self, !isStopped else {
                if case .success(let channel) = result { channel.abort() }
                return
            }
            switch result {
            case .success(let channel):
                let link = client.makeLink(channel)
                link.search = self
                self.link = link
            case .failure: again()
            }
        }
    }

    /// HELLO was accepted.
    func isReady(_ ready: ClientLink) {
        link = nil
        ready.search = nil
        if client.continueInterrupted(on: ready) {
            // It takes no new requests, and ends with those that it has now.
            client.retire(ready)
        } else {
            misses.append(ready)
        }
        if client.interrupted.isEmpty { client.search = nil } else { again() }
    }

    /// The connection ended before HELLO was accepted.
    func ended(_ ended: ClientLink) {
        guard ended === link else { return }
        link = nil
        again()
    }

    func stop() {
        isStopped = true
        timer?.cancel()
        link?.close()
        for miss in misses { miss.close() }
        misses = []
    }
}
