// `sluice chat`: one prompt, its answer printed as it comes.
import Client
import Core
import Net
import Wire

enum ChatCommand {
    static let command = Command("chat", "send a prompt and print the answer as it comes", help: help, run: run)

    static let help = """
        usage: sluice chat [options] PROMPT…        (without PROMPT: read it from standard input)

          --model ALIAS        the route to ask (default: chat-default)
          --system TEXT        rules for the model
          --priority P         interactive, background or batch (default: interactive)
          --deadline SECONDS   time for everything (default: 120)
          --feature NAME       what it is for, for attribution
          --max-output N       output limit in tokens
          --no-stream          ask for one whole answer
          --resume             should the connection break, go on with the answer on another one
          --json               print one JSON object instead of text, also when the request fails
        \(ClusterAccess.help)
        The answer goes to standard output, usage and cost to standard error. Ctrl-C cancels.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued: Set<String> = [
            "--model", "--system", "--priority", "--deadline", "--feature", "--max-output",
        ]
        let arguments = try Arguments(
            words, valued: valued.union(ClusterAccess.options), plain: ["--no-stream", "--resume", "--json"])
        var options = try ClusterAccess.client(arguments)
        options.connections = 1
        options.continuesStreams = arguments.has("--resume")
        let head = try head(arguments)
        let prompt = try prompt(arguments)
        // From here on Ctrl-C is the lane's; until here it ends the program as usual.
        Signals.blockAllFirst()
        var body = ChatBodyWriter()
        if let system = arguments.value("--system") { body.message(.system, system) }
        body.message(.user, prompt)
        let bytes = body.finish().array()
        let isJSON = arguments.has("--json")
        let settings = options
        Program.onLane { lane in
            let client = LaneClient(lane: lane, options: settings)
            let printer = AnswerPrinter(isJSON: isJSON)
            let request = client.send(head, body: bytes, handler: printer)
            printer.watch(lane, request)
        }
    }

    private static func prompt(_ arguments: Arguments) throws(UsageProblem) -> String {
        if !arguments.words.isEmpty { return arguments.words.joined(separator: " ") }
        if Host.isTerminal(0) { Screen.note("reading the prompt; end it with Ctrl-D") }
        let bytes: [UInt8]
        do {
            bytes = try FileAccess.read("/dev/stdin", limit: 1 << 20)
        } catch {
            throw UsageProblem(text: "\(error)", hint: "a prompt on standard input has at most 1 MiB")
        }
        guard !bytes.isEmpty else {
            throw UsageProblem(text: "no prompt: sluice chat PROMPT, or give it on standard input")
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
        guard feature.utf8.count <= 64, !feature.hasControls else {
            throw UsageProblem(text: "--feature takes at most 64 bytes, and no control characters")
        }
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
    private var collected = CollectedAnswer()
    private var terminal = TerminalText()
    private var isOnNewLine = true
    private var signals: Signals?
    private var signal: Int32?

    init(isJSON: Bool) { self.isJSON = isJSON }

    /// The first signal cancels and waits a second for the last word; the next one ends the program.
    func watch(_ lane: Lane, _ request: PendingRequest) {
        signals = try? Signals(lane: lane) { [self] number in
            guard signal == nil else { Host.exit(128 + number) }
            signal = number
            lane.schedule(after: .seconds(1)) { [self] in interrupted("no word from the cluster within a second") }
            request.cancel()
        }
    }

    private func interrupted(_ text: String, _ failure: ClientFailure = .cancelled) -> Never {
        if isJSON { Screen.print(collected.json(failure).json + "\n") }
        Program.fail(128 + (signal ?? 2), "cancelled: \(text)")
    }

    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        let piece = bytes.array(0..<bytes.byteCount)
        if isJSON { return collected.add(choice: choice, kind: kind, piece) }
        guard choice == 0, kind == .text || kind == .refusal || kind == .toolArguments else { return }
        // As bytes: a piece may end inside a character. A file gets them as they came.
        Screen.print(bytes: Screen.isRead ? terminal.visible(piece) : piece)
        isOnNewLine = piece.last == 10
    }

    func received(_ event: StreamEvent) {
        if isJSON { return collected.add(event) }
        switch event {
        case .toolCallStart(0, _, _, let name): line("[tool \(name)] ")
        case .restart(0, let attempt): line("[attempt \(attempt)] ")
        default: break
        }
    }

    /// Something of our own between the pieces, on a line that it begins.
    private func line(_ words: String) {
        Screen.print("\(isOnNewLine ? "" : "\n")\(words)")
        isOnNewLine = false
    }

    func finished(_ result: Result<End, ClientFailure>) {
        if !isOnNewLine { Screen.print("\n") }
        switch result {
        case .success(let end): succeeded(end)
        case .failure(.refused(let error)) where signal != nil && error.code == .cancelled:
            let cost = MicroUSD(Int64(clamping: error.costMicroUSD))
            interrupted("\(error.inputTokens) tokens in, \(error.outputTokens) out, \(cost)", .refused(error))
        case .failure where signal != nil: interrupted("nothing was sent")
        case .failure(let failure):
            if isJSON { Screen.print(collected.json(failure).json + "\n") }
            Program.fail(failure)
        }
    }

    private func succeeded(_ end: End) {
        let cost = MicroUSD(Int64(clamping: end.costMicroUSD))
        if isJSON {
            Screen.print(collected.json(end).json + "\n")
        } else {
            let text = """
                \(end.finish.word): \(end.inputTokens) tokens in, \(end.outputTokens) out, \(cost), \
                first after \(end.timeToFirstTokenMilliseconds) ms, \(end.totalMilliseconds) ms in all
                """
            Screen.note(text)
        }
        Host.exit(0)
    }
}
