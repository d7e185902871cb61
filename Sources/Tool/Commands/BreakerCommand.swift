// `sluice breaker`: how the circuit breakers of all targets stand, and an operator's orders.
import Core
import Net

enum BreakerCommand {
    static let command = Command("breaker", "show circuit breakers, force one open or closed", help: help, run: run)

    static let help = """
        usage: sluice breaker list [--json]
               sluice breaker open TARGET --for TIME --reason TEXT
               sluice breaker close TARGET --for TIME --reason TEXT
               sluice breaker auto TARGET --reason TEXT

        A TARGET is PROVIDER/MODEL, as routes name it. `open` keeps all requests from it, `close` sends them
        whatever it does, `auto` takes an order back. An order ends by itself.

          --for TIME           how long: 1s to 1d
          --reason TEXT        why; written to the coordinator's log
          --json               as JSON
        \(AdminCall.help)
        """

    static func run(_ words: [String]) throws(UsageProblem) {
        let options = AdminCall.options.union(["--for", "--reason"])
        let arguments = try Arguments(words, valued: options, plain: ["--json"], most: 2)
        switch (arguments.words.first, arguments.words.count) {
        case ("list", 1), (nil, _): try list(arguments)
        case ("open", 2): try order("open", arguments)
        case ("close", 2): try order("closed", arguments)
        case ("auto", 2): try order("auto", arguments)
        case ("open", _), ("close", _), ("auto", _):
            throw UsageProblem(text: "name one target, such as openai/gpt-6-luna", hint: "see: sluice breaker list")
        case (let word?, _): throw UsageProblem(text: "expected list, open, close or auto, found '\(word)'")
        }
    }

    private static func list(_ arguments: Arguments) throws(UsageProblem) {
        let isJSON = arguments.has("--json")
        try AdminCall.send(arguments, "GET", "/v1/breakers") { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print(isJSON ? value.json + "\n" : table(value["breakers"]?.elements ?? []))
            Host.exit(0)
        }
    }

    private static func order(_ word: String, _ arguments: Arguments) throws(UsageProblem) {
        guard let reason = arguments.value("--reason") else {
            throw UsageProblem(text: "--reason TEXT is missing: who reads the log wants to know why")
        }
        var members: [JSONValue.Member] = [
            .init("target", .string(arguments.words[1])), .init("order", .string(word)),
            .init("reason", .string(reason)),
        ]
        if word != "auto" {
            let limits = Duration.seconds(1)...Duration.seconds(86_400)
            guard let text = arguments.value("--for"), let time = try? ConfigurationValue.duration(text, in: limits)
            else { throw UsageProblem(text: "--for takes a time from 1s to 1d: an order ends by itself") }
            members.append(.init("seconds", .integer(time.milliseconds / 1_000)))
        }
        try AdminCall.send(arguments, "POST", "/v1/breakers", body: .object(members)) { status, value in
            guard status == 200 else { AdminCall.fail(status, value) }
            Screen.print(table([value]))
            Host.exit(0)
        }
    }

    private static func table(_ breakers: [JSONValue]) -> String {
        let rows = breakers.map { breaker -> [String] in
            var next = ""
            if let wait = breaker["opens_in_ms"]?.integer {
                next = wait > 0 ? "probe in \((wait + 999) / 1_000) s" : "probe with the next request"
            } else if let good = breaker["good_probes"]?.integer {
                next = "\(good) of 3 probes went well"
            }
            var forced = ""
            if let order = breaker["forced"]?.text {
                forced = "\(order) for \(breaker["forced_for_s"]?.integer ?? 0) s"
            }
            let state = breaker["state"]?.text == "halfOpen" ? "half-open" : breaker["state"]?.text ?? ""
            return [
                breaker["target"]?.text ?? "", state, "\(breaker["share_percent"]?.integer ?? 0) %", next, forced,
            ]
        }
        return Table.text(["TARGET", "BREAKER", "REQUESTS", "NEXT", "FORCED"], rows)
    }
}
