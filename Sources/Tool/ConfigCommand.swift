// `sluice config`: one setting of a cluster.conf, for scripts.
import Core
import Net
import Policy

enum ConfigCommand {
    static let command = Command("config", "print one setting of a cluster.conf", help: help, run: run)

    static let help = """
        usage: sluice config get NAME [options]

        Prints one setting, for scripts. NAME is one of:
          nodes.listen nodes.base-port nodes.admin-base-port nodes.drain-notice-seconds nodes.drain-limit-seconds
          balancer.listen redis.address cluster.state-directory coordinator.names coordinator.NAME.listen
          coordinator.NAME.admin

        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options, most: 2)
        guard arguments.words.count == 2, arguments.words[0] == "get" else {
            throw UsageProblem(text: "expected: sluice config get NAME")
        }
        let configuration = try ConfigurationFile.read(AdminCall.file(arguments))
        var settings: [String: String] = [
            "nodes.listen": configuration.nodes.listen, "nodes.base-port": "\(configuration.nodes.basePort)",
            "nodes.admin-base-port": "\(configuration.nodes.adminBasePort)",
            "nodes.drain-notice-seconds": "\(configuration.nodes.drainNotice.milliseconds / 1_000)",
            "nodes.drain-limit-seconds": "\(configuration.nodes.drainLimit.milliseconds / 1_000)",
            "balancer.listen": configuration.balancer ?? "", "redis.address": configuration.redis.address,
            "coordinator.names": configuration.coordinators.map(\.name).joined(separator: " "),
            "cluster.state-directory": configuration.stateDirectory,
        ]
        for coordinator in configuration.coordinators {
            settings["coordinator.\(coordinator.name).listen"] = coordinator.listen
            settings["coordinator.\(coordinator.name).admin"] = coordinator.admin
        }
        guard let value = settings[arguments.words[1]] else {
            throw UsageProblem(text: "no setting '\(arguments.words[1])'")
        }
        Screen.print(value + "\n")
    }
}
