// `sluice config`: one setting of a cluster.conf, for scripts; the configurations that the cluster has run.
import Core
import Net
import Policy

enum ConfigCommand {
    static let command = Command(
        "config", "show, compare and bring back configurations; print one setting", help: help, run: run)

    static let help = """
        usage: sluice config get NAME [options]
               sluice config history [--json]
               sluice config diff [A [B]]
               sluice config rollback N [--reason TEXT] [--confirm-routes N]

        history lists the last configurations that were applied: when, by whom, why. diff shows what separates the
        one in use from the file here, version A from the one in use, or A from B. rollback publishes version N
        again, as a new version; the file stays as it is.

        \(ApplyCommand.help(of: "why it is brought back"))
        get prints one setting, for scripts. NAME is one of:
          nodes.listen nodes.base-port nodes.admin-listen nodes.admin-base-port nodes.balancer-addresses
          nodes.drain-notice-seconds nodes.drain-limit-seconds balancer.listen redis.address cluster.state-directory
          coordinator.names coordinator.NAME.listen coordinator.NAME.admin

        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let valued = AdminCall.options.union(ApplyCommand.options)
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 3)
        switch (arguments.words.first, arguments.words.count) {
        case ("get", 2): try get(arguments)
        case ("history", 1): try ConfigurationVersionsView.history(arguments)
        case ("diff", 1...3): try ConfigurationVersionsView.diff(arguments)
        case ("rollback", 2):
            let number = try version(arguments.words[1])
            let body = try ApplyCommand.change(arguments)
            try AdminCall.send(arguments, "POST", "/v1/config/\(number)/rollback", body: body) {
                ApplyCommand.published($0, $1)
            }
        default: throw UsageProblem(text: "expected: sluice config get NAME, history, diff [A [B]] or rollback N")
        }
    }

    static func version(_ text: String) throws(UsageProblem) -> Int64 {
        guard let number = Int64(text), number > 0 else {
            throw UsageProblem(
                text: "expected the number of a version, found '\(text)'", hint: "see: sluice config history")
        }
        return number
    }

    private static func get(_ arguments: Arguments) throws(UsageProblem) {
        let configuration = try ConfigurationFile.read(AdminCall.file(arguments))
        var settings: [String: String] = [
            "nodes.listen": configuration.nodes.listen, "nodes.base-port": "\(configuration.nodes.basePort)",
            "nodes.admin-listen": configuration.nodes.adminListen,
            "nodes.balancer-addresses": configuration.nodes.balancerAddresses.map(\.description).joined(separator: " "),
            "nodes.admin-base-port": "\(configuration.nodes.adminBasePort)",
            "nodes.drain-notice-seconds": "\(configuration.nodes.drainNotice.milliseconds / 1_000)",
            "nodes.drain-limit-seconds": "\(configuration.nodes.drainLimit.milliseconds / 1_000)",
            "balancer.listen": configuration.balancer ?? "", "redis.address": configuration.redis.address,
            "coordinator.names": configuration.coordinators.map(\.name).joined(separator: " "),
            "cluster.state-directory": configuration.stateDirectory,
            "tls.ca": FileAccess.path(configuration.tls.ca, in: FileAccess.folder(of: AdminCall.file(arguments))),
        ]
        for coordinator in configuration.coordinators {
            settings["coordinator.\(coordinator.name).listen"] = coordinator.listen
            settings["coordinator.\(coordinator.name).admin"] = coordinator.admin
            settings["coordinator.\(coordinator.name).admin-url"] = coordinator.adminURL
        }
        guard let value = settings[arguments.words[1]] else {
            throw UsageProblem(text: "no setting '\(arguments.words[1])'")
        }
        Screen.print(value + "\n")
    }
}
