// What a request asks of quota: its reservation, more of it while it runs, the settlement. `Hold` keeps what came of it.
import Core
import Net
import Policy
import Providers
import Store
import Wire

extension Exchange {
    // MARK: - The reservation

    /// Asks for quota; `reservationDecided` waits for the answer.
    func startReservation(_ held: Held, _ call: ReserveCall) {
        self.held = held
        gateway.starts.reservationBegins(load)
        switch gateway.leases.spend(call, timeout: timeout) {
        case .taken(let lease): runOnBlock(held, call, lease)
        case .coming:
            gateway.leases.waitForBlock(call) { [self] lease in
                if let lease { runOnBlock(held, call, lease) } else { reserveByItself(held, call) }
            }
        case .none: reserveByItself(held, call)
        }
    }

    /// Waits for what `startReservation` asked for.
    func reservationDecided(_ held: Held) async throws(Refusal) {
        while held.isAsking { await latch.wait() }
        try held.checkGranted()
        try checkGoesOn()
    }

    /// Redis, a block or the lane itself has decided.
    private func decided(_ held: Held, _ decision: Hold) {
        held.hold = decision
        held.decidedAt = gateway.lane.now
        gateway.starts.reservationDecided(load)
        latch.open()
    }

    /// A place on a block is enough for the limits; one plain command more makes sure that an id runs once, on whichever lane.
    private func runOnBlock(_ held: Held, _ call: ReserveCall, _ lease: Lease) {
        guard let grant = lease.block.grant else { preconditionFailure("requests run on blocks that were granted") }
        gateway.quota.remember(call, grantedAt: grant.atMicroseconds) { [self] result in
            var lease = lease
            switch result {
            case .success(true): lease.remembered = call.id
            case .success(false):
                // Known: the script that reserves tells what became of it.
                gateway.leases.giveBack(lease)
                return reserveByItself(held, call)
            case .failure: break  // Redis is away: what the block granted is good for the 1.8 s of its life.
            }
            if lease.block.isNew {
                lease.block.isNew = false
                Pipeline.watchBudgets(self, held, call, grant)
            }
            decided(held, .onBlock(call, lease))
        }
    }

    private func reserveByItself(_ held: Held, _ call: ReserveCall) {
        if gateway.safeMode.mustDecide(call.tenant.org) {
            return decided(held, decideAlone(held, call, isUndone: true))
        }
        gateway.quota.reserve(call) { [self] result in
            switch result {
            case .success(.granted(let grant)):
                Pipeline.watchBudgets(self, held, call, grant)
                decided(held, .reserved(call))
            case .success(.denied(let denial)):
                Pipeline.watchBudgets(self, call, denial)
                decided(held, .refused(call, .overLimit(denial), mayExist: false))
            case .success(.repeated(let record)), .success(.duplicate(let record)):
                decided(held, .refused(call, .duplicate(record), mayExist: false))
            // The lane has sent more than it may: that says nothing about Redis.
            case .failure(.overloaded): decided(held, .refused(call, .crowded, mayExist: false))
            case .failure(let error): decided(held, decideAlone(held, call, isUndone: error.isCertainlyUndone))
            }
        }
    }

    /// Redis does not say: the lane decides by its share of the limits. A reply that was lost may hide a reservation that exists: it is
    /// settled or given back.
    private func decideAlone(_ held: Held, _ call: ReserveCall, isUndone: Bool) -> Hold {
        let isClosed = held.caller.grant.isClosedWithoutState
        switch gateway.safeMode.reserve(call, isForbidden: isClosed || gateway.spoolShare > 0.9) {
        case .granted: return .alone(call)
        case .denied(let denial): return .refused(call, .overShare(denial), mayExist: !isUndone)
        case .closed: return .refused(call, .stateUnavailable, mayExist: !isUndone)
        }
    }

    // MARK: - More of it

    /// What became of a wish for more.
    enum Grown {
        case granted
        case denied(QuotaDenial)
        /// Redis is away, or knows another story.
        case unknown
    }

