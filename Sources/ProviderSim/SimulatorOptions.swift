// The command line.

/// What the command line asks for.
struct SimulatorOptions: Equatable, Sendable {
    /// Where to listen: `127.0.0.1:7700`, `[::1]:0`, `unix:/path`.
    var listen = "127.0.0.1:7700"
    /// Event loops, each on a thread of its own.
    var lanes = 1
    /// Keys that are accepted; empty to accept every caller.
    var apiKeys: [String] = []
    /// Models that exist; empty to accept every name.
    var models: [String] = []
    /// Files in PEM form; both or none.
    var certificate: String?
    var key: String?
    /// How requests are answered unless they say otherwise.
    var behaviour = Behaviour()

    /// What the command line leads to.
    enum Parsed: Equatable {
        case run(SimulatorOptions)
        case help
    }

    /// Reads the arguments behind the program's name.
    static func parse(_ arguments: [String]) throws(SettingProblem) -> Parsed {
        var options = SimulatorOptions()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            if argument == "--help" || argument == "-h" { return .help }
            guard argument.hasPrefix("--") else {
                throw SettingProblem(key: "command line", expected: "an option such as --listen", found: argument)
            }
            let parts = argument.dropFirst(2).split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            let name = parts.first ?? ""
            var value = parts.count == 2 ? parts[1] : nil
            if value == nil { value = rest.popFirst().map { $0[...] } }
            guard let value, !value.isEmpty else {
                throw SettingProblem(key: "--\(name)", expected: "a value", found: "")
            }
            try options.set(name, to: value)
        }
        guard (options.certificate == nil) == (options.key == nil) else {
            throw SettingProblem(
                key: "--certificate", expected: "--certificate and --key together", found: "one without the other")
        }
        return .run(options)
    }

    private mutating func set(_ name: Substring, to value: Substring) throws(SettingProblem) {
        switch name {
        case "listen": listen = String(value)
        case "lanes":
            guard let count = Int(value), (1...64).contains(count) else {
                throw SettingProblem(key: "--lanes", expected: "a number from 1 to 64", found: String(value))
            }
            lanes = count
        case "api-key": apiKeys.append(String(value))
        case "model": models.append(String(value))
        case "certificate": certificate = String(value)
        case "key": key = String(value)
        default:
            guard Behaviour.keys.contains(String(name)) else {
                throw SettingProblem(key: "command line", expected: "a known option (see --help)", found: "--\(name)")
            }
            do throws(SettingProblem) {
                try behaviour.set(name, to: value)
            } catch {
                throw SettingProblem(key: "--\(error.key)", expected: error.expected, found: error.found)
            }
        }
    }

    /// What `--help` prints.
    static let help = """
        usage: sluice-provider-sim [option value]...

        A server that behaves like OpenAI's API: POST /v1/chat/completions, POST /v1/embeddings, GET /v1/models.

          --listen ADDRESS       where to listen: 127.0.0.1:7700 (default), [::1]:0, unix:/path; port 0 takes a free one
          --lanes N              event loops, 1 to 64 (default 1)
          --api-key KEY          accept this key; repeatable; without it every caller is accepted
          --model NAME           only this model exists; repeatable; without it every name is accepted
          --certificate FILE     serve TLS with this PEM certificate chain
          --key FILE             its private key

        How requests are answered. The same keys work at run time (POST /sim/faults, body `key=value ...`), for one
        request as headers (x-sim-KEY: VALUE), and in a prompt (a line `sim: key=value ...` in the last user message).

          --first-token 200ms    wait before the first output token
          --pace 10ms            time between output tokens
          --tokens 64            output tokens of an answer (default 16)
          --chunk 4              output tokens in one event (default 1)
          --error KIND           a status from 400 to 599, or: quota, hang, slow-head, endless-headers, not-http,
                                 content-type, gzip, split, hang-after=N, cut-after=N, reset-after=N, torn-after=N,
                                 malformed-after=N, bad-text-after=N, error-after=N, overloaded-after=N,
                                 comments-after=N, endless-after=N, no-finish, no-done, no-usage, absurd-usage,
                                 negative-usage; none to stop failing
          --error-rate 2.5%      share of requests that fail (default 100%)
          --retry-after 3s       what a 429 or 503 says about waiting
          --retry-form both      how: both headers, ms, seconds, date, absurd
          --seed 1               chooses the words of answers and the requests that fail
          --cached N             cached input tokens shown in usage
          --reasoning N          reasoning tokens shown in usage
          --tool NAME            answer with a call of this tool
          --tag NAME             a line on standard output when the answer ends: served NAME INPUT OUTPUT whole|cut

        Watching: GET /sim/stats, POST /sim/reset, GET and POST /sim/faults.

        Exit codes: 0 stopped by SIGTERM or SIGINT, 64 wrong command line, 69 cannot listen or read a certificate.
        """
}
