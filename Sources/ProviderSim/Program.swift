// `sluice-provider-sim`: a server that behaves like OpenAI's API, with speed, length and faults on demand.
import Dispatch
import Net

@main struct Program {
    /// EX_USAGE and EX_UNAVAILABLE of sysexits(3).
    private static let wrongUsage: Int32 = 64
    private static let unavailable: Int32 = 69

    static func main() {
        Signals.blockAllFirst()
        switch parse() {
        case .help: Host.write(SimulatorOptions.help + "\n")
        case .run(let options): run(options)
        }
        Host.exit(0)
    }

    private static func parse() -> SimulatorOptions.Parsed {
        do throws(SettingProblem) {
            return try SimulatorOptions.parse(Array(CommandLine.arguments.dropFirst()))
        } catch {
            Host.write("sluice-provider-sim: \(error)\nTry --help.\n", toError: true)
            Host.exit(wrongUsage)
        }
    }

    private static func run(_ options: SimulatorOptions) {
        Host.raiseDescriptorLimit()
        let end = DispatchSemaphore(value: 0)
        do {
            let simulator = try Simulator(options)
            let signals = try simulator.watchSignals { end.signal() }
            let scheme = options.certificate == nil ? "http" : "https"
            Host.write("sluice-provider-sim: listening on \(scheme)://\(simulator.address)\n")
            withExtendedLifetime((simulator, signals)) { end.wait() }
        } catch {
            Host.write("sluice-provider-sim: \(error)\n", toError: true)
            Host.exit(unavailable)
        }
    }
}
