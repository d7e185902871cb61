// `sluice`: the tool for people; each command stands in a file of its own.
import Core
import Net
import Policy

/// What a command ends with; documented in the help text.
enum ExitCode {
    static let failed: Int32 = 1
    static let usage: Int32 = 64
    static let unavailable: Int32 = 69
    static let tryLater: Int32 = 75
    static let notAllowed: Int32 = 77
}

@main struct Program {
    static let version = "0.1.0"

    static let help = """
        sluice: talk to a Sluice cluster, and look after it

        usage: sluice COMMAND [options]

          chat      send a prompt and print the answer as it comes
          keys      create, change, rotate, revoke, list, show API keys
          status    show the cluster, its nodes and their load
          apply     let the coordinator read cluster.conf again
          check     tell everything that is wrong in a cluster.conf
          config    print one setting of a cluster.conf
          bench     load the cluster, or any server of OpenAI's API, and measure
          dump      show frames of the wire protocol in words
          version   print the version
          help      this text; sluice help COMMAND for one command

        exit codes: 0 done, 1 failed, 64 bad command line or configuration, 69 the cluster cannot be reached,
                    75 refused for now (the time to retry is printed), 77 not allowed.

        """

    static func main() {
        Host.prepareForThreads()
        var words = Array(CommandLine.arguments.dropFirst())
        guard !words.isEmpty else { return Host.write(help) }
        var command = words.removeFirst()
        if ["help", "--help", "-h"].contains(command) {
            guard let wanted = words.first else { return Host.write(help) }
            command = wanted
            words = ["--help"]
        }
        let wantsHelp = words.contains("--help") || words.contains("-h")
        do throws(UsageProblem) {
            switch command {
            case "chat": wantsHelp ? Host.write(ChatCommand.help) : try ChatCommand.run(words)
            case "keys": wantsHelp ? Host.write(KeysCommand.help) : try KeysCommand.run(words)
            case "status": wantsHelp ? Host.write(StatusCommand.help) : try StatusCommand.run(words)
            case "apply": wantsHelp ? Host.write(ApplyCommand.help) : try ApplyCommand.run(words)
            case "check": wantsHelp ? Host.write(CheckCommand.help) : try CheckCommand.run(words)
            case "config": wantsHelp ? Host.write(ConfigCommand.help) : try ConfigCommand.run(words)
            case "bench": wantsHelp ? Host.write(BenchCommand.help) : try BenchCommand.run(words)
            case "dump": wantsHelp ? Host.write(DumpCommand.help) : try DumpCommand.run(words)
            case "version", "--version": Host.write("sluice \(version)\n")
            default: throw UsageProblem(text: "unknown command '\(command)'; see sluice help")
            }
        } catch {
            fail(ExitCode.usage, error.text)
        }
    }

    /// Says what is wrong, on standard error, and ends.
    static func fail(_ code: Int32, _ text: String) -> Never {
        Host.write("sluice: \(text)\n", toError: true)
        Host.exit(code)
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
