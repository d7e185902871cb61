// A node's signals, its drain, and its end, which nothing that hangs can hold up.
import Client
import Core
import Net
import Policy
import Telemetry

extension Node {
    /// Hears signals from now on. From the main thread, once `start` is on its way.
    func watchSignals() throws {
        ending = try EndWatch(
            first, onSignal: { [self] number in handle(signal: number) }, onHang: { [self] in endWithoutFirst() })
    }

    /// The first lane, which brings about the end, hangs: the other lanes end what they have, and the process exits with a code of its own.
    /// What is not settled stays in the spools.
    private func endWithoutFirst() {
        note(.error, "ended_hanging", "lane 0 hangs and cannot end this node: exit \(EndWatch.exitCode)")
        for gateway in gateways.dropFirst() {
            gateway.lane.execute {
                gateway.stopAll()
                gateway.flushLines()
            }
        }
        ending?.schedule(after: .seconds(1)) { [writer] in
            writer.drain(atMost: .seconds(2))
            Host.exit(EndWatch.exitCode)
        }
    }

    private func handle(signal number: Int32) {
        switch number {
        case 1: reloadCertificates()
        case 15, 2: if life == .serving { drain() } else { stop() }
        default: break
        }
    }

    /// Every TLS context of the process: towards clients, the coordinator, providers and Redis.
    private func reloadCertificates() {
        TLSContexts.shared.reload(on: first) { [self] outcomes in
            for (level, event, text) in TLSReload.lines(outcomes) { gateways[0].note(level, event, text) }
            link?.recheck()
        }
    }

    /// Readiness first; the balancer notices; then clients are asked to go, and running requests finish.
    private func drain() {
        life = .draining
        let nodes = settings.configuration.nodes
        gateways[0].note(.info, "draining", "readiness is off; clients are asked to go in \(nodes.drainNotice)")
        first.schedule(after: nodes.drainNotice) { [self] in
            let spread = min(Duration.seconds(5), nodes.drainLimit / 4)
            for gateway in gateways { gateway.lane.execute { gateway.drain(over: spread) } }
            first.schedule(after: nodes.drainLimit) { [self] in stop() }
            waitForEmpty()
        }
    }

    private func waitForEmpty() {
        guard life == .draining else { return }
        read(LoadReading.self) { [self] reading in
            if reading.connections == 0, reading.requestsUnderWay == 0 { return stop() }
            first.schedule(after: .milliseconds(100)) { [self] in waitForEmpty() }
        }
    }

    /// Ends what is left, settles it, and exits: within four seconds, whatever hangs.
    private func stop() {
        guard life != .stopping else { return }
        life = .stopping
        for gateway in gateways { gateway.lane.execute { gateway.stopAll() } }
        first.schedule(after: .milliseconds(300)) { [self] in waitForSettlements(until: first.now + .seconds(2)) }
        // A lane that hangs gives no reading.
        first.schedule(after: .seconds(4)) { [self] in stopLanes() }
    }

    private func stopLanes() { for lane in lanes + [adminLane] { lane.stop() } }

    /// What Redis does not take in time stays in the spool, for the next start.
    private func waitForSettlements(until end: Instant) {
        read(LoadReading.self) { [self] reading in
            guard reading.unsettled == 0 || first.now >= end else {
                first.schedule(after: .milliseconds(20)) { [self] in waitForSettlements(until: end) }
                return
            }
            gateways[0].note(.info, "stopped", "bye")
            for gateway in gateways { gateway.lane.execute { gateway.flushLines() } }
            first.schedule(after: .milliseconds(50)) { [self] in stopLanes() }
        }
    }

    /// Waits for the end of the first lane, then a bounded time for the others and for the reader of the log: neither can hold up an exit.
    func join() {
        first.join()
        for lane in lanes.dropFirst() + [adminLane] { lane.join(atMost: .milliseconds(500)) }
        writer.drain(atMost: .seconds(2))
    }
}
