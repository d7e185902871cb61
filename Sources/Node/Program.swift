// `sluice-node`: reads its settings, starts, and waits for its end.
import Core
import Net
import Policy

@main struct Program {
    static func main() {
        Signals.blockAllFirst()
        Host.prepareForThreads()
        let options: NodeOptions
        do throws(NodeOptions.Problem) {
            switch try NodeOptions.parse(Array(CommandLine.arguments.dropFirst())) {
            case .help: return Host.write(NodeOptions.help)
            case .version: return Host.write("sluice-node \(Node.version)\n")
            case .run(let given): options = given
            }
        } catch {
            fail(64, error.text)
        }
        let settings = read(options, descriptorLimit: Host.raiseDescriptorLimit())
        do {
            let node = try Node(settings)
            node.first.execute {
                do { try node.start() } catch { fail(69, "\(error)") }
            }
            try node.watchSignals()
            node.join()
            Host.exit(0)
        } catch let problem as NodeSettings.Problem {
            fail(64, problem.text)
        } catch {
            fail(1, "\(error)")
        }
    }

    private static func read(_ options: NodeOptions, descriptorLimit: Int) -> NodeSettings {
        do {
            let bytes = try FileAccess.read(options.configurationPath, limit: ConfigurationDocument.sizeLimit)
            let configuration = try ClusterConfiguration.parse(
                String(decoding: bytes, as: UTF8.self), file: options.configurationPath)
            return try NodeSettings(options, configuration, descriptorLimit: descriptorLimit)
        } catch let problem as NodeSettings.Problem {
            fail(64, problem.text)
        } catch {
            fail(64, "\(error)")
        }
    }

    private static func fail(_ code: Int32, _ text: String) -> Never {
        Host.write("sluice-node: \(text)\n", toError: true)
        Host.exit(code)
    }
}
