// The command line of `sluice-node`.

/// What an operator says when starting a node; everything else comes from `cluster.conf`.
struct NodeOptions: Equatable {
    /// The file that describes the cluster.
    var configurationPath = "cluster.conf"
    /// Which node of the cluster this is, from 1; decides the ports and the identity.
    var index = 1
    /// Overrides the address that clients connect to, `host:port`.
    var listen: String?
    /// Overrides the address of the admin port, `host:port`.
    var admin: String?
    /// Overrides the number of lanes (event loops).
    var lanes: Int?

    /// What the command line asks for.
    enum Command: Equatable {
        case run(NodeOptions)
        case help
        case version
    }

    /// Why a command line is refused: one sentence for a person.
    struct Problem: Error, Equatable {
        let text: String
    }

    static let help = """
        sluice-node: one node of a Sluice cluster

        usage: sluice-node [--config FILE] [--index N] [--listen HOST:PORT] [--admin HOST:PORT] [--lanes N]

          --config FILE       the cluster's description (default: cluster.conf)
          --index N           which node this is, 1...4095; ports are base-port + N (default: 1)
          --listen HOST:PORT  address for clients, instead of the one in the configuration
          --admin HOST:PORT   address of the admin port, instead of the one in the configuration
          --lanes N           event loops, 1...64 (default: the configuration's `lanes`)
          --version           print the version
          --help              print this text

        signals: SIGTERM drains and exits 0, a second one ends the drain at once; SIGHUP reloads certificates.
        exit codes: 0 drained, 1 failed, 64 bad command line or configuration, 69 an address cannot be used,
        70 a lane hung at the end.

        """

    /// Reads a command line without its program name.
    static func parse(_ arguments: [String]) throws(Problem) -> Command {
        var options = NodeOptions()
        var rest = arguments[...]
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": return .help
            case "--version": return .version
            case "--config": options.configurationPath = try value(of: argument, &rest)
            case "--listen": options.listen = try value(of: argument, &rest)
            case "--admin": options.admin = try value(of: argument, &rest)
            case "--index": options.index = try number(of: argument, in: 1...4095, &rest)
            case "--lanes": options.lanes = try number(of: argument, in: 1...64, &rest)
            default: throw Problem(text: "unknown argument '\(argument)'; see sluice-node --help")
            }
        }
        return .run(options)
    }

    private static func value(of option: String, _ rest: inout ArraySlice<String>) throws(Problem) -> String {
        guard let value = rest.popFirst() else { throw Problem(text: "\(option) needs a value") }
        return value
    }

    private static func number(
        of option: String, in range: ClosedRange<Int>, _ rest: inout ArraySlice<String>
    ) throws(Problem) -> Int {
        let text = try value(of: option, &rest)
        guard let number = Int(text), range.contains(number) else {
            throw Problem(
                text: "\(option) takes a number from \(range.lowerBound) to \(range.upperBound), found '\(text)'")
        }
        return number
    }
}
