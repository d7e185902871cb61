// One place for a connection: connects, waits between attempts, and has the next one ready before the old one is left.
import Core
import Net
import Wire

/// Keeps one connection of a client alive over time. Confined to the client's lane.
final class ConnectionSlot {
    private enum Coming {
        /// Nothing is under way.
        case nothing
        /// A pause between attempts.
        case waiting(LaneTimer)
        /// TCP and TLS.
        case connecting
        /// HELLO is out.
        case greeting(ClientLink)
    }

    private let client: LaneClient
    /// The connection that takes requests.
    private(set) var link: ClientLink?
    private var coming = Coming.nothing
    private var failures = 0
    private var isStopped = false

    init(_ client: LaneClient) { self.client = client }

    /// A connection that lived this long proves that connecting works: the pauses begin anew.
    static let provenTime = Duration.seconds(10)
    /// A server that lets a connection live this long before it sends it away is one that drains, such as those of a rolling restart one
    /// after another: the next connection is made at once. Sooner, it sends everybody away.
    static let stayTime = Duration.milliseconds(250)

    func connect() {
        guard !isStopped else { return }
        coming = .connecting
        client.dial { [self] result in
            switch result {
            case .success(let channel) where isStopped: channel.abort()
            case .success(let channel):
                let link = client.makeLink(channel)
                link.slot = self
                coming = .greeting(link)
            case .failure(let failure): again(failure.description)
            }
        }
    }

    /// Another attempt after a pause: below 100 ms at first, below 10 s at most, anywhere under that by chance.
    private func again(_ reason: String) {
        coming = .nothing
        guard !isStopped else { return }
        client.note(reason)
        let longest = UInt64(min(10_000, 100 << min(7, failures)))
        failures += 1
        let pause = Duration.milliseconds(Int64(client.chance.below(longest) + 5))
        coming = .waiting(client.lane.schedule(after: pause) { [weak self] in self?.connect() })
    }

    /// HELLO was accepted: the new connection serves, the old one finishes what it has.
    func isReady(_ fresh: ClientLink) {
        let old = link
        link = fresh
        coming = .nothing
        if let old { client.retire(old) }
        client.isReady()
    }

    /// True when `link` serves and nothing is about to replace it.
    func isSettled(on link: ClientLink) -> Bool {
        guard link === self.link, link.isReady, !isStopped, case .nothing = coming else { return false }
        return true
    }

    /// GOAWAY came: a new connection is made while the old one goes on.
    func isLeaving(_ leaving: ClientLink, _ reason: String) {
        guard leaving === link, case .nothing = coming else { return }
        client.note(reason)
        if hasLived(ConnectionSlot.stayTime, leaving) {
            failures = 0
            connect()
        } else {
            again(reason)
        }
    }

    /// The connection failed with a reason of the protocol; its end follows.
    func failed(_ link: ClientLink, _ error: ConnectionError) {
        guard case .greeting(let greeting) = coming, greeting === link, error.code.retryClass == .never else { return }
        client.refused(error)
    }

    func ended(_ ended: ClientLink, _ reason: String) {
        if case .greeting(let greeting) = coming, greeting === ended { return again(reason) }
        guard ended === link else { return }
        link = nil
        guard case .nothing = coming else { return }
        if hasLived(ConnectionSlot.provenTime, ended) { failures = 0 }
        again(reason)
    }

    private func hasLived(_ time: Duration, _ link: ClientLink) -> Bool {
        guard let readyAt = link.readyAt else { return false }
        return client.lane.now - readyAt >= time
    }

    func stop() {
        isStopped = true
        switch coming {
        case .waiting(let timer): timer.cancel()
        case .greeting(let link): link.close()
        case .nothing, .connecting: break
        }
        coming = .nothing
        link?.close()
        link = nil
    }
}
