// Which request begins next when a lane has much to do: one of each key after the other.
import Core
import Net

/// Where requests begin: at once while the lane has little to do, otherwise one of each key after the other.
///
/// What is bounded: requests that begin in one turn, and requests of one key and of all whose reservation is not decided. So one key's burst
/// stands neither in Redis' queue nor in the lane's before another key's request. Those that wait are bounded by the streams that
/// connections may have open.
final class StartQueue {
    private let lane: Lane
    private let servers: Servers
    /// Keys with requests that wait, from `head` on.
    private var keys: [KeyLoad] = []
    private var head = 0
    private(set) var waiting = 0
    private var reserving = 0
    private var begun = 0
    private var turn: UInt64 = .max
    private var isAwaited = false

    /// The key whose request came last, and until when the lane counts as shared: another key's request came a moment ago.
    private var latest: KeyLoad?
    private var sharedUntil = Instant(nanoseconds: 0)

    /// How much of one key a turn does. It delays every other key's requests, several times on their way; but a turn that does little costs
    /// a busy key throughput, which nobody gains from where it is alone.
    private struct Limits {
        /// Requests that begin in one turn, some 10 µs each.
        let begun: Int
        /// Undecided reservations of one key. Their answers may come together and each sends a request, some 20 µs of a turn.
        let undecided: Int

        static let alone = Limits(begun: 32, undecided: 64)
        static let shared = Limits(begun: 8, undecided: 16)
    }

    /// How long after another key's request a lane counts as shared.
    private static let memory = Duration.milliseconds(250)
    /// Undecided reservations of all keys.
    private static let together = 1_024

    init(lane: Lane, servers: Servers) {
        self.lane = lane
        self.servers = servers
    }

    /// A request came.
    func arrive(_ exchange: Exchange) {
        if lane.turns != turn { (turn, begun) = (lane.turns, 0) }
        let load = exchange.load
        if load !== latest {
            if latest != nil { sharedUntil = lane.now + StartQueue.memory }
            latest = load
        }
        guard load.isEmpty, begun < limits.begun, mayReserve(load) else { return wait(exchange, load) }
        begun += 1
        servers.serve(exchange)
    }

    private var limits: Limits { lane.now < sharedUntil ? .shared : .alone }

    private func mayReserve(_ load: KeyLoad) -> Bool {
        load.reserving < limits.undecided && reserving < StartQueue.together
    }

    private func wait(_ exchange: Exchange, _ load: KeyLoad) {
        if load.isEmpty { keys.append(load) }
        load.append(exchange)
        waiting += 1
        if mayReserve(load) { goOnSoon() }
    }

    /// A reservation is asked for.
    func reservationBegins(_ load: KeyLoad) {
        reserving += 1
        load.reserving += 1
    }

    /// It is decided.
    func reservationDecided(_ load: KeyLoad) {
        reserving -= 1
        load.reserving -= 1
        if waiting > 0 { goOnSoon() }
    }

    private func goOnSoon() {
        guard !isAwaited else { return }
        isAwaited = true
        lane.inNextTurn { [self] in
            isAwaited = false
            goOn()
        }
    }

    private func goOn() {
        if lane.turns != turn { (turn, begun) = (lane.turns, 0) }
        // Keys in a row that have to wait for decisions; those bring us back here.
        var passed = 0
        while waiting > 0, passed < keys.count - head {
            guard begun < limits.begun else { return goOnSoon() }
            let load = popKey()
            if mayReserve(load), let exchange = load.popFirst() {
                passed = 0
                begun += 1
                waiting -= 1
                if !load.isEmpty { keys.append(load) }
                servers.serve(exchange)
            } else {
                passed += 1
                keys.append(load)
            }
        }
    }

    private func popKey() -> KeyLoad {
        let load = keys[head]
        head += 1
        if head >= 64, head * 2 > keys.count {
            keys.removeFirst(head)
            head = 0
        }
        return load
    }
}
