// The request goes to a provider, and its answer streams back; before the first piece of it, a failure may be tried elsewhere.
import Core
import Net
import Policy
import Providers
import Wire

extension Pipeline {
    /// Renders the request, calls the target, waits for the end of the answer. The only phase that tries again.
    static func forward(_ exchange: Exchange) async throws(Refusal) {
        while true {
            var way = try enter(exchange)
            if case .asked = way { way = try detour(exchange, mayProbe: await exchange.mayProbe()) }
            guard case .open = way else {
                try await admit(exchange)
                continue
            }
            try send(exchange)
            await exchange.attemptEnded()
            switch try nextStep(exchange) {
            case .done: return
            case .again: break
            case .againIfCovered(let place):
                let isCovered = await exchange.covered()
                try moveOn(exchange, to: place, isCovered: isCovered)
            }
            while exchange.isPausing, exchange.stopReason == nil { await exchange.latch.wait() }
            try exchange.checkGoesOn()
            try await admit(exchange)
        }
    }

    /// What follows a call.
    private enum NextStep {
        case done
        /// Another attempt is prepared.
        case again
        /// The target at this place is asked if the reservation can cover the failed attempt as well.
        case againIfCovered(Int)
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
    private static func enter(_ exchange: Exchange) throws(Refusal) -> Way {
        guard let route = exchange.route else { return .open }
        if turnToOverload(exchange, route) == true { return .elsewhere }
        switch exchange.enterTarget() {
        case .go: return .open
        case .ask: return .asked
        case .blocked: return try detour(exchange, mayProbe: false)
        }
    }

    /// Chooses another target where this one lets nobody through.
    @inline(never)
    private static func detour(_ exchange: Exchange, mayProbe: Bool) throws(Refusal) -> Way {
        try exchange.checkGoesOn()
        guard !mayProbe, let route = exchange.route else { return .open }
        switch exchange.chosen?.passage(of: exchange.gateway) {
        // Others closed the breaker meanwhile.
        case .free, .sparing: return .open
        case .probe, .blocked, nil: break
        }
        guard let place = pickTarget(exchange, route) else { throw noTarget(exchange, route) }
        giveBack(exchange, Bill())
        exchange.choose(place)
        return .elsewhere
    }

