// `sluice`: the tool for people; finds the command and runs it.
import Client
import Core
import Net
import Wire

/// What a command ends with; documented in the help text.
enum ExitCode {
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let unavailable: Int32 = 69
    static let tryLater: Int32 = 75
    static let notAllowed: Int32 = 77
    static let interrupted: Int32 = 130
}

@main struct Program {
    static let version = ProductVersion.text

    /// Every command, in the order of the help text. A new one is a file of its own and a line here.
    static let commands: [Command] = [
        ChatCommand.command, KeysCommand.command, ExplainCommand.command, StatusCommand.command, BreakerCommand.command,
        CanaryCommand.command, CanaryCommand.migration,
        ApplyCommand.command, UsageCommand.command, LedgerCommand.command, CheckCommand.command, ConfigCommand.command,
        BenchCommand.command, DumpCommand.command,
        Command("version", "print the version", help: "usage: sluice version\n") { words throws(UsageProblem) in
            _ = try Arguments(words, most: 0)
            Screen.print("sluice \(version)\n")
        },
    ]

    static var help: String {
        let width = commands.map(\.name.count).max() ?? 0
        let rows = commands.map { command in
            "  \(command.name)\(String(repeating: " ", count: width - command.name.count))   \(command.summary)"
        }
        return """
            sluice: talk to a Sluice cluster, and look after it

            usage: sluice COMMAND [options]

            \(rows.joined(separator: "\n"))

            sluice help COMMAND tells all about one command.

            exit codes: 0 done, 1 failed, 64 bad command line or configuration, 69 the cluster cannot be reached,
                        75 refused for now (the time to retry is printed), 77 not allowed, 130 interrupted.

            """
    }

    static func main() {
        Host.prepareForThreads()
        Signals.ignoreBrokenPipes()
        var words = Array(CommandLine.arguments.dropFirst())
        guard !words.isEmpty else { return Screen.print(help) }
        var name = words.removeFirst()
        if ["help", "--help", "-h"].contains(name) {
            guard let wanted = words.first else { return Screen.print(help) }
            name = wanted
            words = ["--help"]
        }
        if name == "--version" { name = "version" }
        guard let command = commands.first(where: { $0.name == name }) else {
            fail(ExitCode.usage, "unknown command '\(name)'", hint: guess(name))
        }
        let options = words.prefix { $0 != "--" }
        if options.contains("--help") || options.contains("-h") { return Screen.print(command.help) }
        do throws(UsageProblem) {
            try command.run(words)
        } catch {
            fail(ExitCode.usage, error.text, hint: error.hint ?? "see: sluice help \(name)")
        }
    }

    /// The command that was probably meant: the same letters in another order, or a beginning.
    private static func guess(_ name: String) -> String {
        let meant = commands.first { $0.name.sorted() == name.sorted() || ($0.name.hasPrefix(name) && !name.isEmpty) }
        return meant.map { "did you mean: sluice \($0.name)" } ?? "see: sluice help"
    }

    /// Says what is wrong and what to do, on standard error, and ends.
    static func fail(_ code: Int32, _ text: String, hint: String? = nil) -> Never {
        Screen.clearProgress()
        let lines = "sluice: \(text)\n\(hint.map { "  \($0)\n" } ?? "")"
        Host.write(lines.visible(keeping: "\n\t"), toError: true)
        Host.exit(code)
    }

    /// Says why a request has no answer, and ends.
    static func fail(_ failure: ClientFailure) -> Never {
        let code: Int32
        switch failure {
        case .unreachable, .connectionLost, .closed: code = ExitCode.unavailable
        case .full, .cancelled: code = ExitCode.tryLater
        case .deadline: code = ExitCode.failed
        case .refused(let error) where error.code == .authFailed || error.code == .forbidden: code = ExitCode.notAllowed
        case .refused(let error):
            let isForNow = error.retry == .safeHere || error.retry == .safeElsewhere
            code = isForNow ? ExitCode.tryLater : ExitCode.failed
        }
        fail(code, "\(failure)", hint: ClusterAccess.hint(failure))
    }

    /// Runs `body` on a lane; the program goes on until something there ends it.
    static func onLane(_ body: @escaping @Sendable (Lane) -> Void) {
        do {
            let lane = try Lane.start(count: 1, name: "tool")[0]
            lane.execute { body(lane) }
            lane.join()
        } catch {
            fail(ExitCode.failed, "\(error)")
        }
    }
}
