// `sluice bench`: a closed-loop load, over the wire protocol or over HTTP, measured the same way.
import Client
import Core
import Net

enum BenchCommand {
    static let command = Command(
        "bench", "load the cluster, or any server of OpenAI's API, and measure", help: help, run: run)

    static let help = """
        usage: sluice bench [options]

          --concurrency N      requests under way at once (default: 32)
          --connections N      connections over the wire protocol (default: 4); over HTTP one for each request under way
          --requests N         requests to measure (default: 10000)
          --rate N             ask N requests a second, however many are under way, instead of a closed loop
          --fresh              make a connection for each request and measure that too; a failed try is an error
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

        Requests are asked in a closed loop: as many as --concurrency says are under way all the time. A time
        runs from the moment a request is handed to its connection to the moment its last byte is read.
        own_cpu_us_per_request is this program's own processor time: where it shares processors with what it
        measures and comes near the time between two requests, it is the load that is measured.

        \(ClusterAccess.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued: Set<String> = [
            "--concurrency", "--connections", "--requests", "--warmup", "--tokens", "--pace", "--prompt-bytes",
            "--model", "--idle", "--target", "--pid", "--rate",
        ]
        let arguments = try Arguments(
            words, valued: valued.union(ClusterAccess.options), plain: ["--stream", "--json", "--fresh"], most: 0)
        let load = try BenchLoad(arguments)
        guard !load.isFresh || arguments.value("--target") == nil else {
            throw UsageProblem(text: "--fresh is for the wire protocol; it does not go with --target")
        }
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
    /// Requests a second; 0: a closed loop.
    let rate: Int
    let isFresh: Bool
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
        rate = try arguments.number("--rate", in: 0...100_000, default: 0)
        isFresh = arguments.has("--fresh")
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
            guard ProcessUsage(pid) != nil else { throw UsageProblem(text: "no process \(pid)") }
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
