// `sluice-coordinator`: reads its settings, starts, and waits for its end.
import Core
import Net
import Policy

@main struct Program {
    static let version = ProductVersion.text

    static let help = """
        sluice-coordinator: publishes configuration and keys to the nodes of a Sluice cluster; of two, one leads

        usage: sluice-coordinator [--config FILE] [--name NAME]

          --config FILE  the cluster's description (default: cluster.conf)
          --name NAME    which [coordinator NAME] of the file this is (default: the first)
          --version      print the version
          --help         print this text

        signals: SIGHUP reads the configuration again and keeps the old one if there is a mistake; SIGTERM exits 0.
        exit codes: 0 stopped, 64 bad command line or configuration, 69 an address cannot be used, 70 its lane hung
        at the end.

        """

    static func main() {
        Signals.blockAllFirst()
        Host.prepareForThreads()
        var path = "cluster.conf"
        var name: String?
        var rest = CommandLine.arguments.dropFirst()
        while let argument = rest.popFirst() {
            switch argument {
            case "--help", "-h": return Host.write(help)
            case "--version": return Host.write("sluice-coordinator \(version)\n")
            case "--config", "--name":
                guard let value = rest.popFirst() else { fail(64, "\(argument) needs a value") }
                if argument == "--config" { path = value } else { name = value }
            default: fail(64, "unknown argument '\(argument)'; see sluice-coordinator --help")
            }
        }
        Host.raiseDescriptorLimit()
        run(path, name)
    }

    private static func run(_ path: String, _ name: String?) {
        let source = ConfigurationSource(path: path)
        do {
            let (configuration, text) = try source.read()
            guard let own = configuration.coordinators.first(where: { name == nil || $0.name == name }) else {
                fail(64, "\(path) has no [coordinator \(name ?? "")]")
            }
            let lane = try Lane.start(count: 1, name: "lane")[0]
            let service = try Coordinator(
                lane: lane, source: source, configuration: configuration, text: text, own: own)
            lane.execute {
                do { try service.start() } catch { fail(69, "\(error)") }
            }
            try service.watchSignals()
            lane.join()
            service.lines.drain(atMost: .seconds(2))
            Host.exit(0)
        } catch {
            fail(64, "\(error)")
        }
    }

    private static func fail(_ code: Int32, _ text: String) -> Never {
        Host.write("sluice-coordinator: \(text)\n", toError: true)
        Host.exit(code)
    }
}
