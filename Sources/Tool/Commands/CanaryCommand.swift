// `sluice canary` and `sluice migrate`: a target on trial with a share of a route's requests, which goes back by itself when it is worse.
import Core
import Net
import Policy

enum CanaryCommand {
    static let command = Command("canary", "try a target with a share of a route's requests", help: help, run: run)
    static let migration = Command("migrate", "replace a target step by step", help: migrationHelp, run: migrate)

    static let help = """
        usage: sluice canary start ROUTE TARGET [options]
               sluice canary status [ROUTE] [--json]
               sluice canary promote ROUTE [--reason TEXT]
               sluice canary abort ROUTE [--reason TEXT]

        Gives a TARGET (PROVIDER/MODEL) a share of a route's requests, in steps, and compares it with the others on
        errors, the time to the first token and cost. What is worse than allowed loses its share at once, by itself;
        what passes all steps keeps all requests until cluster.conf says so. promote skips the steps that are left,
        abort takes the share back.

        \(options(of: "1,5,25,50,100"))
        exit codes of status with a ROUTE: 0 it runs or was promoted, 1 it went back or there is none.

        """

    static let migrationHelp = """
        usage: sluice migrate ROUTE FROM TO [options]

        Gives the share of the target FROM to the target TO in steps, and all of it at the end, with the tests of a
        canary: sluice canary status, promote and abort go on from here. Clients notice nothing; what fails at TO is
        asked for again elsewhere, FROM included.

        \(options(of: "1,5,25,50,100"))
        """

    private static func options(of steps: String) -> String {
        """
          --steps LIST         shares in per cent, rising (\(steps))
          --hold TIME          how long each step lasts at least, 1s to 7d (5m)
          --min-requests N     requests of the target that each step needs, 10 to 1000000 (200)
          --max-error-rate +P% so many percentage points more errors are allowed (+1%)
          --max-ttft-p95 +P%   so many per cent more time to the first token, at the 95th percentile (+20%)
          --max-cost +P%       so many per cent more cost of an answer (+10%)
          --reason TEXT        why; kept with the canary and written to the coordinator's log
          --json               as JSON
        \(AdminCall.help)
        """
    }

    private static let settings = ["steps", "hold", "min-requests", "max-error-rate", "max-ttft-p95", "max-cost"]
    private static let valued = AdminCall.options.union(settings.map { "--\($0)" }).union(["--reason"])

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 3)
        let rest = Array(arguments.words.dropFirst())
        switch (arguments.words.first, rest.count) {
        case ("status", 0...1), (nil, _): try status(rest.first, arguments)
        case ("start", 2): try start(rest[0], rest[1], replaced: nil, arguments)
        case ("promote", 1), ("abort", 1): try order(arguments.words[0], rest[0], arguments)
        case ("start", _):
            throw UsageProblem(text: "expected: sluice canary start ROUTE TARGET", hint: "such as: chat second/gpt-6")
        case ("promote", _), ("abort", _):
            throw UsageProblem(text: "name one route", hint: "see: sluice canary status")
        case (let word?, _):
            throw UsageProblem(text: "expected start, status, promote or abort, found '\(word)'")
        }
    }

    private static func migrate(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, valued: valued, plain: ["--json"], most: 3)
        guard arguments.words.count == 3 else { throw UsageProblem(text: "expected: sluice migrate ROUTE FROM TO") }
        try start(arguments.words[0], arguments.words[2], replaced: arguments.words[1], arguments)
    }

    private static func start(
        _ route: String, _ target: String, replaced: String?, _ arguments: Arguments
    ) throws(UsageProblem) {
        do throws(ValueProblem) {
            // Mistakes are told here already; the coordinator looks again.
            _ = try CanaryPlan.read(route: route, target: target, replaced: replaced) { arguments.value("--\($0)") }
        } catch {
            throw UsageProblem(text: "--\(error.message)")
        }
        var members: [JSONValue.Member] = [.init("route", .string(route)), .init("target", .string(target))]
        if let replaced { members.append(.init("replaced", .string(replaced))) }
        for name in settings {
            guard let text = arguments.value("--\(name)") else { continue }
            members.append(.init(name.replacing("-", with: "_"), .string(text)))
        }
        try send(arguments, "/v1/canaries", members)
    }

    private static func order(_ word: String, _ route: String, _ arguments: Arguments) throws(UsageProblem) {
        try send(arguments, "/v1/canaries/\(word)", [.init("route", .string(route))])
    }

    private static func send(
        _ arguments: Arguments, _ path: String, _ members: [JSONValue.Member]
    ) throws(UsageProblem) {
        guard case .object(let who) = try ApplyCommand.change(arguments) else { return }
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "POST", path, body: .object(members + who)) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print(isJSON ? value.json + "\n" : CanaryView.text([value]))
            Host.exit(0)
        }
    }

    private static func status(_ route: String?, _ arguments: Arguments) throws(UsageProblem) {
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "GET", "/v1/canaries") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            var canaries = value["canaries"]?.elements ?? []
            // Of a route the latest; without one all that are remembered.
            if let route {
                canaries = canaries.filter { $0["plan"]?["route"]?.text == route }.suffix(1)
            }
            if isJSON {
                Screen.print(JSONValue.object([.init("canaries", .array(canaries))]).json + "\n")
            } else {
                Screen.print(canaries.isEmpty ? "no canary\n" : CanaryView.text(canaries))
            }
            guard route != nil else { Host.exit(0) }
            let good = ["running", "promoted", "adopted"].contains(canaries.last?["state"]?.text)
            Host.exit(good ? 0 : ExitCode.failed)
        }
    }
}
