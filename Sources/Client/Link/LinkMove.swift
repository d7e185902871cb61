// Connections whose nodes ask to have them elsewhere: each is replaced by one to another node, where there is one, before it is left.
import Core
import Net
import Wire

/// One move at a time, a little later than asked. It gives up without a word: whoever asked asks again, or asks somebody else.
/// Confined to the client's lane.
final class LinkMove {
    private enum Step {
        /// Nothing is under way.
        case nothing
        /// A pause, so that not all clients come at once.
        case waiting(LaneTimer)
        /// TCP and TLS.
        case connecting
        /// HELLO is out.
        case greeting(ClientLink)
    }

    private unowned let client: LaneClient
    private var step = Step.nothing
    /// The connection that is to be replaced now.
    private var leaving: ClientLink?
    /// Those that come next, at most one for each slot.
    private var wishes: [(link: ClientLink, at: Instant)] = []
    private var isStopped = false

    init(_ client: LaneClient) { self.client = client }

    /// The longest pause before a move, in milliseconds; it is anywhere below by chance.
    private static let longestPause: UInt64 = 1_000
    /// A wish that old is of the past.
    private static let freshTime = Duration.seconds(30)

    /// The link's node has more than its share of connections.
    func wish(of link: ClientLink) {
        guard !isStopped, link.slot?.isSettled(on: link) == true, link !== leaving,
            !wishes.contains(where: { $0.link === link })
        else { return }
        wishes.append((link, client.lane.now))
        if case .nothing = step { next() }
    }

    private func next() {
        step = .nothing
        leaving = nil
        while !wishes.isEmpty, !isStopped {
            let (link, at) = wishes.removeFirst()
            guard client.lane.now - at < LinkMove.freshTime, link.slot?.isSettled(on: link) == true else { continue }
            leaving = link
            let pause = Duration.milliseconds(Int64(client.chance.below(LinkMove.longestPause)) + 1)
            step = .waiting(client.lane.schedule(after: pause) { [weak self] in self?.connect() })
            return
        }
    }

    private func connect() {
        // Its node may have sent it away meanwhile: then its slot makes another one anyway.
        guard let leaving, leaving.slot?.isSettled(on: leaving) == true else { return next() }
        step = .connecting
        client.dial { [self] result in
            switch result {
            case .success(let channel) where isStopped: channel.abort()
            case .success(let channel):
                let link = client.makeLink(channel)
                link.move = self
                step = .greeting(link)
            case .failure: next()
            }
        }
    }

    /// HELLO was accepted: the new connection serves, if it leads elsewhere and the old one is still there to be left.
    func isReady(_ fresh: ClientLink) {
        fresh.move = nil
        if let leaving, let slot = leaving.slot, slot.isSettled(on: leaving), fresh.node != leaving.node {
            fresh.slot = slot
            slot.isReady(fresh)
        } else {
            client.retire(fresh)
        }
        next()
    }

    /// The new connection ended before HELLO was accepted.
    func ended(_ fresh: ClientLink) {
        if case .greeting(let greeting) = step, greeting === fresh { next() }
    }

    func stop() {
        isStopped = true
        switch step {
        case .waiting(let timer): timer.cancel()
        case .greeting(let link): link.close()
        case .nothing, .connecting: break
        }
        step = .nothing
        wishes = []
        leaving = nil
    }
}
