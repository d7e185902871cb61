// `sluice apply`: the coordinator reads its cluster.conf again.
import Core
import Net

enum ApplyCommand {
    static let command = Command("apply", "let the coordinator read cluster.conf again", help: help, run: run)

    static let help = """
        usage: sluice apply [--confirm-routes N]

          --confirm-routes N   says that N routes are to be left, when most are taken away on purpose
        Lets the coordinator read its cluster.conf again. With any mistake the old configuration stays.
        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options.union(["--confirm-routes"]), most: 0)
        let routes = try arguments.number("--confirm-routes", in: 0...1_000_000, default: -1)
        let body: JSONValue? = routes < 0 ? nil : .object([.init("confirm_routes", .integer(routes))])
        try AdminCall.send(arguments, "POST", "/v1/apply", body: body) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print("published \(value["epoch"]?.integer ?? 0).\(value["sequence"]?.integer ?? 0)\n")
            Host.exit(0)
        }
    }
}
