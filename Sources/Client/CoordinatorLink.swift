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
    private var failures = 0
    private var isStopped = false
    private var chance = Chance(seed: Host.randomSeed())
    private var lastText = ""

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

    /// Connects, and from then on again after each loss, after 100 ms at first and 5 s at most, shortened by chance.
    public func start() {
        guard !isStopped, !endpoints.isEmpty else { return }
        let endpoint = endpoints[next % endpoints.count]
        next += 1
        let hello = Hello(role: .node, authentication: .certificate, client: "sluice-node")
        let seed = chance.next()
        Connector.connect(
            on: lane, to: endpoint, tls: tls, serverName: serverName, timeout: .seconds(5),
            machine: { ClientConnection(hello: hello, at: $0, seed: seed) },
            then: { [self] (result: Result<Channel<ClientConnection>, ConnectFailure>) in
                switch result {
                case .failure(let failure): lost("\(endpoint): \(failure)")
                case .success(let channel) where isStopped: channel.abort()
                case .success(let channel): take(channel, endpoint)
                }
            })
    }

    /// Tells load and health, when there is somebody to tell.
    public func report(_ report: Report) {
        guard let channel, let stream, channel.machine.isOpen(stream: stream) else { return }
        channel.machine.report(stream: stream, report)
        channel.wake()
    }

    /// Ends the subscription for good.
    public func stop() {
        isStopped = true
        channel?.close()
    }

    private func take(_ channel: Channel<ClientConnection>, _ endpoint: Endpoint) {
        self.channel = channel
        var reason = "the connection ended"
        channel.onEvent = { [self] channel, event in
            switch event {
            case .ready:
                stream = channel.machine.subscribe(subscribe())
                failures = 0
                say(true, "subscribed at \(endpoint)")
            case .snapshot(_, let snapshot): onSnapshot(snapshot)
            case .update(_, let update): onUpdate(update)
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
            lost("\(endpoint): \(reason), \(close)")
        }
        channel.wake()
    }

    private func lost(_ text: String) {
        guard !isStopped else { return }
        say(false, text)
        let longest = min(5_000, 100 << min(6, failures))
        failures += 1
        let pause = longest / 2 + Int(chance.below(UInt64(longest / 2)))
        lane.schedule(after: .milliseconds(pause)) { [self] in start() }
    }

    /// The same news is told once.
    private func say(_ isConnected: Bool, _ text: String) {
        guard text != lastText else { return }
        lastText = text
        onState(isConnected, text)
    }
}
