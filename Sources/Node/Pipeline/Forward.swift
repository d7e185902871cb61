// The request goes to a provider, and its answer streams back; before the first piece of it, a failure may be tried elsewhere.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// Renders the request, calls the target, waits for the end of the answer. The only phase that tries again.
    @inline(never)
    static func forward(_ exchange: Exchange, _ ready: Placed) async throws(Refusal) {
        var placed = ready
        let held = placed.held
        while true {
            var way = try enter(exchange, held)
            if case .asked = way { way = try detour(exchange, held, mayProbe: await exchange.mayProbe()) }
            guard case .open = way else {
                placed.seat = try await admit(exchange, held)
                continue
            }
            try send(exchange, placed)
            await exchange.attemptEnded()
            let next = try nextStep(exchange, held)
            switch next {
            case .done: return
            case .again: break
            case .againIfCovered: try moveOn(exchange, held, next, isCovered: await exchange.covered(held))
            }
            while exchange.tries.isPausing, exchange.goesOn { await exchange.latch.wait() }
            try exchange.checkGoesOn()
            placed.seat = try await admit(exchange, held)
        }
    }

    /// What follows a call.
    private enum NextStep {
        case done
        /// Another attempt is prepared.
        case again
        /// The target with this index is asked if the reservation can cover the failed attempt as well, which goes to the ledger then.
        indirect case againIfCovered(Int, after: ProviderFailure, LedgerEntry)
    }

    /// Whether the request is sent now.
    private enum Way {
        /// It is.
        case open
        /// The cluster is asked whether it may probe.
        case asked
        /// Another target is chosen, which it has to be admitted to.
        case elsewhere
    }

    /// The last look before the request is sent: its target's circuit breaker may have opened while it waited, or let it through as a probe only.
    @inline(never)
    private static func enter(_ exchange: Exchange, _ held: Held) throws(Refusal) -> Way {
        if turnToOverload(exchange, held) == true { return .elsewhere }
        switch exchange.enter(held.target) {
        case .go: return .open
        case .ask: return .asked
        case .blocked: return try detour(exchange, held, mayProbe: false)
        }
    }

    /// Chooses another target where this one lets nobody through.
    @inline(never)
    private static func detour(_ exchange: Exchange, _ held: Held, mayProbe: Bool) throws(Refusal) -> Way {
        try exchange.checkGoesOn()
        guard !mayProbe else { return .open }
        switch held.target.passage(of: exchange.gateway) {
        // Others closed the breaker meanwhile.
        case .free, .sparing: return .open
        case .probe, .blocked: break
        }
        guard let index = pickTarget(exchange, held) else {
            throw noTarget(exchange, held.caller.route, held.candidates.targets)
        }
        giveBack(exchange, held, Bill())
        held.choose(index)
        return .elsewhere
    }

    /// Why no target is left for a request that was not sent.
    static func noTarget(_ exchange: Exchange, _ route: ActiveRoute, _ targets: [LaneTarget]) -> Refusal {
        let gateway = exchange.gateway
        var earliest: Instant?
        for target in targets {
            let until: Instant
            switch target.passage(of: gateway) {
            case .free, .sparing: continue
            // It asked for the probe, and another request has it.
            case .probe: until = gateway.lane.now + TargetBreaker.probeWait
            case .blocked(let time): until = time
            }
            earliest = min(earliest ?? until, until)
        }
        if let earliest { return .targetsOpen(route.name, retryAfter: earliest - gateway.lane.now) }
        return .noRoute("no target of '\(route.name)' serves this request and has a provider that this node can use")
    }

    /// Renders and sends. Not inlined: keeps the suspended frame small.
    @inline(never)
    private static func send(_ exchange: Exchange, _ placed: Placed) throws(Refusal) {
        let (held, target, rules) = (placed.held, placed.held.target, placed.held.caller.route.record)
        guard let upstream = target.upstream(of: exchange.gateway) else {
            throw .noRoute("the provider '\(target.provider)' cannot be used by this node")
        }
        var request = try rendered(exchange, placed, for: target, upstream)
        exchange.send(&request, of: placed, to: upstream, held.target)
        if let mirror = rules.mirror, exchange.tries.race.begun == 1 { Shadow.begin(mirror, of: exchange, placed) }
        if exchange.tries.race.begun >= rules.attempts { exchange.releaseBody() }
    }

    /// The request as the target's provider wants it.
    private static func rendered(
        _ exchange: Exchange, _ placed: Placed, for target: LaneTarget, _ upstream: UpstreamTarget
    ) throws(Refusal) -> RenderedRequest {
        // The provider is held to what the reservation assumed, also when the client named no limit.
        let terms = RequestTerms(
            model: target.model, isStream: exchange.head.flags.contains(.stream),
            maximumOutputTokens: UInt32(clamping: placed.held.mostOutput))
        var rendered = RenderedRequest(terms, capacity: exchange.body.bytes.count + 512)
        do throws(BodyError) {
            try exchange.writeRequest(for: upstream, into: &rendered)
        } catch {
            throw .body(error)
        }
        return rendered
    }

    /// The same beside what serves, which fails unheard.
    static func render(
        _ exchange: Exchange, _ placed: Placed, for target: LaneTarget, _ upstream: UpstreamTarget
    ) -> RenderedRequest? {
        do throws(Refusal) { return try rendered(exchange, placed, for: target, upstream) } catch { return nil }
    }

    /// What follows the call that ended.
    ///
    /// - Throws: why the request ends without an answer.
    @inline(never)
    private static func nextStep(_ exchange: Exchange, _ held: Held) throws(Refusal) -> NextStep {
        try exchange.checkGoesOn()
        guard let attempt = exchange.leading, let failure = attempt.outcome?.failure else { return .done }
        let bill = attempt.bill(held)
        let entry = entry(of: attempt, exchange, nil, bill)
        guard let next = nextTarget(exchange, held, after: attempt, failure, isBilled: entry != nil) else {
            throw .upstream(failure)
        }
        // The slot at the provider that failed is for others now.
        giveBack(exchange, held, bill)
        if let entry {
            exchange.startCover(held, whole(exchange, held, with: bill))
            return .againIfCovered(next.index, after: failure, entry)
        }
        held.choose(next.index)
        exchange.pause(for: next.pause)
        return .again
    }

    /// Goes to another target after an attempt that may be billed.
    @inline(never)
    private static func moveOn(
        _ exchange: Exchange, _ held: Held, _ step: NextStep, isCovered: Bool
    ) throws(Refusal) {
        guard case .againIfCovered(let index, let failure, let entry) = step else { return }
        try exchange.checkGoesOn()
        guard isCovered else { throw .upstream(failure) }
        exchange.keep(entry)
        held.choose(index)
    }

    /// Where and when the next attempt goes, within the request's attempts, time and money and the lane's budget; nil for nowhere.
    ///
    /// Another target comes first, immediately. The same one is asked again where its class of failure passes by itself and it bills
    /// nothing for it.
    private static func nextTarget(
        _ exchange: Exchange, _ held: Held, after last: Attempt, _ failure: ProviderFailure, isBilled: Bool
    ) -> (index: Int, pause: Duration)? {
        let gateway = exchange.gateway
        guard exchange.tries.race.mayTryNext, !gateway.isDrained else { return nil }
        var choice: (index: Int, pause: Duration)?
        if failure.kind.traits.allowsFallback, let index = pickTarget(exchange, held) { choice = (index, .zero) }
        if choice == nil, !isBilled, failure.isRetryable, !last.target.isShut(gateway), let index = last.index,
            let pause = pause(exchange, failure)
        {
            choice = (index, pause)
        }
        guard let choice, gateway.mayTryAgain() else { return nil }
        return choice
    }

    /// How long to wait before the same target is asked again; nil when that is not worth it.
    private static func pause(_ exchange: Exchange, _ failure: ProviderFailure) -> Duration? {
        let gateway = exchange.gateway
        // 100 to 200 ms, doubled with each attempt, unless the provider says when to come.
        let usual = Int64(100) << Int64(exchange.tries.race.begun - 1)
        let spread = Int64(gateway.chance.below(UInt64(usual)))
        let pause = failure.retryAfter ?? .milliseconds(usual + spread)
        // Throttled longer than this, a client knows better what to do with its time.
        guard pause <= Pipeline.longestPause else { return nil }
        return gateway.lane.now + pause < exchange.receivedAt + exchange.timeout ? pause : nil
    }

    /// The longest wait for the same target.
    static let longestPause = Duration.seconds(2)

    /// Targets that recovered only now get a part of their requests, where there are others: a bit each for those that are spared this one.
    private static func spared(_ targets: [LaneTarget], _ gateway: Gateway) -> UInt32 {
        guard targets.count > 1 else { return 0 }
        var spared: UInt32 = 0
        for (place, target) in targets.enumerated() {
            guard case .sparing(let share) = target.passage(of: gateway) else { continue }
            if gateway.chance.below(100) >= UInt64(share) { spared |= 1 << UInt32(place) }
        }
        return spared
    }

    /// A further target for a request that holds quota.
    static func pickTarget(_ exchange: Exchange, _ held: Held) -> Int? {
        pickTarget(exchange, held.caller, held.candidates, reserved: held.estimate)
    }

    /// A target that this node can use and this request has not asked, and whose price is known where a budget needs it. The first choice is
    /// before the reservation, which then counts the dearest target.
    static func pickTarget(
        _ exchange: Exchange, _ caller: Caller, _ candidates: Candidates, reserved: QuotaUse?
    ) -> Int? {
        let gateway = exchange.gateway
        let targets = candidates.targets
        let rules = caller.route.record.targets
        let prices = exchange.tariff.prices
        let hasBudget = caller.grant.hasBudget
        return caller.route.record.pick(
            &gateway.chance, at: gateway.lane.now, near: candidates.prefix, spared: spared(targets, gateway),
            canary: candidates.isFresh ? caller.route.canary?.place : nil, isOverloaded: sparesNode(exchange),
            health: { targets[$0].health }
        ) { index in
            guard !candidates.isAsked(index), rules[index].serves(caller, exchange),
                targets[index].isUsable(by: gateway)
            else { return false }
            guard !targets[index].isShut(gateway) else { return false }
            guard let reserved, hasBudget else { return true }
            let tokens = TokenCounts(input: reserved.inputTokens, output: reserved.outputTokens)
            guard let cost = prices[targets[index].model]?.cost(of: tokens) else { return false }
            return cost.amount <= reserved.microUSD
        }
    }
}

extension RouteTarget {
    /// True when its conditions, if any, let it serve this request.
    func serves(_ caller: Caller, _ exchange: Exchange) -> Bool {
        conditions.isEmpty
            || serves(
                team: caller.grant.teamName, feature: exchange.head.feature, priority: exchange.priorityClass)
    }
}