    /// Why no target is left for a request that was not sent.
    static func noTarget(_ exchange: Exchange, _ route: ActiveRoute) -> Refusal {
        let gateway = exchange.gateway
        var earliest: Instant?
        for target in exchange.laneTargets {
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

    /// Renders and sends. Not inlined, for the sake of the waiting frame.
    @inline(never)
    private static func send(_ exchange: Exchange) throws(Refusal) {
        guard let choice = exchange.chosen, let route = exchange.route else {
            preconditionFailure("a request has its target before it is forwarded")
        }
        guard let target = choice.upstream(of: exchange.gateway) else {
            throw .noRoute("the provider '\(choice.provider)' cannot be used by this node")
        }
        var request = try rendered(exchange, for: choice, target)
        exchange.send(&request, to: target, choice)
        if let mirror = route.record.mirror, exchange.race.begun == 1 { Shadow.begin(mirror, of: exchange) }
        if exchange.race.begun >= route.record.attempts { exchange.releaseBody() }
    }

    /// The request as the target's provider wants it.
    private static func rendered(
        _ exchange: Exchange, for target: LaneTarget, _ upstream: UpstreamTarget
    ) throws(Refusal) -> RenderedRequest {
        // The provider is held to what the reservation assumed, also when the client named no limit.
        let request = OpenAIChatRequest(
            model: target.model, isStream: exchange.head.flags.contains(.stream),
            maximumOutputTokens: UInt32(clamping: exchange.mostOutput),
            usesLegacyLimitField: upstream.record.usesLegacyLimitField, streamOptions: upstream.record.streamOptions,
            userField: upstream.record.userField, provider: target.provider, members: upstream.record.passthrough)
        var rendered = RenderedRequest(capacity: exchange.body.count + 512)
        do throws(BodyError) {
            try exchange.writeRequest(request, into: &rendered)
        } catch {
            throw .body(error)
        }
        return rendered
    }

    /// The same for a copy, which fails unheard.
    static func render(_ exchange: Exchange, for target: LaneTarget, _ upstream: UpstreamTarget) -> RenderedRequest? {
        do throws(Refusal) { return try rendered(exchange, for: target, upstream) } catch { return nil }
    }

    /// What follows the call that ended.
    ///
    /// - Throws: why the request ends without an answer.
    @inline(never)
    private static func nextStep(_ exchange: Exchange) throws(Refusal) -> NextStep {
        try exchange.checkGoesOn()
        guard let failure = exchange.leading?.outcome?.failure else { return .done }
        let bill = bill(exchange)
        let isBilled = bill.provenance != nil
        guard let next = nextTarget(exchange, failure, isBilled: isBilled) else { throw .upstream(failure) }
        // The place at the provider that failed is for others now.
        giveBack(exchange, isBilled ? bill : Bill())
        if isBilled {
            exchange.startCover(whole(exchange, with: bill))
            return .againIfCovered(next.place)
        }
        exchange.turn(to: next.place, after: next.pause)
        return .again
    }

    /// Goes to another target after an attempt that may be billed.
    @inline(never)
    private static func moveOn(_ exchange: Exchange, to place: Int, isCovered: Bool) throws(Refusal) {
        try exchange.checkGoesOn()
        guard isCovered else {
            guard let failure = exchange.leading?.outcome?.failure else {
                preconditionFailure("only failures are followed")
            }
            throw .upstream(failure)
        }
        guard let attempt = exchange.leading, let entry = entry(of: attempt, exchange, nil, bill(exchange)) else {
            preconditionFailure("it has a bill")
        }
        exchange.keep(entry)
        exchange.turn(to: place, after: .zero)
    }

    /// Where and when the next attempt goes, within the request's attempts, time and money and the lane's budget; nil for nowhere.
    ///
    /// Another target comes first, at once. The same one is asked again where its class of failure passes by itself and it bills
    /// nothing for it.
    private static func nextTarget(
        _ exchange: Exchange, _ failure: ProviderFailure, isBilled: Bool
    ) -> (place: Int, pause: Duration)? {
        let gateway = exchange.gateway
        guard exchange.race.mayTryNext, let route = exchange.route, let last = exchange.leading,
            let index = last.index, !gateway.isDrained
        else { return nil }
        var choice: (place: Int, pause: Duration)?
        if failure.kind.allowsFallback, let place = pickTarget(exchange, route) { choice = (place, .zero) }
        if choice == nil, !isBilled, failure.isRetryable, !last.target.isShut(gateway),
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
        let usual = Int64(100) << Int64(exchange.race.begun - 1)
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

    /// A target that this node can use and this request has not asked, and whose price is known where a budget needs it.
    static func pickTarget(_ exchange: Exchange, _ route: ActiveRoute) -> Int? {
        let gateway = exchange.gateway
        let targets = exchange.laneTargets
        let rules = route.record.targets
        let prices = exchange.tariff.prices
        let reserved = exchange.estimate
        let hasBudget = exchange.grant?.hasBudget == true
        return route.record.pick(
            &gateway.chance, at: gateway.lane.now, near: exchange.prefix, spared: spared(targets, gateway),
            canary: exchange.asked == 0 ? route.canary?.place : nil, isOverloaded: sparesNode(exchange),
            health: { targets[$0].health }
        ) { place in
            guard exchange.asked & (1 << UInt32(place)) == 0, rules[place].serves(exchange),
                targets[place].isUsable(by: gateway)
            else { return false }
            guard !targets[place].isShut(gateway) else { return false }
            // The first choice is before the reservation, which then counts the dearest target.
            guard let reserved, hasBudget else { return true }
            let tokens = TokenCounts(input: reserved.inputTokens, output: reserved.outputTokens)
            guard let cost = prices[targets[place].model]?.cost(of: tokens) else { return false }
            return cost.amount <= reserved.microUSD
        }
    }
}

extension RouteTarget {
    /// True when its conditions, if any, let it serve this request.
    func serves(_ exchange: Exchange) -> Bool {
        conditions.isEmpty
            || serves(
                team: exchange.grant?.teamName ?? "", feature: exchange.head.feature, priority: exchange.priorityClass)
    }
}
