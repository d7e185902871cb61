// `sluice chat`: one prompt, its answer printed as it comes.
import Client
import Core
import Net
import Wire

enum ChatCommand {
    static let help = """
        usage: sluice chat [options] PROMPT…        (without PROMPT: read it from standard input)

          --model ALIAS        the route to ask (default: chat-default)
          --system TEXT        rules for the model
          --priority P         interactive, background or batch (default: interactive)
          --deadline SECONDS   time for everything (default: 120)
          --feature NAME       what it is for, for attribution
          --max-output N       output limit in tokens
          --no-stream          ask for one whole answer
          --json               print one JSON object instead of text
        \(ClusterAccess.help)
        The answer goes to standard output, usage and cost to standard error. Ctrl-C cancels.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        Signals.blockAllFirst()
        let valued: Set<String> = [
            "--model", "--system", "--priority", "--deadline", "--feature", "--max-output",
        ]
        let arguments = try Arguments(
            words, valued: valued.union(ClusterAccess.options), plain: ["--no-stream", "--json"])
        var options = try ClusterAccess.client(arguments)
        options.connections = 1
        let prompt = try prompt(arguments)
        var body = ChatBodyWriter()
        if let system = arguments.value("--system") { body.message(.system, system) }
        body.message(.user, prompt)
        let head = try head(arguments)
        let bytes = body.finish().array()
        let isJSON = arguments.has("--json")
        let settings = options
        Program.onLane { lane in
            let client = LaneClient(lane: lane, options: settings)
            let printer = AnswerPrinter(isJSON: isJSON, client: client)
            let request = client.send(head, body: bytes, handler: printer)
            printer.cancelOnInterrupt(lane, request)
        }
    }

    private static func prompt(_ arguments: Arguments) throws(UsageProblem) -> String {
        if !arguments.words.isEmpty { return arguments.words.joined(separator: " ") }
        guard let bytes = try? FileAccess.read("/dev/stdin", limit: 1 << 20), !bytes.isEmpty else {
            throw UsageProblem(text: "say something: sluice chat PROMPT, or give it on standard input")
        }
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func head(_ arguments: Arguments) throws(UsageProblem) -> RequestHead {
        let seconds = try arguments.number("--deadline", in: 1...600, default: 120)
        let most = try arguments.number("--max-output", in: 0...1_000_000, default: 0)
        let priority: Priority
        switch arguments.value("--priority") ?? "interactive" {
        case "interactive": priority = .interactive
        case "background": priority = .background
        case "batch": priority = .batch
        case let other: throw UsageProblem(text: "--priority is interactive, background or batch, not '\(other)'")
        }
        let model = arguments.value("--model") ?? "chat-default"
        guard (1...128).contains(model.utf8.count) else { throw UsageProblem(text: "--model takes 1 to 128 bytes") }
        let feature = arguments.value("--feature") ?? ""
        guard feature.utf8.count <= 64 else { throw UsageProblem(text: "--feature takes at most 64 bytes") }
        var chance = Chance(seed: Host.randomSeed())
        return RequestHead(
            idempotencyKey: chance.identifier(), model: model, feature: feature, priority: priority,
            flags: arguments.has("--no-stream") ? [] : .stream, timeoutMilliseconds: UInt32(seconds * 1_000),
            maxOutputTokens: UInt32(most), traceID: chance.identifier())
    }
}

/// Prints one answer, then ends the program.
final class AnswerPrinter: AnswerHandler, @unchecked Sendable {
    private let isJSON: Bool
    private let client: LaneClient
    private var text: [UInt8] = []
    private var tools: [JSONValue] = []
    private var isOnNewLine = true
    private var signals: Signals?

    init(isJSON: Bool, client: LaneClient) {
        self.isJSON = isJSON
        self.client = client
    }

    func cancelOnInterrupt(_ lane: Lane, _ request: PendingRequest) {
        signals = try? Signals(lane: lane) { _ in request.cancel() }
    }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        guard choice == 0, kind == .text || kind == .refusal || kind == .toolArguments else { return }
        let piece = bytes.array(0..<bytes.byteCount)
        if isJSON {
            text += piece
        } else {
            Host.write(String(decoding: piece, as: UTF8.self))
            isOnNewLine = piece.last == 10
        }
    }

    func received(_ event: StreamEvent) {
        guard case .toolCallStart(_, _, let id, let name) = event else { return }
        if isJSON {
            tools.append(.object([.init("id", .string(id)), .init("name", .string(name))]))
        } else {
            Host.write("\(isOnNewLine ? "" : "\n")[tool \(name)] ")
        }
    }

    func finished(_ result: Result<End, ClientFailure>) {
        if !isOnNewLine { Host.write("\n") }
        switch result {
        case .success(let end): succeeded(end)
        case .failure(let failure):
            Program.fail(AnswerPrinter.exitCode(failure), "\(failure)")
        }
    }

    private func succeeded(_ end: End) {
        let cost = MicroUSD(Int64(clamping: end.costMicroUSD))
        if isJSON {
            let value = JSONValue.object([
                .init("text", .string(String(decoding: text, as: UTF8.self))), .init("tool_calls", .array(tools)),
                .init("finish_reason", .string("\(end.finish)")),
                .init("input_tokens", .integer(end.inputTokens)), .init("output_tokens", .integer(end.outputTokens)),
                .init("cached_tokens", .integer(end.cachedTokens)),
                .init("usage_source", .string("\(end.usageSource)")),
                .init("cost_micro_usd", .integer(end.costMicroUSD)),
                .init("first_token_ms", .integer(end.timeToFirstTokenMilliseconds)),
                .init("total_ms", .integer(end.totalMilliseconds)),
            ])
            Host.write(value.json + "\n")
        } else {
            let text = """
                \(end.finish): \(end.inputTokens) tokens in, \(end.outputTokens) out, \(cost), \
                first after \(end.timeToFirstTokenMilliseconds) ms, \(end.totalMilliseconds) ms in all

                """
            Host.write(text, toError: true)
        }
        Host.exit(0)
    }

    static func exitCode(_ failure: ClientFailure) -> Int32 {
        switch failure {
        case .unreachable, .connectionLost, .closed: return ExitCode.unavailable
        case .deadline, .full, .cancelled: return ExitCode.tryLater
        case .refused(let error):
            switch error.code {
            case .authFailed, .forbidden: return ExitCode.notAllowed
            case _ where error.retry == .safeHere || error.retry == .safeElsewhere: return ExitCode.tryLater
            default: return ExitCode.failed
            }
        }
    }
}
