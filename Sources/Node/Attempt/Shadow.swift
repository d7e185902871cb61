// A copy of a request at the target that its route mirrors to: nobody waits for it, hears it or pays for it; it is compared.
import Core
import Net
import Policy
import Providers
import Telemetry
import Wire

/// How one side of a comparison did.
struct ShadowSide {
    var isWhole = false
    var firstToken: Duration?
    var outputTokens: Int64 = 0
    var cost = MicroUSD.zero
}

/// A copy under way. Confined to its lane; lives until its attempt has ended and its request is known.
final class Shadow {
    private let gateway: Gateway
    private let route: String
    private let attempt: Attempt
    private var timer: LaneTimer?
    private var served: ShadowSide?
    private var copied: ShadowSide?
    private var isAbandoned = false

    /// Copies under way at once on a lane; more are not begun.
    static let limit = 32
    /// Copies of larger requests are not made: they would hold memory beside what serves.
    static let bodyLimit = 256 * 1024

    private init(_ exchange: Exchange, _ attempt: Attempt) {
        gateway = exchange.gateway
        route = exchange.alias
        self.attempt = attempt
    }

    /// Copies a request that was just sent, by chance and where there is room for it; the request itself has its way already.
    static func begin(_ mirror: RouteMirror, of exchange: Exchange, _ placed: Placed) {
        let gateway = exchange.gateway
        guard gateway.chance.below(10_000) < UInt64(mirror.share) else { return }
        let target = gateway.laneTarget(mirror.target)
        // No more than half of what the provider takes, so that those who are served never wait for a copy.
        guard exchange.body.bytes.count <= bodyLimit, gateway.shadows < limit, target.passage(of: gateway) == .free,
            let upstream = target.upstream(of: gateway),
            let admission = target.admission(of: gateway), upstream.inFlight < max(1, admission.capacity / 2)
        else { return gateway.metrics.mirror.skipped(exchange.alias, target) }
        guard var request = Pipeline.render(exchange, placed, for: target, upstream) else { return }
        let attempt = Attempt(
            0, at: nil, target, price: target.price(in: exchange.tariff), admission: nil,
            isStream: exchange.head.flags.contains(.stream), on: gateway)
        let shadow = Shadow(exchange, attempt)
        exchange.shadow = shadow
        gateway.shadows += 1
        shadow.timer = gateway.lane.schedule(at: exchange.receivedAt + exchange.timeout) { [weak attempt] in
            attempt?.call?.cancel()
        }
        attempt.start(
            &request, to: upstream, times: exchange.times(placed.held.caller.route), share: exchange.load.share,
            for: .mirror(shadow))
    }

    /// The request itself has ended; `isAbandoned` when its client left, so that there is nothing to compare.
    func requestEnded(_ side: ShadowSide, isAbandoned: Bool) {
        served = side
        self.isAbandoned = isAbandoned
        if isAbandoned { attempt.call?.cancel() }
        compare()
    }

    /// Its attempt has ended.
    func ended() {
        timer?.cancel()
        gateway.shadows -= 1
        let first = attempt.firstAt.map { $0 - attempt.sentAt }
        var side = ShadowSide(isWhole: attempt.outcome?.failure == nil, firstToken: first)
        var bill = Bill()
        bill.usage = attempt.outcome?.end.used(estimatedInput: 0).usage ?? Usage()
        side.outputTokens = bill.usage.outputTokens
        side.cost = attempt.price?.cost(of: bill.tokens) ?? .zero
        copied = side
        compare()
    }

    private func compare() {
        guard let served, let copied, !isAbandoned else { return }
        gateway.metrics.mirror.compare(
            route, attempt.target, served: served, copied: copied, isStream: attempt.isStream)
    }
}

extension Pipeline {
    /// Tells a copy how its request did. Not inlined: few requests have one.
    @inline(never)
    static func tell(_ shadow: Shadow, _ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) {
        exchange.shadow = nil
        var side = ShadowSide(isWhole: refusal == nil, outputTokens: bill.usage.outputTokens, cost: bill.cost)
        if let attempt = exchange.leading { side.firstToken = attempt.firstAt.map { $0 - attempt.sentAt } }
        shadow.requestEnded(side, isAbandoned: exchange.stopReason != nil)
    }
}

/// What a lane knows of its copies.
struct MirrorMetrics: Sendable {
    private var requests = MetricFamily<Counter>(
        "sluice_mirror_requests_total", help: "Copies by how the request and its copy ended.",
        labels: ["route", "target", "served", "copy"], blank: Counter())
    private var firstToken = MetricFamily<Histogram>(
        "sluice_mirror_first_token_seconds", help: "First tokens of compared streams.",
        labels: ["route", "target", "side"], blank: Histogram())
    private var output = MetricFamily<Counter>(
        "sluice_mirror_output_tokens_total", help: "Output tokens of compared answers.",
        labels: ["route", "target", "side"], blank: Counter())
    private var cost = MetricFamily<MoneyCounter>(
        "sluice_mirror_cost_usd_total", help: "Cost of compared answers; nobody is charged for copies.",
        labels: ["route", "target", "side"], blank: MoneyCounter())

    mutating func skipped(_ route: String, _ target: LaneTarget) {
        let place = requests.series(route, "\(target.provider)/\(target.model)", "any", "skipped")
        requests[place].add()
    }

    mutating func compare(
        _ route: String, _ target: LaneTarget, served: ShadowSide, copied: ShadowSide, isStream: Bool
    ) {
        let name = "\(target.provider)/\(target.model)"
        let place = requests.series(
            route, name, served.isWhole ? "ok" : "failed", copied.isWhole ? "ok" : "failed")
        requests[place].add()
        // Answers are compared with answers.
        guard served.isWhole, copied.isWhole else { return }
        for (side, word) in [(served, "served"), (copied, "copy")] {
            let tokens = output.series(route, name, word)
            output[tokens].add(UInt64(max(0, side.outputTokens)))
            let money = cost.series(route, name, word)
            cost[money].add(microUSD: UInt64(max(0, side.cost.amount)))
            guard isStream, let first = side.firstToken else { continue }
            let time = firstToken.series(route, name, word)
            firstToken[time].record(first)
        }
    }

    mutating func merge(_ other: MirrorMetrics) {
        requests.merge(other.requests)
        firstToken.merge(other.firstToken)
        output.merge(other.output)
        cost.merge(other.cost)
    }

    func write(onto page: inout MetricsPage) {
        page.add(requests)
        page.add(firstToken)
        page.add(output)
        page.add(cost)
    }
}
