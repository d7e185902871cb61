// One run of `sluice bench`: who asks, when the measuring begins, what is reported.
import Client
import Core
import Net
import Telemetry

/// Asks one request after the other. Confined to the bench's lane.
protocol BenchCaller: AnyObject {
    /// Sends one request; its end is told to `Bench.counted`.
    func ask()
    /// Bytes so far over connections of its own, TLS included.
    var wireBytes: (sent: Int64, received: Int64) { get }
}

/// Counts and times of one run. Confined to its lane.
final class Bench: @unchecked Sendable {
    let lane: Lane
    let load: BenchLoad
    private let target: BenchTarget
    private var client: LaneClient?
    private var callers: [any BenchCaller] = []
    /// Of these, those that have nothing under way; used where requests come at a rate.
    private var resting: [any BenchCaller] = []
    private var started = 0
    private var done = 0
    private var errors: [String: Int] = [:]
    private var latency = Histogram()
    private var firstToken = Histogram()
    private var deltas: Int64 = 0
    private var began = Instant(nanoseconds: 0)
    private var ownBefore: Int64 = 0
    private var usageBefore: [Int: ProcessUsage] = [:]
    private var bytesBefore: (sent: Int64, received: Int64) = (0, 0)
    private var isMeasuring = false
    private var makeCaller: (() -> any BenchCaller)?
    private var lastShown = Instant(nanoseconds: 0)

    init(_ lane: Lane, _ load: BenchLoad, _ target: BenchTarget) {
        self.lane = lane
        self.load = load
        self.target = target
    }

    /// Connects, then asks.
    func start() {
        switch target {
        case .cluster(let options):
            let client = LaneClient(lane: lane, options: options)
            self.client = client
            if load.isFresh { makeCaller = { [self] in FreshCaller(self, options) } }
            waitUntilReady(client, options.connections, since: lane.now)
        case .http(let endpoint, let path, let tls, let serverName):
            let all = (0..<load.concurrency).map { _ in HTTPCaller(self, endpoint, path, tls, serverName) }
            callers = all
            var missing = all.count
            for caller in all {
                caller.connect { [self] in
                    missing -= 1
                    if missing == 0 { beginAsking() }
                }
            }
        }
    }

    private func waitUntilReady(_ client: LaneClient, _ wanted: Int, since: Instant) {
        let ready = client.readyConnections
        if ready == wanted {
            let body = WireCaller.body(load)
            if makeCaller == nil { makeCaller = { [self] in WireCaller(self, client, body) } }
            callers = (0..<load.concurrency).compactMap { _ in makeCaller?() }
            return beginAsking()
        }
        if let refusal = client.refusal { Program.fail(refusal) }
        // Somebody who does not answer at all is told soon; many connections may take their time.
        guard lane.now - since < (ready == 0 ? .seconds(3) : .seconds(10)) else {
            if ready == 0 { Program.fail(.unreachable(client.lastProblem)) }
            Program.fail(
                ExitCode.unavailable, "\(ready) of \(wanted) connections are ready after 10 s: \(client.lastProblem)",
                hint: "ask for fewer with --connections")
        }
        lane.schedule(after: .milliseconds(5)) { [self] in waitUntilReady(client, wanted, since: since) }
    }

    private func beginAsking() {
        if load.warmup == 0 { beginMeasuring() }
        if load.rate > 0 {
            resting = callers
            return askAtRate(since: lane.now, 0)
        }
        for caller in callers where takeTurn() { caller.ask() }
    }

    /// Asks the request of this number when it is due; those before it may still be under way.
    private func askAtRate(since begin: Instant, _ number: Int64) {
        guard takeTurn() else { return }
        if let caller = resting.popLast() ?? makeCaller?() { caller.ask() }
        let due = begin + .nanoseconds((number + 1) * 1_000_000_000 / Int64(load.rate))
        lane.schedule(at: due) { [self] in askAtRate(since: begin, number + 1) }
    }

    /// True when another request is to be sent.
    private func takeTurn() -> Bool {
        guard started < load.warmup + load.requests else { return false }
        started += 1
        return true
    }

