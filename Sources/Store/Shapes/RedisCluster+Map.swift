// How a lane learns the cluster's map: whom it asks, when, and what it does with the answers.

import Core
import Net

extension RedisCluster {
    /// True while a primary cannot be used: then the map is asked for often.
    private var isTroubled: Bool { isImpaired }

    /// Something hints at a change of the map.
    func wantMap() {
        refresh.want()
        scheduleMap()
    }

    private func scheduleMap() {
        guard !isClosed, !isAsking else { return }
        cancelRefresh?()
        let now = network.now
        let due = refresh.due(at: now, isTroubled: isTroubled)
        cancelRefresh = network.after(max(.zero, due - now)) { [weak self] in self?.askForMap() }
    }

    /// Asks a primary that answers; without one, a scout goes to one address after the other.
    func askForMap() {
        guard !isClosed, !isAsking else { return }
        refresh.asked(at: network.now)
        let ready = (map?.places ?? []).filter { connections[$0].map { !$0.isDegraded } ?? false }
        if !ready.isEmpty {
            nextSource += 1
            let endpoint = ready[nextSource % ready.count]
            if let connection = connections[endpoint] { ask(connection, endpoint) }
        } else {
            sendScout()
        }
        scheduleMap()
    }

    private func ask(_ connection: RedisConnection, _ endpoint: Endpoint) {
        isAsking = true
        var epoch: RedisReply?
        let timeout = max(configuration.commandTimeout, .milliseconds(500))
        connection.send(RedisCommand("CLUSTER", "INFO"), timeout: timeout) { epoch = try? $0.get() }
        connection.send(RedisCommand("CLUSTER", "SLOTS"), timeout: timeout) { [weak self] result in
            guard let self, !isClosed else { return }
            isAsking = false
            take(result, epoch, from: endpoint)
            scheduleMap()
        }
    }

    private func take(_ result: Result<RedisReply, StoreError>, _ info: RedisReply?, from endpoint: Endpoint) {
        do throws(StoreError) {
            let fresh = try SlotMap(result.get(), info: info, from: endpoint)
            guard !fresh.places.isEmpty else { return failed("\(endpoint): its cluster has no slots yet") }
            adopt(fresh)
        } catch {
            failed("\(endpoint): \(error)")
        }
    }

    // MARK: - Scouts

    /// Seeds first, then everybody who was ever named: whole clusters move.
    private var candidates: [Endpoint] {
        var all = seeds
        for endpoint in (map?.replicas ?? []) + (map?.places ?? []) where !all.contains(endpoint) {
            all.append(endpoint)
        }
        return all
    }

    /// A scout that is on its way gets half a second; then the next address has its turn.
    private func sendScout() {
        if let scout {
            if scout.connection.state == .ready { return ask(scout.connection, scout.endpoint) }
            guard network.now - scout.since >= .milliseconds(500) else { return }
            failed("\(scout.endpoint): \(scout.connection.lastFailure ?? "does not answer")")
            endScout()
        }
        let all = candidates
        let endpoint = all[nextSource % all.count]
        nextSource += 1
        let connection = RedisConnection(
            dialer: network.dialer(to: endpoint), configuration: configuration, seed: UInt64(nextSource), duty: .scout)
        scout = (connection, endpoint, network.now)
        connection.onReady = { [weak self] _ in
            guard let self, !isAsking else { return }
            ask(connection, endpoint)
        }
        connection.onStateChange = { [weak self, weak connection] state in
            guard let self, let connection, state == .waiting, scout?.connection === connection else { return }
            failed("\(endpoint): \(connection.lastFailure ?? "cannot be reached")")
            endScout()
            wantMap()
        }
        connection.start()
    }

    /// A scout has nothing to do once a primary can be asked.
    func endScout() {
        let gone = scout?.connection
        scout = nil
        gone?.onReady = nil
        gone?.onStateChange = nil
        // Not within its own report of a loss.
        _ = network.after(.zero) { gone?.close() }
    }
}
