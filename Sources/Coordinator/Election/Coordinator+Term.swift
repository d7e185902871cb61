// The beginning and the end of a coordinator's term: what it begins with, whom it sends away.
import Core
import Net
import Policy
import Telemetry
import Wire

extension Coordinator {
    /// True while this coordinator may publish. Whatever goes to nodes asks this first.
    var leads: Bool { isPublishing && leadership.leads }

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
        canaries.onProblem = { [unowned self] text in note(.error, "canaries", text) }
        handover.onProblem = { [unowned self] text in note(.error, "handover", text) }
        for (file, what) in [(keys.file, "the keys"), (handover.file, "the published records")] {
            file.onChange = { [unowned self] problem in
                note(problem == nil ? .info : .error, "state_not_saved", problem ?? "\(what) are saved again")
            }
        }
        leadership.start()
    }

    /// A term begins: with what Redis has, then with the nodes that wait here already.
    private func begin(term: UInt64) {
        if isPublishing {
            // The same leader under a higher epoch: a node had seen one, or Redis had lost its memory.
            if publication.begin(term: term) { publishWhole() }
            republish()
            return versions.load { [self] _ in recordBeginning() }
        }
        handover.load(mustBeShared: isOneOfSeveral) { [self] found in
            if case .unknown = found { return beginLater(term: term) }
            versions.load { [self] _ in
                canaries.load { [self] in
                    // Another leader may have ended some meanwhile.
                    guard canaries.isLoaded || !isOneOfSeveral else { return beginLater(term: term) }
                    keys.refresh { [self] in lead(with: found) }
                }
            }
        }
    }

    private func beginLater(term: UInt64) {
        lane.schedule(after: LeaseView.retry) { [self] in
            if leadership.leads, !isPublishing { begin(term: term) }
        }
    }

    private func lead(with found: Handover.Found) {
        // Meanwhile the lease may have gone, or risen.
        guard leadership.leads, !isPublishing, let epoch = leadership.epoch else { return }
        members.forgetAbsent()
        termBeganAt = lane.now
        connectionSpread = ConnectionSpread()
        switch found {
        case .shared(let saved): resume(saved, isShared: true)
        case .own(let saved): resume(saved, isShared: false)
        case .nothing, .unknown: break
        }
        _ = publication.begin(term: epoch)
        isPublishing = true
        note(.info, "leads", "epoch \(epoch)")
        publishChange(quietly: true)
        publishWhole()
        recordBeginning()
        if case .shared = found { return }
        republish()
    }

    /// Redis may have forgotten what it was told: it is told again.
    private func republish() {
        guard published != ClusterSnapshot() else { return }
        keep(configured)
        canaries.keepAgain(epoch: epoch)
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
        served.connectionLevels = [:]
        served.canaries = [:]
        if isOneOfSeveral, isShared {
            compareFile(with: served)
            configuration.published = served
        } else if isShared, let last = versions.history?.last, last.digest != fileText.digest,
            versions.history?.versions.contains(where: { $0.digest == fileText.digest }) == true
        {
            // Brought back, or applied from elsewhere: the file is an old one that was not touched since.
            configuration.published = served
            holding = "version \(last.number) is in use, and the file is that of an earlier one: sluice apply takes it"
        } else if let problem = configuration.published.follow(served, confirming: nil) {
            configuration.published = configuration.published.keepingRoutes(of: served)
            holding = "the routes published before are kept: \(problem)"
        }
        if let holding { note(.error, "configuration_held", holding) }
    }

    /// The file may have been changed or copied here since this coordinator began to stand by.
    private func compareFile(with served: ClusterSnapshot) {
        do throws(ConfigurationSource.Problems) {
            let (fresh, text) = try source.read()
            (configuration, fileText) = (fresh, text)
            // A confirmation is no part of a file.
            configuration.published.confirmedRouteCount = served.confirmedRouteCount
            guard configuration.published != served else { return }
            holding = "the file of coordinator \(own.name) differs from what the cluster runs: sluice apply takes it"
        } catch {
            holding = "the file of coordinator \(own.name) cannot be used: \(error.list.joined(separator: "; "))"
        }
    }
}
