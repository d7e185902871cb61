// `sluice check`: everything that is wrong in a cluster.conf.
import Net
import Policy

enum CheckCommand {
    static let command = Command("check", "tell everything that is wrong in a cluster.conf", help: help, run: run)

    static let help = """
        usage: sluice check [FILE]

        Reads FILE (default: cluster.conf) as the programs do, and prints every mistake as file:line:column.
        Exit code 64 if there is any.

        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, most: 1)
        let file = arguments.words.first ?? "cluster.conf"
        do {
            let configuration = try ConfigurationFile.load(file)
            let published = configuration.published
            Screen.print(
                """
                \(file) is valid: \(published.routes.count) routes, \(published.providers.count) providers, \
                \(published.orgs.count) orgs, \(published.teams.count) teams, prices \(published.priceVersion)

                """)
        } catch {
            guard FileAccess.exists(file) else { throw error }
            // Lines that an editor understands, so without the program's name in front.
            Screen.note(error.text)
            Host.exit(ExitCode.usage)
        }
    }
}
