// `sluice check`: everything that is wrong in a cluster.conf.
import Core
import Net
import Policy

enum CheckCommand {
    static let command = Command("check", "tell everything that is wrong in a cluster.conf", help: help, run: run)

    static let help = """
        usage: sluice check [FILE] [--nodes N]

        Reads FILE (default: cluster.conf) as the programs do, and prints every mistake as file:line:column.
        Exit code 64 if there is any.

          --nodes N    how many nodes there will be, 1 to 1000 (default 1): tells which provider's capacity is too small
                       for them. Without `lanes` in FILE a node counts as many as this machine has processors.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: ["--nodes"], most: 1)
        let nodes = try arguments.number("--nodes", in: 1...1_000, default: 1)
        let file = arguments.words.first ?? "cluster.conf"
        do {
            let configuration = try ConfigurationFile.load(file)
            try checkSecrets(configuration, beside: file)
            let published = configuration.published
            Screen.print(
                """
                \(file) is valid: \(published.routes.count) routes, \(published.providers.count) providers, \
                \(published.orgs.count) orgs, \(published.teams.count) teams, prices \(published.priceVersion)

                """)
            let lanes = configuration.nodes.lanes == 0 ? Host.processors : configuration.nodes.lanes
            for provider in published.providers.values.sorted(by: { $0.name < $1.name }) {
                guard let capacity = provider.capacity, capacity < nodes * lanes else { continue }
                Screen.note(
                    """
                    \(file): [provider \(provider.name)] capacity = \(capacity) is less than nodes × lanes, \
                    \(nodes) × \(lanes) = \(nodes * lanes): every lane may have one call at least, so up to \
                    \(nodes * lanes) run at once. Set lanes lower, or run fewer nodes
                    """)
            }
        } catch {
            guard FileAccess.exists(file) else { throw error }
            // Lines that an editor understands, so without the program's name in front.
            Screen.note(error.text)
            Host.exit(ExitCode.usage)
        }
    }

    /// Admin secrets that can be read here must be long enough; that they can is needed where coordinators run.
    private static func checkSecrets(
        _ configuration: ClusterConfiguration, beside file: String
    ) throws(UsageProblem) {
        let problems = configuration.coordinators.compactMap { own -> String? in
            let secret = try? SecretFile.read(own.adminSecret, in: FileAccess.folder(of: file))
            guard let secret else { return nil }
            return own.problem(ofSecretWith: secret.count).map { "\(file): \($0)" }
        }
        guard problems.isEmpty else { throw UsageProblem(text: problems.joined(separator: "\n")) }
    }
}