    /// Takes more from its block where that has room, or says what to ask for.
    func grow(_ held: Held, to use: QuotaUse) -> Hold.Growth { held.hold.grow(to: use, at: gateway.lane.now) }

    /// Asks for what `grow` could not take from a block. `then` is called once, on the lane.
    func ask(_ held: Held, _ growth: Hold.Growth, then: @escaping (Grown) -> Void) {
        switch growth {
        case .done: then(.granted)
        case .nothing: then(.unknown)
        case .leave(let call): leaveBlock(held, call, then)
        case .extend(let call):
            gateway.quota.extend(call) { result in
                switch result {
                case .success(.granted): then(.granted)
                case .success(.denied(let denial)): then(.denied(denial))
                case .success(.settled), .success(.unknown), .failure: then(.unknown)
                }
            }
        }
    }

    /// Its block has no room: the whole of it is reserved by itself, and the block has back what it gave.
    private func leaveBlock(_ held: Held, _ call: ReserveCall, _ then: @escaping (Grown) -> Void) {
        guard let lease = held.hold.freeID() else { return then(.unknown) }
        gateway.leases.leave(lease)
        gateway.quota.reserve(call) { [self] result in
            defer { gateway.leases.left(lease.block) }
            switch result {
            case .success(.granted), .success(.repeated):
                // It may have ended meanwhile, on its block: then this reservation is given back.
                guard let left = held.hold.leftBlock(call) else {
                    return gateway.settlements.settle(.leftOnBlock(call)) {}
                }
                gateway.leases.giveBack(left)
                if case .success(.granted) = result { then(.granted) } else { then(.unknown) }
            case .success(.denied(let denial)): then(.denied(denial))
            case .success(.duplicate), .failure: then(.unknown)
            }
        }
    }

    /// Reserves `whole` before the next thing is sent; `covered` waits for the answer.
    func startCover(_ held: Held, _ whole: QuotaUse) {
        held.cover = .asked
        ask(held, grow(held, to: whole)) { [self] grown in
            switch grown {
            case .granted: held.cover = .held
            case .denied(let denial): held.cover = .missing(denial)
            case .unknown: held.cover = .missing(nil)
            }
            latch.open()
        }
    }

    /// Waits for `startCover`; false when there is no room, or nobody knows.
    func covered(_ held: Held) async -> Bool {
        while held.isCovering, goesOn { await latch.wait() }
        return held.isCovered && goesOn
    }

    // MARK: - The settlement

    /// Hands the settlement to Redis' connection; stream credit returns to the client when it is done or kept for later. `attempts`: what a
    /// provider may bill, `all` together.
    func settle(_ held: Held, _ all: Bill, _ attempts: [LedgerEntry], isRepeatable: Bool) {
        switch held.hold.end() {
        case .nothing: origin.release()
        case .onBlock(let lease):
            endOnBlock(held, lease, all, attempts, isRepeatable: isRepeatable)
            origin.release()
        case .inRedis(let reservation):
            let call: SettleCall =
                !wasSent
                ? .release(of: reservation)
                : isRepeatable ? .failure(of: reservation) : SettleCall(of: reservation, attempts: attempts)
            gateway.safeMode.noteSettled(call)
            // Not the request itself, which has more to let go of.
            gateway.settlements.settle(call) { [origin] in origin.release() }
        }
    }

    /// The settlement of a request that ran on a block waits in the spool for its part.
    private func endOnBlock(
        _ held: Held, _ lease: Lease, _ all: Bill, _ attempts: [LedgerEntry], isRepeatable: Bool
    ) {
        guard wasSent else { return gateway.leases.giveBack(lease) }
        let use = all.use
        if let limits = held.caller.grant.limits { gateway.safeMode.noteSpent(use.microUSD, on: limits) }
        var id = head.idempotencyKey
        if isRepeatable {
            // It counts under an id that nobody asks for; its own is free.
            id = gateway.chance.identifier()
            gateway.leases.forget(lease)
        }
        gateway.leases.end(lease, BlockUse(id: id, feature: head.feature, use: use, attempts: attempts))
    }
}
