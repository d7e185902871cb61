// Watches the sentinels of one primary from one lane, and connects to whom they name.

import Core
import Net

/// Asks every sentinel twice a second who the primary is. Used on its lane only.
///
/// Asking is simpler than listening for `+switch-master`, finds what was said while nobody listened, and costs a sentinel 20 µs.
final class SentinelWatch {
    /// How often each sentinel is asked.
    static let interval = Duration.milliseconds(500)

    private let network: any RedisNetwork
    private let name: String
    private let sentinels: [RedisConnection]
    private var view: SentinelView
    private var failures: [String]
    private var cancelAsking: (() -> Void)?
    private var isClosed = false
    /// Called when they name another primary than before.
    var onChange: (() -> Void)?

    init(
        network: any RedisNetwork, sentinels: [Endpoint], primary name: String, configuration: RedisConfiguration,
        seed: UInt64
    ) {
        self.network = network
        self.name = name
        view = SentinelView(sentinels: sentinels.count)
        failures = sentinels.map { "\($0) was not reached yet" }
        self.sentinels = sentinels.enumerated().map { place, endpoint in
            RedisConnection(
                dialer: network.dialer(to: endpoint), configuration: configuration, seed: seed &+ UInt64(place),
                duty: .scout)
        }
        for (place, sentinel) in self.sentinels.enumerated() {
            sentinel.onReady = { [weak self] _ in self?.ask(place) }
            sentinel.onStateChange = { [weak self, weak sentinel] state in
                guard let self, let sentinel, state == .waiting else { return }
                take(nil, sentinel.lastFailure ?? "lost", from: place)
            }
        }
    }

    /// The primary that the sentinels name.
    var primary: Endpoint? { view.current?.primary }

    /// Why there is none.
    var failure: String { "no sentinel names the primary '\(name)': \(failures.joined(separator: "; "))" }

    func start() {
        for sentinel in sentinels { sentinel.start() }
        schedule()
    }

    func close() {
        isClosed = true
        cancelAsking?()
        for sentinel in sentinels { sentinel.close() }
    }

    private func schedule() {
        cancelAsking = network.after(Self.interval) { [weak self] in
            guard let self, !isClosed else { return }
            for place in sentinels.indices { ask(place) }
            schedule()
        }
    }

    private func ask(_ place: Int) {
        guard sentinels[place].state == .ready else { return }
        sentinels[place].send(RedisCommand("SENTINEL", "MASTER", name), timeout: Self.interval) { [weak self] result in
            guard let self, !isClosed else { return }
            do throws(StoreError) {
                take(try SentinelView.Answer(result.get()), "", from: place)
            } catch {
                take(nil, "\(error)", from: place)
            }
        }
    }

    private func take(_ answer: SentinelView.Answer?, _ failure: String, from place: Int) {
        failures[place] = failure
        if view.take(answer, from: place) { onChange?() }
    }
}

/// Dials whoever is the primary at the time.
final class SentinelDialer: RedisDialer {
    private let network: any RedisNetwork
    private let watch: SentinelWatch
    /// Whom it dialed last.
    private(set) var dialed: Endpoint?

    init(_ network: any RedisNetwork, _ watch: SentinelWatch) {
        self.network = network
        self.watch = watch
    }

    var now: Instant { network.now }

    func dial(_ connection: RedisConnection, timeout: Duration) {
        guard let endpoint = watch.primary else { return connection.linkClosed(nil, watch.failure) }
        dialed = endpoint
        network.dialer(to: endpoint).dial(connection, timeout: timeout)
    }

    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void { network.after(delay, body) }
}
