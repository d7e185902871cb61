// What a lane counts; lanes are merged when somebody looks.
import Core
import Policy
import Providers
import Telemetry
import Wire

/// One lane's counters. A value: a scrape copies it.
struct NodeMetrics: MetricSet {
    var requests = MetricFamily<Counter>(
        "sluice_requests_total", help: "Requests by outcome.", labels: ["route", "outcome"], limit: 2_048,
        blank: Counter())
    var tokens = MetricFamily<Counter>(
        "sluice_tokens_total", help: "LLM tokens by direction.", labels: ["route", "org", "direction"], limit: 1_024,
        blank: Counter())
    var cost = MetricFamily<MoneyCounter>(
        "sluice_cost_usd_total", help: "Cost in US dollars.", labels: ["route", "org"], limit: 512,
        blank: MoneyCounter())
    var duration = MetricFamily<Histogram>(
        .requestDuration, help: "From the request's arrival to its last frame.",
        labels: [GenAILabel.operation, GenAILabel.requestModel], limit: 256, blank: Histogram())
    var firstToken = MetricFamily<Histogram>(
        .timeToFirstToken, help: "From the request's arrival to its first delta.",
        labels: [GenAILabel.operation, GenAILabel.requestModel], limit: 128, blank: Histogram())
    var reserve = Histogram()
    var queueRefusals = MetricFamily<Counter>(
        "sluice_queue_refusals_total", help: "Requests that could not wait for a provider.", labels: ["reason"],
        blank: Counter())
    var queueWait = MetricFamily<Histogram>(
        "sluice_queue_wait_seconds", help: "Waits of requests that had no place at once.", labels: ["class"],
        blank: Histogram())
    /// Streams that asked for more than was reserved, and those for which a limit had no room.
    var extensions = Counter()
    var extensionsDenied = Counter()
    var budgetWarnings = MetricFamily<Counter>(
        "sluice_budget_warnings_total", help: "Thresholds that budgets reached, once a lane and window.",
        labels: ["org", "scope", "percent"], blank: Counter())
    var mirror = MirrorMetrics()
    var hedges = MetricFamily<Counter>(
        "sluice_hedges_total", help: "Second attempts beside a slow first one.", labels: ["route"], blank: Counter())
    var hedgesWon = MetricFamily<Counter>(
        "sluice_hedges_won_total", help: "Second attempts that answered before the first one.", labels: ["route"],
        blank: Counter())
    var authenticationFailures = Counter()
    var rebalanceHints = Counter()
    var tenantRefusals = MetricFamily<Counter>(
        "sluice_tenant_refusals_total",
        help: "Connections and requests refused because a key or an org held all that one may hold of a lane.",
        labels: ["holder", "what"], blank: Counter())
    var connectionErrors = MetricFamily<Counter>(
        "sluice_connection_errors_total", help: "Connections that ended with an error.", labels: ["code"],
        blank: Counter())
    /// Families are found by text once for each combination; requests then use the places.
    private var places: [Key: Places] = [:]
    /// The combination of the last request is most often that of the next.
    private var last: (key: Key, places: Places)?

    private struct Key: Hashable {
        let operation: Wire.Operation
        let route: String
        let org: String
        let outcome: String
    }

    private struct Places {
        let request: Series
        let input: Series
        let output: Series
        let cost: Series
        let duration: Series
        let firstToken: Series
    }

    mutating func count(_ exchange: Exchange, outcome: String, bill: Bill, at now: Instant) {
        // A route that does not exist is the client's invention: it must not become a series.
        let key = Key(
            operation: exchange.head.operation, route: exchange.route?.name ?? "unknown",
            org: exchange.grant?.record.org ?? "", outcome: outcome)
        let place: Places
        if let last, last.key == key {
            place = last.places
        } else {
            place = places[key] ?? find(key)
            last = (key, place)
        }
        requests[place.request].add()
        tokens[place.input].add(UInt64(max(0, bill.usage.inputTokens)))
        tokens[place.output].add(UInt64(max(0, bill.usage.outputTokens)))
        cost[place.cost].add(microUSD: UInt64(max(0, bill.cost.amount)))
        duration[place.duration].record(from: exchange.receivedAt, to: now)
        if let first = exchange.firstDeltaAt {
            firstToken[place.firstToken].record(from: exchange.receivedAt, to: first)
        }
        if let reserved = exchange.held?.decidedAt { reserve.record(from: exchange.receivedAt, to: reserved) }
    }

    private mutating func find(_ key: Key) -> Places {
        let operation = key.operation.name.description
        let found = Places(
            request: requests.series(key.route, key.outcome), input: tokens.series(key.route, key.org, "input"),
            output: tokens.series(key.route, key.org, "output"), cost: cost.series(key.route, key.org),
            duration: duration.series(operation, key.route), firstToken: firstToken.series(operation, key.route))
        if places.count < 1_024 { places[key] = found }
        return found
    }

    mutating func refused(_ reason: QueueRefusal) {
        let place = queueRefusals.series(reason.rawValue)
        queueRefusals[place].add()
    }

    mutating func waited(_ priority: PriorityClass, _ time: Duration) {
        let place = queueWait.series(priority.description)
        queueWait[place].record(time)
    }

    mutating func hedgeBegan(_ route: String) {
        let place = hedges.series(route)
        hedges[place].add()
    }

    mutating func hedgeWon(_ route: String) {
        let place = hedgesWon.series(route)
        hedgesWon[place].add()
    }

    mutating func connectionFailed(_ error: ConnectionError) {
        let place = connectionErrors.series(error.code.name)
        connectionErrors[place].add()
    }

    mutating func tenantRefused(_ holder: Occupancy.Holder, _ what: String) {
        let place = tenantRefusals.series(holder.rawValue, what)
        tenantRefusals[place].add()
    }

    mutating func warned(_ org: String, _ scope: String, percent: UInt8) {
        let place = budgetWarnings.series(org, scope, "\(percent)")
        budgetWarnings[place].add()
    }

    static let rows: [MetricRow<NodeMetrics>] = [
        .family(\.requests), .family(\.tokens), .family(\.cost), .family(\.duration), .family(\.firstToken),
        .one("sluice_reserve_duration_seconds", "From a request's arrival to its reservation.", \.reserve),
        .family(\.queueRefusals), .family(\.queueWait),
        .one("sluice_extensions_total", "Reservations extended in a stream.", \.extensions),
        .one(
            "sluice_extensions_denied_total", "Streams ended because a limit had no room for more.",
            \.extensionsDenied),
        .family(\.budgetWarnings), .part(\.mirror), .family(\.hedges), .family(\.hedgesWon),
        .one(
            "sluice_authentication_failures_total", "Connections refused for their key.", \.authenticationFailures),
        .one(
            "sluice_rebalance_hints_total", "Clients asked to replace a connection by one to another node.",
            \.rebalanceHints),
        .family(\.tenantRefusals), .family(\.connectionErrors),
    ]
}

extension MirrorMetrics: MetricPart {}
