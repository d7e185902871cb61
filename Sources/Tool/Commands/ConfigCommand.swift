// `sluice config`: one setting of a cluster.conf, for scripts; the configurations that the cluster has run.
import Core
import Net
import Policy

enum ConfigCommand {
    static let command = Command(
        "config", "show, compare and bring back configurations; print settings", help: help, run: run)

    static let help = """
        usage: sluice config get NAME [options]
               sluice config settings [KIND]
               sluice config history [--json]
               sluice config diff [A [B]]
               sluice config rollback N [--reason TEXT] [--confirm-routes N]

        history lists the last configurations that were applied: when, by whom, why. diff shows what separates the
        one in use from the file here, version A from the one in use, or A from B. rollback publishes version N
        again, as a new version; the file stays as it is.

        \(ApplyCommand.help(of: "why it is brought back"))
        get prints one setting of the file, given or by default, for scripts. NAME is KIND.KEY where a file has one such
        section, else KIND.SECTION.KEY: nodes.lanes, coordinator.a.admin, route.chat-default.attempts. Besides these:
          \(computedNames.joined(separator: " "))
        settings prints what a file may say in sections of KIND, or in all: each key with its values, its default, its
        meaning and who reads it.

        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued = AdminCall.options.union(ApplyCommand.options)
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 3)
        switch (arguments.words.first, arguments.words.count) {
        case ("get", 2): try get(arguments)
        case ("settings", 1...2): try settings(arguments.words.dropFirst().first)
        case ("history", 1): try ConfigurationVersionsView.history(arguments)
        case ("diff", 1...3): try ConfigurationVersionsView.diff(arguments)
        case ("rollback", 2):
            let number = try version(arguments.words[1])
            let body = try ApplyCommand.change(arguments)
            try AdminCall.send(arguments, "POST", "/v1/config/\(number)/rollback", body: body) {
                ApplyCommand.published($0, $1)
            }
        default:
            throw UsageProblem(text: "expected: sluice config get NAME, settings, history, diff [A [B]] or rollback N")
        }
    }

    static func version(_ text: String) throws(UsageProblem) -> Int64 {
        guard let number = Int64(text), number > 0 else {
            throw UsageProblem(
                text: "expected the number of a version, found '\(text)'", hint: "see: sluice config history")
        }
        return number
    }

    private static let computedNames = [
        "coordinator.names", "coordinator.SECTION.admin-url", "nodes.drain-notice-seconds", "nodes.drain-limit-seconds",
        "tls.ca-path",
    ]

    private static func get(_ arguments: Arguments) throws(UsageProblem) {
        let (name, file) = (arguments.words[1], AdminCall.file(arguments))
        let configuration = try ConfigurationFile.read(file)
        guard let value = computed(name, configuration, file) ?? configuration.setting(name) else {
            throw UsageProblem(text: "no setting '\(name)'", hint: "see: sluice config settings")
        }
        Screen.print(value + "\n")
    }

    /// What scripts need of a file and no line of it says.
    private static func computed(_ name: String, _ configuration: ClusterConfiguration, _ file: String) -> String? {
        switch name {
        case "coordinator.names": return configuration.coordinators.map(\.name).joined(separator: " ")
        case "nodes.drain-notice-seconds": return "\(configuration.nodes.drainNotice.milliseconds / 1_000)"
        case "nodes.drain-limit-seconds": return "\(configuration.nodes.drainLimit.milliseconds / 1_000)"
        case "tls.ca-path": return FileAccess.path(configuration.tls.ca, in: FileAccess.folder(of: file))
        default: return configuration.coordinators.first { "coordinator.\($0.name).admin-url" == name }?.adminURL
        }
    }

    private static func settings(_ kind: String?) throws(UsageProblem) {
        let tables = SettingTable.all.filter { kind == nil || $0.kind == kind }
        guard !tables.isEmpty else {
            let known = SettingTable.all.map(\.kind).joined(separator: ", ")
            throw UsageProblem(text: "no kind of section '\(kind ?? "")'; known: \(known)")
        }
        Screen.print(tables.map { "**`\($0.form)`**\n\n\($0.text)" }.joined(separator: "\n"))
    }
}
