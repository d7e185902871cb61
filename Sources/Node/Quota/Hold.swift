// What a request holds of quota: the states, and what each event makes of them. No question is sent here; `Exchange+Quota` does that.
import Core
import Policy

/// One request's hold on its limits, from the question to the settlement.
enum Hold {
    /// Asked; nobody has decided. Next: onBlock, reserved, alone, refused.
    case asked(ReserveCall)
    /// It has room on a block of its lane. Next: reserved, ended.
    case onBlock(ReserveCall, Lease)
    /// Redis granted it. Next: ended.
    case reserved(ReserveCall)
    /// Redis could not be asked; the lane let it in by its share of the limits. Next: ended.
    case alone(ReserveCall)
    /// It may not run. `mayExist`: a reply that was lost may hide a reservation all the same. Next: ended.
    case refused(ReserveCall, Refusal, mayExist: Bool)
    /// Settled, or given back.
    case ended

    /// True until somebody has decided.
    var isAsked: Bool { if case .asked = self { true } else { false } }

    /// Why it may not run.
    var refusal: Refusal? { if case .refused(_, let refusal, _) = self { refusal } else { nil } }

    /// What another Redis must know of while the request runs.
    var running: ReserveCall? {
        switch self {
        case .reserved(let call), .alone(let call), .refused(let call, _, mayExist: true): call
        case .asked, .onBlock, .refused(_, _, mayExist: false), .ended: nil
        }
    }

    // MARK: - Growth

    /// What it takes to hold more.
    enum Growth {
        /// Its block had room: done.
        case done
        /// Its reservation is extended.
        case extend(ExtendCall)
        /// Its block has no room: the whole is reserved in Redis instead.
        case leave(ReserveCall)
        /// It holds nothing that could grow.
        case nothing
    }

    /// The request will use `use`, all in all: takes that from its block where there is room, or says what to ask for.
    mutating func grow(to use: QuotaUse, at now: Instant) -> Growth {
        switch self {
        case .onBlock(let call, var lease):
            guard lease.grow(to: use, at: now) else { return .leave(call.whole(use)) }
            self = .onBlock(call, lease)
            return .done
        case .reserved(let call), .alone(let call): return .extend(ExtendCall(of: call, to: use))
        case .asked, .refused, .ended: return .nothing
        }
    }

    /// Its block is about to be left: its id is free for the reservation. Nil where it is on none.
    mutating func freeID() -> Lease? {
        guard case .onBlock(let call, let lease) = self else { return nil }
        var rest = lease
        rest.remembered = nil
        self = .onBlock(call, rest)
        return lease
    }

    /// The whole is reserved by `call`: the block has back what this returns. Nil when the request ended on its block meanwhile.
    mutating func leftBlock(_ call: ReserveCall) -> Lease? {
        guard case .onBlock(_, let lease) = self else { return nil }
        self = .reserved(call)
        return lease
    }

    // MARK: - The end

    /// What has to be settled.
    enum Rest {
        case nothing
        case onBlock(Lease)
        case inRedis(ReserveCall)
    }

    /// The request is over: what it still holds, once.
    mutating func end() -> Rest {
        defer { self = .ended }
        if case .onBlock(_, let lease) = self { return .onBlock(lease) }
        return running.map(Rest.inRedis) ?? .nothing
    }
}

/// A reservation that must cover more before the next thing is sent: an attempt that may be billed, or several answers.
enum Cover {
    /// Nothing was asked for, or all is there.
    case held
    /// It is asked for.
    case asked
    /// There is no room, by this limit; or nobody knows.
    case missing(QuotaDenial?)
}

extension ReserveCall {
    /// The same request with all that it will use.
    fileprivate func whole(_ use: QuotaUse) -> ReserveCall {
        ReserveCall(
            id: id, claim: claim, tenant: tenant, estimate: use, holdMilliseconds: holdMilliseconds, limits: limits)
    }
}
