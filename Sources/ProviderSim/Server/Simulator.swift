// The whole simulator: its lanes, listening on one address.
import Core
import Net

/// A running simulator.
final class Simulator: Sendable {
    /// Why it could not start.
    struct StartFailure: Error, CustomStringConvertible {
        let description: String
    }

    /// The address that is really listened on.
    let address: SocketAddress
    private let lanes: [SimulatorLane]

    /// Starts lanes and listens.
    init(_ options: SimulatorOptions) throws(StartFailure) {
        guard var address = SocketAddress.parse(options.listen) else {
            throw StartFailure(
                description: "--listen: expected an address such as 127.0.0.1:7700, found '\(options.listen)'")
        }
        do {
            var tls: TLSContext?
            if let certificate = options.certificate, let key = options.key {
                tls = try TLSContext.server(certificate: certificate, key: key, protocols: ["http/1.1"])
            }
            let concurrency = Concurrency()
            let lines = LineWriter()
            // A path has one listener; lanes beyond the first would have no connections.
            let count = options.listen.hasPrefix("unix:") ? 1 : options.lanes
            let lanes = try Lane.start(count: count, name: "sim").map {
                SimulatorLane(lane: $0, options: options, concurrency: concurrency, lines: lines)
            }
            for lane in lanes {
                lane.lanes = lanes
                address = try lane.listen(on: address, tls: tls)
            }
            self.lanes = lanes
            self.address = address
        } catch {
            throw StartFailure(description: String(describing: error))
        }
    }

    /// Calls `onSignal` for SIGTERM and SIGINT; `Signals.blockAllFirst()` must have been called before the start.
    func watchSignals(_ onSignal: @escaping @Sendable () -> Void) throws(SystemFailure) -> Signals {
        try Signals(lane: lanes[0].lane) { number in
            if number == 2 || number == 15 { onSignal() }
        }
    }

    /// Ends all lanes; for tests.
    func stop() {
        for lane in lanes { lane.lane.stop() }
        for lane in lanes { lane.lane.join() }
    }
}