    /// A caller's request ended; the caller asks again while there is something to ask.
    func counted(_ caller: some BenchCaller, deltas count: Int64, began: Instant, firstAt: Instant?, failure: String?) {
        done += 1
        if isMeasuring {
            latency.record(from: began, to: lane.now)
            if let firstAt { firstToken.record(from: began, to: firstAt) }
            deltas += count
            if let failure { errors[failure, default: 0] += 1 }
        } else if let failure {
            Program.fail(ExitCode.failed, "a request before measuring failed: \(failure)")
        }
        if done == load.warmup { beginMeasuring() }
        if done == load.warmup + load.requests { return finish() }
        if lane.now - lastShown > .seconds(1) { show() }
        if load.rate > 0 {
            resting.append(caller)
        } else if takeTurn() {
            caller.ask()
        }
    }

    private func show() {
        lastShown = lane.now
        Screen.progress("\(done) of \(load.warmup + load.requests) requests")
    }

    private var wireBytes: (sent: Int64, received: Int64) {
        callers.reduce(client?.wireBytes ?? (0, 0)) {
            ($0.sent + $1.wireBytes.sent, $0.received + $1.wireBytes.received)
        }
    }

    private func beginMeasuring() {
        isMeasuring = true
        bytesBefore = wireBytes
        for pid in load.pids { usageBefore[pid] = ProcessUsage(pid) }
        ownBefore = Host.processorMicroseconds()
        began = Host.monotonicNow()
    }

    private func finish() {
        let seconds = Double((Host.monotonicNow() - began).nanoseconds) / 1e9
        let ownMicroseconds = Double(Host.processorMicroseconds() - ownBefore)
        let count = Double(load.requests)
        var report = BenchReport(isJSON: load.isJSON)
        report.add("requests", count, "")
        report.add("requests_per_second", count / seconds, "/s")
        for (name, percent) in [("p50", 50.0), ("p90", 90), ("p99", 99)] {
            report.add("latency_\(name)_us", Double(latency.percentile(percent) ?? 0) / 1_000, "us")
        }
        report.add("latency_max_us", Double(latency.largest) / 1_000, "us")
        if load.isStream {
            report.add("first_token_p50_us", Double(firstToken.percentile(50) ?? 0) / 1_000, "us")
            report.add("first_token_p99_us", Double(firstToken.percentile(99) ?? 0) / 1_000, "us")
            report.add("tokens", Double(deltas), "")
            report.add("tokens_per_second", Double(deltas) / seconds, "/s")
        }
        report.add("errors", Double(errors.values.reduce(0, +)), "")
        let bytes = wireBytes
        report.add("bytes_sent_per_request", Double(bytes.sent - bytesBefore.sent) / count, "B")
        report.add("bytes_received_per_request", Double(bytes.received - bytesBefore.received) / count, "B")
        addProcesses(to: &report)
        report.add("own_cpu_us_per_request", ownMicroseconds / count, "us")
        Screen.clearProgress()
        Screen.print(report.text(errors))
        Host.exit(errors.isEmpty ? 0 : ExitCode.failed)
    }

    /// A process that ended meanwhile has no figures, rather than wrong ones.
    private func addProcesses(to report: inout BenchReport) {
        for pid in load.pids {
            guard let before = usageBefore[pid], let after = ProcessUsage(pid) else { continue }
            let microseconds = Double(after.cpuNanoseconds - before.cpuNanoseconds) / 1_000
            report.add("cpu_us_per_request_\(pid)", microseconds / Double(load.requests), "us")
            if deltas > 0 { report.add("cpu_us_per_token_\(pid)", microseconds / Double(deltas), "us") }
            report.add("resident_kib_\(pid)", Double(after.residentBytes) / 1_024, "KiB")
            report.add("resident_growth_kib_\(pid)", Double(after.residentBytes - before.residentBytes) / 1_024, "KiB")
        }
    }

    // MARK: - Idle connections

    /// Opens connections, waits until they rest, and tells the memory of the processes for each.
    func holdIdle() {
        for pid in load.pids { usageBefore[pid] = ProcessUsage(pid) }
        let opened = IdleConnections(lane, load.idle, target)
        opened.open { [self] in
            lane.schedule(after: .seconds(2)) { [self] in
                var report = BenchReport(isJSON: load.isJSON)
                report.add("connections", Double(opened.count), "")
                for pid in load.pids {
                    guard let before = usageBefore[pid], let after = ProcessUsage(pid) else { continue }
                    let kib = Double(after.residentBytes - before.residentBytes) / 1_024
                    report.add("kib_per_connection_\(pid)", kib / Double(max(1, opened.count)), "KiB")
                }
                Screen.clearProgress()
                Screen.print(report.text([:]))
                Host.exit(opened.count == load.idle ? 0 : ExitCode.failed)
            }
        }
    }
}
