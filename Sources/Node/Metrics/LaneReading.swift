// The state of a lane at the moment of a scrape, and the page that all lanes make together.
import Core
import Net
import Policy
import Store
import Telemetry

/// A lane's state at the moment of a scrape.
struct LaneReading: Reading, MetricSet {
    private var metrics: NodeMetrics
    private var redis: RedisMetrics
    private(set) var redisIsReady: Bool
    private(set) var primaries: [RedisPrimary]
    private var listener: ListenerCounts
    private var requestsUnderWay: Int
    private var settlementBacklog: Int
    private var targets: TargetReading
    private var leases: LeaseReading
    private(set) var safe: SafeReading
    private var resume: ResumeReading
    private(set) var overload: OverloadReading
    private var settled: Counter
    private var lost: Counter
    private var turns: TurnReading
    /// Calls that ended because nobody read them and others needed their slots.
    private var relieved: Counter

    static let rows: [MetricRow<LaneReading>] = [
        .part(\.metrics),
        .one(
            "sluice_stalled_calls_ended_total",
            "Answers that nobody read, ended because others waited for their slots.", \.relieved),
        .part(\.targets), .part(\.redis),
        MetricRow {
            RedisPrimary.merge($1.primaries, into: &$0.primaries)
        } write: {
            RedisPrimary.write($0.primaries, onto: &$1)
        },
        .all("sluice_redis_ready", "1 when Redis can be used.", \.redisIsReady),
        .one("sluice_settlements_total", "Settlements confirmed by Redis.", \.settled),
        .one("sluice_settlements_lost_total", "Settlements given up.", \.lost),
        .level("sluice_settlements_waiting", "Settlements to be repeated.", \.settlementBacklog),
        .part(\.leases), .part(\.safe), .part(\.resume), .part(\.overload),
        MetricRow {
            $0.listener.merge($1.listener)
        } write: {
            $0.listener.write(onto: &$1)
        },
        .level("sluice_requests_under_way", "Requests under way.", \.requestsUnderWay),
        .part(\.turns),
    ]

    /// Reads a lane; on its own thread.
    init(_ gateway: Gateway) {
        metrics = gateway.metrics
        redis = gateway.redis.metrics
        redisIsReady = !gateway.redis.isImpaired
        primaries = gateway.redis.primaries
        listener = gateway.listenerCounts
        requestsUnderWay = gateway.openRequests
        settlementBacklog = gateway.settlementBacklog
        targets = TargetReading(gateway)
        leases = LeaseReading(gateway.leases)
        safe = SafeReading(
            gateway.safeMode, spoolShare: gateway.spoolShare, damagedBytes: gateway.damagedSpoolBytes)
        resume = ResumeReading(gateway.resumptions)
        overload = OverloadReading(gateway.overload, load: gateway.load)
        settled = gateway.settlements.settled
        lost = gateway.settlements.lost
        turns = TurnReading(gateway.lane)
        relieved = gateway.admissions.values.reduce(into: Counter()) { $0.merge($1.relieved) }
    }

    /// The page that Prometheus reads.
    func page(_ facts: NodeFacts) -> ByteBuffer {
        var page = MetricsPage()
        page.facts("sluice_build_info", help: "The program.", [("version", Node.version)])
        page.facts("sluice_prices_info", help: "The prices in use, by content.", [("version", facts.priceVersion)])
        write(onto: &page)
        TLSContexts.shared.write(onto: &page)
        facts.write(onto: &page)
        page.gauge("process_resident_memory_bytes", help: "Memory.", value: .signed(Host.residentBytes()))
        page.counter(
            "process_cpu_seconds_total", help: "User and system time.",
            value: .nanoseconds(Host.processorMicroseconds() * 1_000))
        page.gauge("process_open_fds", help: "Open descriptors.", value: .signed(Int64(Host.openDescriptors())))
        return page.finish()
    }
}

extension NodeFacts {
    fileprivate func write(onto page: inout MetricsPage) {
        page.gauge("sluice_snapshot_epoch", help: "Epoch in use.", value: .unsigned(snapshotEpoch))
        page.gauge("sluice_snapshot_sequence", help: "Sequence in use.", value: .unsigned(snapshotSequence))
        page.gauge(
            "sluice_state_files_unsaved", help: "State files whose newest content could not be written to disk.",
            value: .signed(isSnapshotUnsaved ? 1 : 0))
        page.counter(
            "sluice_state_write_failures_total", help: "Writes of state files that failed.",
            value: snapshotWriteFailures)
        page.counter(
            "sluice_log_dropped_bytes_total", help: "Bytes of log lines lost.", value: UInt64(droppedLogBytes))
    }
}

extension ListenerCounts {
    fileprivate func write(onto page: inout MetricsPage) {
        page.gauge("sluice_connections", help: "Client connections.", value: .signed(Int64(open)))
        page.counter("sluice_connections_accepted_total", help: "Connections accepted.", value: .signed(accepted))
        page.gauge(
            "sluice_connections_pending", help: "Connections whose handshake or greeting is not done yet.",
            value: .signed(Int64(pending)))
        page.begin(
            "sluice_connections_refused_total", help: "Connections closed for a limit, by reason.", type: .counter)
        for reason in ConnectionRefusal.allCases {
            page.sample(
                "sluice_connections_refused_total", labels: LabelText(names: ["reason"], values: [reason.rawValue]),
                value: .signed(refusals[reason] ?? 0))
        }
        page.counter(
            "sluice_accept_pauses_total", help: "Times that accepting rested for want of descriptors.",
            value: .signed(pauses))
        page.counter(
            "sluice_handshake_failures_total", help: "TLS handshakes that failed.", value: .signed(handshakeFailures))
    }
}
