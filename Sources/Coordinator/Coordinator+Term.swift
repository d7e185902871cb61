// The beginning and the end of a coordinator's term: what it begins with, whom it sends away.
import Core
import Net
import Policy
import Telemetry
import Wire

extension Coordinator {
    /// True while this coordinator may publish. Whatever goes to nodes asks this first.
    var leads: Bool { isPublishing && leadership.leads }

    /// Another coordinator stands beside this one in the file.
    var isOneOfSeveral: Bool { configuration.coordinators.count > 1 }

    /// Who leads; nil when nobody is known to.
    var leaderName: String? { leads ? own.name : leadership.rival?.name }

    /// Why this coordinator changes nothing; nil while it leads.
    var notLeading: String? {
        if leads { return nil }
        guard let rival = leadership.rival else {
            return "no coordinator leads at present" + (redisIsReady ? "" : ": Redis decides who does")
        }
        return "coordinator \(rival.name) leads; its admin interface is at \(rival.place)"
    }

    /// What a node hears that belongs to the leader.
    var elsewhere: StreamError { StreamError(code: .draining, text: notLeading ?? "another coordinator leads") }

    /// Begins to ask for the lease.
    func campaign() {
        leadership.onTerm = { [unowned self] epoch in begin(term: epoch) }
        leadership.onLoss = { [unowned self] reason in
            isPublishing = false
            note(.warning, "standby", reason)
        }
        leadership.onRival = { [unowned self] in
            isPublishing = false
            guard leadership.isLedElsewhere else { return }
            for subscriber in subscribers.values { subscriber.end(elsewhere) }
        }
        handover.onProblem = { [unowned self] text in note(.error, "handover", text) }
        leadership.start()
    }

    /// A term begins: with what Redis has, then with the nodes that wait here already.
    private func begin(term: UInt64) {
        if isPublishing {
            // The same leader under a higher epoch: a node had seen one, or Redis had lost its memory.
            if publication.rise(to: term) { publishWhole() }
            return republish()
        }
        handover.load(mustBeShared: isOneOfSeveral) { [self] found in
            if case .unknown = found {
                lane.schedule(after: LeaseView.retry) { [self] in
                    if leadership.leads, !isPublishing { begin(term: term) }
                }
                return
            }
            keys.refresh { [self] in lead(with: found) }
        }
    }

    private func lead(with found: Handover.Found) {
        // Meanwhile the lease may have gone, or risen.
        guard leadership.leads, !isPublishing, let epoch = leadership.epoch else { return }
        members.forgetAbsent()
        termBeganAt = lane.now
        switch found {
        case .shared(let saved): resume(saved, isShared: true)
        case .own(let saved): resume(saved, isShared: false)
        case .nothing, .unknown: break
        }
        _ = publication.rise(to: epoch)
        isPublishing = true
        note(.info, "leads", "epoch \(epoch)")
        publishChange(quietly: true)
        publishWhole()
        if case .shared = found { return }
        republish()
    }

    /// Redis may have forgotten what it was told: it is told again.
    private func republish() {
        guard published != ClusterSnapshot() else { return }
        var saved = published
        saved.keys = configuration.published.keys
        handover.save(saved, epoch: epoch)
    }

    /// Begins with what was published before. Of several coordinators each has its own copy of the file, and only `sluice apply` takes
    /// one: what Redis has is served. An only coordinator takes its file, unless `apply` would refuse it: then the routes of before
    /// stay until the operator confirms.
    private func resume(_ saved: ClusterSnapshot, isShared: Bool) {
        fleetBefore = saved.fleet
        capacities = Capacities(saved.shares)
        holding = nil
        var served = saved
        served.fleet = 1
        served.shares = [:]
        if isOneOfSeveral, isShared {
            // A confirmation is no part of a file.
            configuration.published.confirmedRouteCount = served.confirmedRouteCount
            if configuration.published != served {
                holding =
                    "the file of coordinator \(own.name) differs from what the cluster runs: sluice apply takes it"
            }
            configuration.published = served
        } else if let problem = configuration.published.follow(served, confirming: nil) {
            configuration.published = configuration.published.keepingRoutes(of: served)
            holding = "the routes published before are kept: \(problem)"
        }
        if let holding { note(.error, "configuration_held", holding) }
    }
}
