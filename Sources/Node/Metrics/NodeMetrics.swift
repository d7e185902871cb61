// What a lane counts; lanes are merged when somebody looks.
import Core
import Net
import Policy
import Providers
import Store
import Telemetry
import Wire

/// One lane's counters. A value: a scrape copies it.
struct NodeMetrics: Sendable {
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

    mutating func merge(_ other: NodeMetrics) {
        requests.merge(other.requests)
        tokens.merge(other.tokens)
        cost.merge(other.cost)
        duration.merge(other.duration)
        firstToken.merge(other.firstToken)
        reserve.merge(other.reserve)
        queueRefusals.merge(other.queueRefusals)
        queueWait.merge(other.queueWait)
        extensions.merge(other.extensions)
        extensionsDenied.merge(other.extensionsDenied)
        budgetWarnings.merge(other.budgetWarnings)
        mirror.merge(other.mirror)
        hedges.merge(other.hedges)
        hedgesWon.merge(other.hedgesWon)
        authenticationFailures.merge(other.authenticationFailures)
        rebalanceHints.merge(other.rebalanceHints)
        connectionErrors.merge(other.connectionErrors)
        tenantRefusals.merge(other.tenantRefusals)
    }
}

/// A lane's state at the moment of a scrape.
struct LaneReading: Reading {
    var metrics: NodeMetrics
    var redis: RedisMetrics
    var redisIsReady: Bool
    var primaries: [RedisPrimary]
    var listener: ListenerCounts
    var requestsUnderWay: Int
    var settlementBacklog: Int
    var breakers: BreakerReading
    var failures: FailureReading
    var leases: LeaseReading
    var safe: SafeReading
    var resume: ResumeReading
    var overload: OverloadReading
    var settled: Counter
    var lost: Counter
    var turns: TurnReading
    /// Calls that ended because nobody read them and others needed their slots.
    var relieved: Counter
    var queues: [(name: String, capacity: Int, running: Int, waiting: [Int])]
    var targets: [(name: String, inFlight: Int, open: Int, idle: Int, made: Int64, reused: Int64)]

    /// Attempts that began at each `provider/model`, those that failed, those whose usage was not told, and those of which it cannot be.
    var attempts: [String: Attempts]
    typealias Attempts = (
        provider: String, model: String, all: Int64, failed: Int64, unaccounted: Int64, implausible: Int64
    )

    /// Reads a lane; on its own thread.
    init(_ gateway: Gateway) {
        metrics = gateway.metrics
        redis = gateway.redis.metrics
        redisIsReady = !gateway.redis.isImpaired
        primaries = gateway.redis.primaries
        listener = gateway.listenerCounts
        requestsUnderWay = gateway.openRequests
        settlementBacklog = gateway.settlementBacklog
        breakers = BreakerReading(gateway.laneTargets.values)
        failures = FailureReading(gateway.laneTargets.values)
        leases = LeaseReading(gateway.leases)
        safe = SafeReading(
            gateway.safeMode, spoolShare: gateway.spoolShare, damagedBytes: gateway.damagedSpoolBytes)
        resume = ResumeReading(gateway.resumptions)
        overload = OverloadReading(gateway.overload, load: gateway.load)
        settled = gateway.settlements.settled
        lost = gateway.settlements.lost
        turns = TurnReading(gateway.lane)
        targets = gateway.targetStates
        attempts = gateway.laneTargets.mapValues {
            ($0.provider, $0.model, $0.attempts, $0.failures, $0.unaccounted, $0.implausible)
        }
        relieved = gateway.admissions.values.reduce(into: Counter()) { $0.merge($1.relieved) }
        queues = gateway.admissions.sorted { $0.key < $1.key }.map { name, admission in
            (name, admission.capacity, admission.running, PriorityClass.allCases.map(admission.waiting))
        }
    }

