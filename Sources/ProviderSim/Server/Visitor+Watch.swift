// The paths under /sim: watching the simulator and changing how it answers.
import Core
import Net

extension Visitor {
    /// `GET /sim/stats`: what all lanes saw.
    func respondStats() {
        home.visitAll({ $0.stats }) { [self] sum in
            guard channel.isOpen else { return }
            home.scratch.removeAll()
            sum.write(concurrency: home.concurrency, into: &home.scratch)
            respondScratch()
        }
    }

    /// `POST /sim/reset`: counters to zero, settings back to the command line's.
    func reset() {
        home.concurrency.reset()
        home.visitAll({ lane in
            lane.reset()
            return SimulatorStats()
        }) { [self] _ in
            guard channel.isOpen else { return }
            respondSettings()
        }
    }

    /// `POST /sim/faults`: changes the settings of all following requests; all or none of them.
    func changeSettings() throws(APIError) {
        var behaviour = home.behaviour
        let text = channel.machine.withBody { $0.string() }
        do throws(SettingProblem) {
            try behaviour.set(all: text[...])
        } catch {
            throw .invalid(error.description)
        }
        let changed = behaviour
        home.visitAll({ lane in
            lane.behaviour = changed
            return SimulatorStats()
        }) { [self] _ in
            guard channel.isOpen else { return }
            respondSettings()
        }
    }

    /// `GET /sim/faults`: the settings in force, as the text that changes them.
    func respondSettings() {
        home.scratch.removeAll()
        home.scratch.append(home.behaviour.settings)
        home.scratch.append(UInt8(ascii: "\n"))
        respondScratch(fields: "content-type: text/plain; charset=utf-8\r\n")
    }
}
