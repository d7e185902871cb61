// What a command is: a name, a line for the list, a page of help, and what it does.

/// One command of the tool.
struct Command: Sendable {
    let name: String
    /// A few words for the list of commands.
    let summary: String
    /// The page that `sluice help NAME` prints; begins with `usage:`.
    let help: String
    /// Takes the words behind the name.
    let run: @Sendable ([String]) throws(UsageProblem) -> Void

    init(
        _ name: String, _ summary: String, help: String,
        run: @escaping @Sendable ([String]) throws(UsageProblem) -> Void
    ) {
        self.name = name
        self.summary = summary
        self.help = help
        self.run = run
    }
}
