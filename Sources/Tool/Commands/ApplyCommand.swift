// `sluice apply`: the coordinator reads its cluster.conf again.
import Core
import Net
import Policy

enum ApplyCommand {
    static let command = Command("apply", "let the coordinator read cluster.conf again", help: help, run: run)

    static let help = """
        usage: sluice apply [--confirm-routes N] [--reason TEXT]

        \(help(of: "why"))\(AdminCall.help)
        Lets the coordinator that leads read its cluster.conf again. With any mistake the old configuration stays.

        """

    static let options: Set<String> = ["--confirm-routes", "--reason"]

    static func help(of why: String) -> String {
        """
          --confirm-routes N   says that N routes are to be left, when most are taken away on purpose
          --reason TEXT        \(why), for sluice config history

        """
    }

    /// What the coordinator is told of a change: who makes it, why, and what is confirmed.
    static func change(_ arguments: Arguments) throws(UsageProblem) -> JSONValue {
        let user = Host.environment("USER") ?? Host.environment("LOGNAME") ?? "somebody"
        var members: [JSONValue.Member] = [.init("who", .string(String(user.prefix(16))))]
        if let reason = arguments.value("--reason") {
            guard reason.utf8.count <= ConfigurationHistory.reasonLimit, !reason.hasControls else {
                let most = ConfigurationHistory.reasonLimit
                throw UsageProblem(text: "--reason takes at most \(most) bytes, and no control characters")
            }
            members.append(.init("reason", .string(reason)))
        }
        let routes = try arguments.number("--confirm-routes", in: 0...1_000_000, default: -1)
        if routes >= 0 { members.append(.init("confirm_routes", .integer(routes))) }
        return .object(members)
    }

    /// Tells what is published, and ends the program.
    static func published(_ status: Int, _ value: JSONValue) -> Never {
        guard status == 200 else { AdminCall.fail(status, value) }
        let version = value["version"]?.integer.map { ", version \($0)" } ?? ""
        Screen.print("published \(value["epoch"]?.integer ?? 0).\(value["sequence"]?.integer ?? 0)\(version)\n")
        if let warning = value["warning"]?.text { Screen.note("warning: \(warning)") }
        Host.exit(0)
    }

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: AdminCall.options.union(options), most: 0)
        let body = try change(arguments)
        try AdminCall.send(arguments, "POST", "/v1/apply", body: body) { published($0, $1) }
    }
}