    mutating func merge(_ other: LaneReading) {
        metrics.merge(other.metrics)
        redis.merge(other.redis)
        redisIsReady = redisIsReady && other.redisIsReady
        RedisPrimary.merge(other.primaries, into: &primaries)
        listener.merge(other.listener)
        requestsUnderWay += other.requestsUnderWay
        settlementBacklog += other.settlementBacklog
        breakers.merge(other.breakers)
        failures.merge(other.failures)
        leases.merge(other.leases)
        safe.merge(other.safe)
        resume.merge(other.resume)
        overload.merge(other.overload)
        settled.merge(other.settled)
        lost.merge(other.lost)
        turns.merge(other.turns)
        relieved.merge(other.relieved)
        attempts.merge(other.attempts) {
            (
                $0.provider, $0.model, $0.all + $1.all, $0.failed + $1.failed, $0.unaccounted + $1.unaccounted,
                $0.implausible + $1.implausible
            )
        }
        for queue in other.queues {
            guard let place = queues.firstIndex(where: { $0.name == queue.name }) else {
                queues.append(queue)
                continue
            }
            queues[place].capacity += queue.capacity
            queues[place].running += queue.running
            for priority in queue.waiting.indices { queues[place].waiting[priority] += queue.waiting[priority] }
        }
        for target in other.targets {
            guard let place = targets.firstIndex(where: { $0.name == target.name }) else {
                targets.append(target)
                continue
            }
            targets[place].inFlight += target.inFlight
            targets[place].open += target.open
            targets[place].idle += target.idle
            targets[place].made += target.made
            targets[place].reused += target.reused
        }
    }

    /// The page that Prometheus reads.
    func page(_ facts: NodeFacts) -> ByteBuffer {
        var page = MetricsPage()
        page.facts("sluice_build_info", help: "The program.", [("version", Node.version)])
        page.facts(
            "sluice_prices_info", help: "The prices in use, by content.", [("version", facts.priceVersion)])
        page.add(metrics.requests)
        page.add(metrics.tokens)
        page.add(metrics.cost)
        page.add(metrics.duration)
        page.add(metrics.firstToken)
        page.add(
            "sluice_reserve_duration_seconds", help: "From a request's arrival to its reservation.", metrics.reserve)
        page.add(metrics.queueRefusals)
        page.add(metrics.queueWait)
        page.add(
            "sluice_stalled_calls_ended_total",
            help: "Answers that nobody read, ended because others waited for their slots.", relieved)
        queues(&page)
        page.add("sluice_extensions_total", help: "Reservations extended in a stream.", metrics.extensions)
        page.add(
            "sluice_extensions_denied_total", help: "Streams ended because a limit had no room for more.",
            metrics.extensionsDenied)
        page.add(metrics.budgetWarnings)
        metrics.mirror.write(onto: &page)
        page.add(metrics.hedges)
        page.add(metrics.hedgesWon)
        page.add(
            "sluice_authentication_failures_total", help: "Connections refused for their key.",
            metrics.authenticationFailures)
        page.add(metrics.connectionErrors)
        redis.write(onto: &page)
        RedisPrimary.write(primaries, onto: &page)
        TLSContexts.shared.write(onto: &page)
        page.gauge("sluice_redis_ready", help: "1 when Redis can be used.", value: .signed(redisIsReady ? 1 : 0))
        page.add("sluice_settlements_total", help: "Settlements confirmed by Redis.", settled)
        page.add("sluice_settlements_lost_total", help: "Settlements given up.", lost)
        page.gauge(
            "sluice_settlements_waiting", help: "Settlements to be repeated.", value: .signed(Int64(settlementBacklog)))
        breakers.write(onto: &page)
        failures.write(onto: &page)
        leases.write(onto: &page)
        safe.write(onto: &page)
        resume.write(onto: &page)
        overload.write(onto: &page)
        connections(&page)
        page.gauge("sluice_requests_under_way", help: "Requests under way.", value: .signed(Int64(requestsUnderWay)))
        upstream(&page)
        turns.write(onto: &page)
        page.gauge("process_resident_memory_bytes", help: "Memory.", value: .signed(Host.residentBytes()))
        page.counter(
            "process_cpu_seconds_total", help: "User and system time.",
            value: .nanoseconds(Host.processorMicroseconds() * 1_000))
        page.gauge("process_open_fds", help: "Open descriptors.", value: .signed(Int64(Host.openDescriptors())))
        page.gauge("sluice_snapshot_epoch", help: "Epoch in use.", value: .unsigned(facts.snapshotEpoch))
        stateFiles(facts, &page)
        page.gauge("sluice_snapshot_sequence", help: "Sequence in use.", value: .unsigned(facts.snapshotSequence))
        page.counter(
            "sluice_log_dropped_bytes_total", help: "Bytes of log lines lost.", value: UInt64(facts.droppedLogBytes))
        return page.finish()
    }

