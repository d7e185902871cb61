// `sluice bench`: a closed-loop load, over the wire protocol or over HTTP, measured the same way.
import Client
import Core
import HTTP
import Net
import Telemetry
import Wire

enum BenchCommand {
    static let help = """
        usage: sluice bench [options]

          --concurrency N      requests under way at once (default: 32)
          --connections N      connections over the wire protocol (default: 4); over HTTP one for each request under way
          --requests N         requests to measure (default: 10000)
          --warmup N           requests before measuring (default: a tenth of --requests)
          --stream             stream the answers
          --tokens N           output tokens to ask the provider simulator for (default: 16)
          --pace TIME          time between two tokens, such as 10ms (default: none)
          --prompt-bytes N     size of the prompt (default: 200)
          --model ALIAS        the route to ask (default: chat-default)
          --idle N             open N connections, hold them, and measure memory instead
          --target URL         send the same load as OpenAI's API over HTTP or HTTPS, for example to a proxy
          --pid P              also measure the processor time and memory of process P; repeatable
          --json               print one JSON object
        \(ClusterAccess.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued: Set<String> = [
            "--concurrency", "--connections", "--requests", "--warmup", "--tokens", "--pace", "--prompt-bytes",
            "--model", "--idle", "--target", "--pid",
        ]
        let arguments = try Arguments(
            words, valued: valued.union(ClusterAccess.options), plain: ["--stream", "--json"])
        let load = try BenchLoad(arguments)
        Host.raiseDescriptorLimit()
        let target = try target(arguments, load)
        Program.onLane { lane in
            let bench = Bench(lane, load, target)
            if load.idle > 0 { bench.holdIdle() } else { bench.start() }
        }
    }

    private static func target(_ arguments: Arguments, _ load: BenchLoad) throws(UsageProblem) -> BenchTarget {
        guard let url = arguments.value("--target") else {
            var options = try ClusterAccess.client(arguments)
            options.connections = load.connections
            options.attempts = 1
            return .cluster(options)
        }
        let isEncrypted = url.hasPrefix("https://")
        let rest = url.dropFirst(isEncrypted ? 8 : 7)
        let slash = rest.firstIndex(of: "/") ?? rest.endIndex
        guard isEncrypted || url.hasPrefix("http://"), let endpoint = Endpoint.parse(String(rest[..<slash])) else {
            throw UsageProblem(text: "--target takes a URL with a port such as https://127.0.0.1:8443/v1")
        }
        let tls = isEncrypted ? try ClusterAccess.tls(arguments, protocols: ["http/1.1"]) : nil
        return .http(endpoint, String(rest[slash...]), tls, arguments.value("--server-name") ?? "localhost")
    }
}

/// The shape of a load.
struct BenchLoad: Sendable {
    let concurrency: Int
    let connections: Int
    let requests: Int
    let warmup: Int
    let isStream: Bool
    let tokens: Int
    let pace: String
    let prompt: String
    let model: String
    let idle: Int
    let pids: [Int]
    let isJSON: Bool

    init(_ arguments: Arguments) throws(UsageProblem) {
        concurrency = try arguments.number("--concurrency", in: 1...20_000, default: 32)
        connections = try arguments.number("--connections", in: 1...10_000, default: 4)
        requests = try arguments.number("--requests", in: 1...100_000_000, default: 10_000)
        warmup = try arguments.number("--warmup", in: 0...10_000_000, default: requests / 10)
        isStream = arguments.has("--stream")
        tokens = try arguments.number("--tokens", in: 1...100_000, default: 16)
        pace = arguments.value("--pace") ?? ""
        let size = try arguments.number("--prompt-bytes", in: 1...1_000_000, default: 200)
        let knobs = "sim: tokens=\(tokens)" + (pace.isEmpty ? "" : " pace=\(pace)")
        let filler = "The quick brown fox jumps over the lazy dog. "
        let text = String(repeating: filler, count: size / filler.utf8.count + 1)
            .prefix(max(1, size - knobs.utf8.count - 1))
        prompt = "\(text)\n\(knobs)"
        model = arguments.value("--model") ?? "chat-default"
        idle = try arguments.number("--idle", in: 0...50_000, default: 0)
        var pids: [Int] = []
        for text in arguments.all("--pid") {
            guard let pid = Int(text) else { throw UsageProblem(text: "--pid takes a number, found '\(text)'") }
            pids.append(pid)
        }
        self.pids = pids
        isJSON = arguments.has("--json")
    }
}

/// What is loaded.
enum BenchTarget: Sendable {
    case cluster(ClientOptions)
    case http(Endpoint, String, TLSContext?, String)
}

/// Counts and times of one run. Confined to its lane.
final class Bench: @unchecked Sendable {
    let lane: Lane
    let load: BenchLoad
    private let target: BenchTarget
    private var client: LaneClient?
    private var started = 0
    private var done = 0
    private var errors: [String: Int] = [:]
    private var latency = Histogram()
    private var firstToken = Histogram()
    private var deltas: Int64 = 0
    private var began = Instant(nanoseconds: 0)
    private var usageBefore: [Int: ProcessUsage] = [:]
    private var bytesBefore: (sent: Int64, received: Int64) = (0, 0)
    var httpBytes: (sent: Int64, received: Int64) = (0, 0)
    private var chance = Chance(seed: Host.randomSeed())
    private var body: [UInt8] = []
    private var isMeasuring = false
    private var callers: [HTTPCaller] = []
    private var lastShown = Instant(nanoseconds: 0)

    init(_ lane: Lane, _ load: BenchLoad, _ target: BenchTarget) {
        self.lane = lane
        self.load = load
        self.target = target
    }

    func start() {
        switch target {
        case .cluster(let options):
            var writer = ChatBodyWriter()
            writer.message(.user, load.prompt)
            body = writer.finish().array()
            let client = LaneClient(lane: lane, options: options)
            self.client = client
            waitUntilReady(client, options.connections, since: lane.now)
        case .http(let endpoint, let path, let tls, let serverName):
            for _ in 0..<load.concurrency {
                let caller = HTTPCaller(self, endpoint, path, tls, serverName)
                callers.append(caller)
                caller.connect()
            }
        }
        if load.warmup == 0 { beginMeasuring() }
    }

    private func waitUntilReady(_ client: LaneClient, _ wanted: Int, since: Instant) {
        if client.readyConnections == wanted { return (0..<load.concurrency).forEach { _ in next() } }
        guard lane.now - since < .seconds(10) else {
            let ready = client.readyConnections
            Program.fail(ExitCode.unavailable, "\(ready) of \(wanted) connections are ready after 10 s")
        }
        lane.schedule(after: .milliseconds(5)) { [self] in waitUntilReady(client, wanted, since: since) }
    }

    /// Starts one more request over the wire protocol, unless all were started.
    private func next() {
        guard let client, takeTurn() else { return }
        let head = RequestHead(
            idempotencyKey: chance.identifier(), model: load.model, flags: load.isStream ? .stream : [],
            timeoutMilliseconds: 60_000, maxOutputTokens: UInt32(load.tokens))
        client.send(head, body: body, handler: BenchHandler(self))
    }

    /// True when another request is to be sent.
    func takeTurn() -> Bool {
        guard started < load.warmup + load.requests else { return false }
        started += 1
        return true
    }

    func counted(deltas count: Int64, began: Instant, firstAt: Instant?, failure: String?) {
        done += 1
        if isMeasuring {
            latency.record(from: began, to: lane.now)
            if let firstAt { firstToken.record(from: began, to: firstAt) }
            deltas += count
            if let failure { errors[failure, default: 0] += 1 }
        } else if let failure {
            Program.fail(ExitCode.failed, "the first requests failed: \(failure)")
        }
        if done == load.warmup { beginMeasuring() }
        if done == load.warmup + load.requests { return finish() }
        show()
        if client != nil { next() }
    }

    private func show() {
        guard !load.isJSON, lane.now - lastShown > .seconds(1) else { return }
        lastShown = lane.now
        Host.write("\r\(done) of \(load.warmup + load.requests) requests", toError: true)
    }

    private var wireBytes: (sent: Int64, received: Int64) { client?.wireBytes ?? httpBytes }

    private func beginMeasuring() {
        isMeasuring = true
        began = lane.now
        bytesBefore = wireBytes
        for pid in load.pids { usageBefore[pid] = ProcessUsage(pid) }
    }

    private func finish() {
        let seconds = Double((Host.monotonicNow() - began).nanoseconds) / 1e9
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
        for pid in load.pids {
            guard let before = usageBefore[pid], let after = ProcessUsage(pid) else { continue }
            let microseconds = Double(after.cpuMicroseconds - before.cpuMicroseconds)
            report.add("cpu_us_per_request_\(pid)", microseconds / count, "us")
            if deltas > 0 { report.add("cpu_us_per_token_\(pid)", microseconds / Double(deltas), "us") }
            report.add("resident_kib_\(pid)", Double(after.residentBytes) / 1_024, "KiB")
            report.add("resident_growth_kib_\(pid)", Double(after.residentBytes - before.residentBytes) / 1_024, "KiB")
        }
        if !load.isJSON { Host.write("\r", toError: true) }
        Host.write(report.text(errors))
        Host.exit(errors.isEmpty ? 0 : ExitCode.failed)
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
                Host.write(report.text([:]))
                Host.exit(opened.count == load.idle ? 0 : ExitCode.failed)
            }
        }
    }
}

/// One request's answer over the wire protocol.
private final class BenchHandler: AnswerHandler {
    private let bench: Bench
    private let began: Instant
    private var firstAt: Instant?
    private var deltas: Int64 = 0

    init(_ bench: Bench) {
        self.bench = bench
        began = bench.lane.now
    }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        if firstAt == nil { firstAt = bench.lane.now }
        deltas += 1
    }

    func received(_ event: StreamEvent) {}

    func finished(_ result: Result<End, ClientFailure>) {
        switch result {
        // Deltas may be joined on the way: the provider's own figure counts tokens.
        case .success(let end):
            bench.counted(deltas: Int64(end.outputTokens), began: began, firstAt: firstAt, failure: nil)
        case .failure(.refused(let error)):
            bench.counted(deltas: deltas, began: began, firstAt: firstAt, failure: error.code.name)
        case .failure(let failure):
            bench.counted(deltas: deltas, began: began, firstAt: firstAt, failure: "\(failure)")
        }
    }
}
