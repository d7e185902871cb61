// A node's subscription to its coordinators: connects, subscribes, hands over what comes, begins anew when it breaks.
import Core
import Net
import Wire

/// One subscription, kept alive over any number of connections. Confined to its lane.
public final class CoordinatorLink {
    private let lane: Lane
    private let endpoints: [Endpoint]
    private let tls: TLSContext?
    private let serverName: String?
    private let subscribe: () -> Subscribe
    private let onSnapshot: (Snapshot) -> Void
    private let onUpdate: (Update) -> Void
    private let onState: (Bool, String) -> Void
    private var channel: Channel<ClientConnection>?
    private var stream: UInt32?
    private var next = 0
    /// Tries since the last news.
    private var failures = 0
    private var heardAt = Instant(nanoseconds: 0)
    private var isStopped = false
    private var chance = Chance(seed: Host.randomSeed())
    private var told: Set<String> = []
    private var isUp = false
    private var isRenewing = false
    private var renewedAt = Instant(nanoseconds: .min)

    /// A link that `start` opens. Coordinators are tried in turn; all callbacks come on the lane.
    public init(
        lane: Lane, endpoints: [Endpoint], tls: TLSContext?, serverName: String?,
        subscribe: @escaping () -> Subscribe, onSnapshot: @escaping (Snapshot) -> Void,
        onUpdate: @escaping (Update) -> Void, onState: @escaping (Bool, String) -> Void
    ) {
        self.lane = lane
        self.endpoints = endpoints
        self.tls = tls
        self.serverName = serverName
        self.subscribe = subscribe
        self.onSnapshot = onSnapshot
        self.onUpdate = onUpdate
        self.onState = onState
    }

    /// A leader sends a heartbeat every five seconds: one that says nothing for longer than this has stopped, whatever its socket says.
    public static let patience = Duration.seconds(8)
    /// Who may speak as a coordinator, alone or with a name behind it.
    private static let role = "spiffe://sluice/coordinator"

    /// Connects, and from then on again after each loss: at once to the next coordinator; when all were tried in vain after 100 ms at first and
    /// 2 s at most (5 s where there is one alone), shortened by chance.
    public func start() {
        guard !isStopped, !endpoints.isEmpty else { return }
        let endpoint = endpoints[next % endpoints.count]
        next += 1
        let hello = Hello(role: .node, authentication: .certificate, client: "sluice-node")
        let seed = chance.next()
        Connector.connect(
            on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: .seconds(3), afresh: true,
            machine: { ClientConnection(hello: hello, at: $0, seed: seed) },
            then: { [self] (result: Result<Channel<ClientConnection>, ConnectFailure>) in
                switch result {
                case .failure(let failure): lost("\(endpoint): \(failure)")
                case .success(let channel) where isStopped: channel.abort()
                case .success(let channel): take(channel, endpoint)
                }
            })
    }

    /// Tells load and health; false when there is nobody to tell.
    @discardableResult public func report(_ report: Report) -> Bool {
        guard let channel, let stream, channel.machine.isOpen(stream: stream) else { return false }
        channel.machine.report(stream: stream, report)
        channel.wake()
        return true
    }

    /// After a reload of the TLS context: leaves a coordinator whose certificate the new files refuse.
    public func recheck() {
        guard let channel, let refusal = channel.transport.peerRefusal else { return }
        channel.transport.abort(.tls(refusal))
    }

    /// Whether a verified peer's certificate is a coordinator's.
    public static func isCoordinator(_ peer: PeerIdentity) -> Bool {
        guard peer.isVerified, let uri = peer.uri else { return false }
        return uri == role || uri.hasPrefix(role + "/")
    }

    /// Subscribes anew at the same coordinator, over a new connection, so that the whole state comes: a change was missed. Once in five
    /// seconds; what does not get better by it is a loss like others.
    public func renew(_ reason: String) {
        guard let channel else { return }
        let now = lane.now
        isRenewing = renewedAt == Instant(nanoseconds: .min) || now - renewedAt >= .seconds(5)
        renewedAt = now
        onState(isRenewing, reason)
        channel.close()
    }

    /// Ends the subscription for good.
    public func stop() {
        isStopped = true
        channel?.close()
    }

    private func take(_ channel: Channel<ClientConnection>, _ endpoint: Endpoint) {
        guard tls == nil || CoordinatorLink.isCoordinator(channel.peer) else {
            channel.abort()
            return lost("\(endpoint): '\(channel.peer.uri ?? "")' is no coordinator")
        }
        self.channel = channel
        heardAt = lane.now
        watch(channel)
        var reason = "the connection ended"
        channel.onEvent = { [self] channel, event in
            switch event {
            case .ready:
                stream = channel.machine.subscribe(subscribe())
            case .snapshot(_, let snapshot):
                failures = 0
                heardAt = lane.now
                // Only now: a coordinator that does not lead takes subscriptions, too, and says nothing until it does.
                say(true, "subscribed at \(endpoint)")
                onSnapshot(snapshot)
            case .update(_, let update):
                failures = 0
                heardAt = lane.now
                say(true, "subscribed at \(endpoint)")
                onUpdate(update)
            case .error(_, let error):
                reason = "\(error.code.name): \(error.text)"
                channel.close()
            case .goAway: channel.close()
            case .failed(let error): reason = error.description
            case .accepted, .delta, .event, .end, .streamCredit, .hint: break
            }
            channel.wake()
        }
        channel.onClose = { [self] _, close in
            self.channel = nil
            stream = nil
            if isRenewing, !isStopped {
                isRenewing = false
                next = max(0, next - 1)
                return start()
            }
            lost("\(endpoint): \(reason), \(close)")
        }
        channel.wake()
    }

    /// Leaves a coordinator that fell silent.
    private func watch(_ channel: Channel<ClientConnection>) {
        lane.schedule(after: .seconds(1)) { [self, weak channel] in
            guard let channel, self.channel === channel, channel.isOpen else { return }
            guard lane.now - heardAt >= CoordinatorLink.patience else { return watch(channel) }
            channel.abort()
        }
    }

    private func lost(_ text: String) {
        guard !isStopped else { return }
        say(false, text)
        failures += 1
        guard failures % endpoints.count == 0 else {
            lane.schedule(after: .zero) { [self] in start() }
            return
        }
        let rounds = failures / endpoints.count - 1
        let longest = min(endpoints.count > 1 ? 2_000 : 5_000, 100 << min(6, rounds))
        let pause = longest / 2 + Int(chance.below(UInt64(longest / 2)))
        lane.schedule(after: .milliseconds(pause)) { [self] in start() }
    }

    /// The same news is told once, until there is good news.
    private func say(_ isConnected: Bool, _ text: String) {
        if isConnected {
            guard told != [text] else { return }
            told = [text]
        } else {
            if isUp { told = [] }
            guard told.count < 64, told.insert(text).inserted else { return }
        }
        isUp = isConnected
        onState(isConnected, text)
    }
}