    private func stateFiles(_ facts: NodeFacts, _ page: inout MetricsPage) {
        page.gauge(
            "sluice_state_files_unsaved", help: "State files whose newest content could not be written to disk.",
            value: .signed(facts.isSnapshotUnsaved ? 1 : 0))
        page.counter(
            "sluice_state_write_failures_total", help: "Writes of state files that failed.",
            value: facts.snapshotWriteFailures)
    }

    private func connections(_ page: inout MetricsPage) {
        page.gauge("sluice_connections", help: "Client connections.", value: .signed(Int64(listener.open)))
        page.counter(
            "sluice_connections_accepted_total", help: "Connections accepted.", value: UInt64(listener.accepted))
        page.add(
            "sluice_rebalance_hints_total", help: "Clients asked to replace a connection by one to another node.",
            metrics.rebalanceHints)
        page.gauge(
            "sluice_connections_pending", help: "Connections whose handshake or greeting is not done yet.",
            value: .signed(Int64(listener.pending)))
        page.begin(
            "sluice_connections_refused_total", help: "Connections closed for a limit, by reason.", type: .counter)
        for reason in ConnectionRefusal.allCases {
            page.sample(
                "sluice_connections_refused_total", labels: LabelText(names: ["reason"], values: [reason.rawValue]),
                value: .signed(listener.refusals[reason] ?? 0))
        }
        page.add(metrics.tenantRefusals)
        page.counter(
            "sluice_accept_pauses_total", help: "Times that accepting rested for want of descriptors.",
            value: UInt64(listener.pauses))
        page.counter(
            "sluice_handshake_failures_total", help: "TLS handshakes that failed.",
            value: UInt64(listener.handshakeFailures))
    }

    private func queues(_ page: inout MetricsPage) {
        page.begin("sluice_queue_waiting", help: "Requests that wait for a provider.", type: .gauge)
        for queue in queues {
            for priority in PriorityClass.allCases {
                page.sample(
                    "sluice_queue_waiting",
                    labels: LabelText(
                        names: [GenAILabel.provider, "class"], values: [queue.name, priority.description]),
                    value: .signed(Int64(queue.waiting[Int(priority.rawValue)])))
            }
        }
        page.begin("sluice_concurrency_limit", help: "Calls that a provider takes at once.", type: .gauge)
        for queue in queues {
            page.sample(
                "sluice_concurrency_limit", labels: LabelText(names: [GenAILabel.provider], values: [queue.name]),
                value: .signed(Int64(queue.capacity)))
        }
    }

    private func upstream(_ page: inout MetricsPage) {
        func each(_ name: MetricName, _ help: String, _ type: MetricType, _ value: (Int) -> Int64) {
            page.begin(name, help: help, type: type)
            for place in targets.indices {
                page.sample(
                    name, labels: LabelText(names: [GenAILabel.provider], values: [targets[place].name]),
                    value: .signed(value(place)))
            }
        }
        each("sluice_upstream_in_flight", "Calls under way.", .gauge) { Int64(targets[$0].inFlight) }
        each("sluice_upstream_connections", "Connections open.", .gauge) { Int64(targets[$0].open) }
        each("sluice_upstream_connections_idle", "Connections idle.", .gauge) { Int64(targets[$0].idle) }
        each("sluice_upstream_connects_total", "Connections made.", .counter) { targets[$0].made }
        each("sluice_upstream_reused_total", "Requests on a kept connection.", .counter) { targets[$0].reused }
        let inOrder = attempts.sorted { $0.key < $1.key }.map(\.value)
        func eachTarget(_ name: MetricName, _ help: String, _ value: (LaneReading.Attempts) -> Int64) {
            page.begin(name, help: help, type: .counter)
            for target in inOrder {
                page.sample(
                    name,
                    labels: LabelText(
                        names: [GenAILabel.provider, GenAILabel.requestModel], values: [target.provider, target.model]),
                    value: .signed(value(target)))
            }
        }
        eachTarget("sluice_attempts_total", "Attempts that began at each target.") { $0.all }
        eachTarget("sluice_attempts_failed_total", "Attempts that failed.") { $0.failed }
        eachTarget(
            "sluice_attempts_without_usage_total", "Attempts that were answered without a believable usage."
        ) { $0.unaccounted }
        eachTarget(
            "sluice_usage_implausible_total",
            "Attempts whose provider reported impossible figures: beyond the request, or 0 for a text."
        ) { $0.implausible }
    }
}
