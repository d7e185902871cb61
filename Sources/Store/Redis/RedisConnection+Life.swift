// How a connection becomes ready, watches itself and comes back after a loss.

import Core
import Telemetry

extension RedisConnection {
    func dial() {
        state = .connecting
        dialer.dial(self, timeout: configuration.connectTimeout)
    }

    /// A socket is open: credentials, identity and scripts go out in one write, before any other command.
    public func linkOpened(_ link: any RedisLink) {
        guard state == .connecting else { return link.abort() }
        self.link = link
        state = .preparing
        for place in digests.indices { digests[place] = nil }
        firstNumber = 0
        if let password = configuration.password {
            var parts = [Array("AUTH".utf8)]
            if let user = configuration.user { parts.append(Array(user.utf8)) }
            prepare(RedisCommand(parts: parts + [password.withBytes { $0 }])) { [weak self] result in
                if case .failure(let error) = result { self?.drop("authentication failed: \(error)") }
            }
        }
        guard duty != .scout else {
            return prepare(RedisCommand("PING")) { [weak self] result in
                switch result {
                case .success: self?.becomeReady(nil)
                case .failure(let error): self?.drop("PING failed: \(error)")
                }
            }
        }
        if duty == .electedStore {
            prepare(RedisCommand("ROLE")) { [weak self] result in
                // An ACL may forbid ROLE; then a replica is noticed at the first write (READONLY).
                guard case .success(.array(let parts)) = result, let role = parts.first?.text else { return }
                if role != "master" { self?.drop("the server is a \(role), not the primary") }
            }
        }
        loadScripts()
    }

    private func loadScripts() {
        var identity: String?
        prepare(RedisCommand("INFO", "server")) { result in
            // An ACL may forbid INFO; then changes of identity go unnoticed, and all else works.
            guard case .success(let reply) = result else { return }
            identity = reply.text?.split(separator: "\r\n").first { $0.hasPrefix("run_id:") }
                .map { String($0.dropFirst("run_id:".count)) }
        }
        for script in RedisScript.allCases {
            let load = RedisCommand(parts: [Array("SCRIPT".utf8), Array("LOAD".utf8), script.source])
            prepare(load) { [weak self] result in
                guard let self, state == .preparing else { return }
                guard case .success(let reply) = result, let digest = reply.text else {
                    return drop("a script could not be loaded: \(result)")
                }
                var part = ByteBuffer()
                RedisWriter.part(Array(digest.utf8), in: &part)
                digests[script.rawValue] = part.array()
                if !digests.contains(nil) { becomeReady(identity) }
            }
        }
    }

    private func prepare(_ command: RedisCommand, then: @escaping Completion) {
        submit(deadline: dialer.now + configuration.connectTimeout, .function(then)) { command.write(into: &$0) }
    }

    private func becomeReady(_ identity: String?) {
        let changed = serverIdentity != nil && identity != serverIdentity
        serverIdentity = identity ?? serverIdentity
        // Another server has its own, and is taken for another anyway.
        if changed { marker = nil }
        attempts = 0
        timeoutsInARow = 0
        lastFailure = nil
        lastReply = dialer.now
        metrics.connects.add()
        state = .ready
        scheduleProbe()
        onReady?(changed)
    }

    /// Leaves the present link; another one is made after a pause.
    func drop(_ reason: String) {
        guard let link else { return }
        dropReason = reason
        link.abort()
    }

    /// There is a reason to think that connecting will work now: the pause ends.
    func hurry() {
        guard state == .waiting else { return }
        cancelPause?()
        attempts = 0
        dial()
    }

    /// The socket is gone (`source`), or could not be opened (nil).
    public func linkClosed(_ source: (any RedisLink)?, _ reason: String) {
        guard source == nil ? link == nil : link === source || link == nil else { return }
        guard state != .closed, state != .waiting, state != .idle else { return }
        link = nil
        cancelProbe?()
        cancelProbe = nil
        metrics.disconnects.add()
        let reason = dropReason ?? reason
        dropReason = nil
        lastFailure = reason
        state = .waiting
        let pause = nextPause()
        cancelPause = dialer.after(pause) { [weak self] in
            guard let self, state == .waiting else { return }
            dial()
        }
        failAll(.disconnected(reason: reason))
    }

    /// 20 ms, 40 ms … 1 s, each shortened by up to half so that a fleet does not come back in one beat.
    private func nextPause() -> Duration {
        let doubled = configuration.firstPause * (1 << min(attempts, 16))
        attempts += 1
        chance = chance &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        let share = 512 + Int(chance >> 55)  // 512…1023 of 1024
        return min(doubled, configuration.longestPause) * share / 1024
    }

    /// Asks an idle or failing connection whether it lives, so that trouble and recovery are noticed without traffic.
    func scheduleProbe() {
        cancelProbe?()
        let interval = isDegraded ? configuration.degradedProbeInterval : configuration.probeInterval
        cancelProbe = dialer.after(interval) { [weak self] in
            guard let self, state == .ready else { return }
            if isDegraded || dialer.now - lastReply >= configuration.probeInterval {
                send(RedisCommand("PING")) { _ in }
            }
            scheduleProbe()
        }
    }
}
