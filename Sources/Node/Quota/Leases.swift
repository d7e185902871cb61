// Hot tenants on this lane spend blocks of quota that were reserved for many requests at once, and settle in parts.
import Core
import Net
import Policy
import Store
import Telemetry

/// One lane's blocks. While one is asked for, requests that fit in none wait for the answer; when there is none for them, each is reserved by
/// itself.
final class Leases {
    /// A granted block with what is on its way to Redis.
    final class Block {
        var book: LeaseBlock
        let grant: QuotaGrant?
        /// True until a request has told its client how the budgets stand.
        var isNew = true
        fileprivate var inFlight: PartCall?
        /// Requests that may soon be reserved by themselves: their parts wait, so that such a reservation can be given back before.
        fileprivate var leaving = 0
        fileprivate var gatheredSince: Instant?
        fileprivate let bornAt: Instant
        /// The spool's entries: of the block itself, and of the requests of each part.
        fileprivate var ticket: UInt64?
        fileprivate var tickets: [(part: Int64, entry: UInt64)] = []

        init(_ book: LeaseBlock, grant: QuotaGrant?, at now: Instant, ticket: UInt64?) {
            self.book = book
            self.grant = grant
            self.ticket = ticket
            bornAt = now
        }
    }

    /// One tenant path under one set of limits.
    private final class Path {
        let terms: LeaseTerms?
        let limits: LimitSet
        var demand = LeaseDemand()
        var current: Block?
        var next: Block?
        var isAsking = false
        /// Requests that wait for the block that is asked for.
        var waiters: [Waiter] = []
        var askAfter = Instant(nanoseconds: 0)
        var usedAt = Instant(nanoseconds: 0)

        init(_ limits: LimitSet) {
            self.limits = limits
            terms = LeaseTerms(limits)
        }
    }

    /// A request that waits, and who hears of its place.
    private struct Waiter {
        let call: ReserveCall
        let then: (Lease?) -> Void
    }

    /// What becomes of a request at once.
    enum Place {
        /// It has a place on a block.
        case taken(Lease)
        /// A block is being asked for: `waitForBlock` tells whether the request has a place on it.
        case coming
        /// It has to be reserved by itself.
        case none
    }

    /// The layout is kept alive by the path, so its identity cannot be another's.
    private struct PathKey: Hashable {
        let layout: ObjectIdentifier
        let key: String
        let feature: String
    }

    private let lane: Lane
    private let quota: QuotaStore
    private let spool: Spool?
    private let rate: Int64
    private let requestTimeout: Duration
    private var chance: Chance
    private var paths: [PathKey: Path] = [:]
    /// The last request's path, which is mostly also the next one's: found by the tenant itself where that is the same one.
    private var latest: (tenant: Tenant, path: Path)?
    /// Blocks with something that Redis has not confirmed.
    private var open: [Block] = []
    private var timer: LaneTimer?
    private var isClosing = false

    /// Requests that ran on blocks.
    private(set) var requests = Counter()
    /// Blocks that were granted.
    private(set) var granted = Counter()
    /// Blocks that were asked for in vain.
    private(set) var denied = Counter()
    /// Parts that were confirmed.
    private(set) var parts = Counter()
    /// Requests whose part was given up.
    private(set) var lost = Counter()

    /// Paths that are remembered; beyond, those that rest are forgotten.
    private static let pathLimit = 8_192
    /// Requests of one path that wait for a block; further ones are reserved by themselves.
    private static let waiterLimit = 4_096
    /// How often blocks are looked at, and the longest that an ended request waits for its part.
    private static let beat = Duration.milliseconds(100)
    /// After a block was denied, the exact script has the word for so long.
    private static let pause = Duration.milliseconds(500)
    /// How long a part is repeated whose record Redis may have forgotten.
    private static let patience = Duration.seconds(840)

    init(lane: Lane, quota: QuotaStore, spool: Spool?, rate: Int, requestTimeout: Duration) {
        self.lane = lane
        self.quota = quota
        self.spool = spool
        self.rate = Int64(rate)
        self.requestTimeout = requestTimeout
        chance = Chance(seed: Host.randomSeed())
    }

    /// Blocks that are not settled yet.
    var openBlocks: Int { open.count }

    /// Ended requests that Redis has not confirmed.
    var backlog: Int { open.reduce(0) { $0 + $1.book.waitingUses + ($1.inFlight?.uses.count ?? 0) } }

    // MARK: - Requests

    /// A place on a block for a request that would be reserved by `call`; nil: it has to be reserved by itself.
    func spend(_ call: ReserveCall, timeout: Duration) -> Place {
        guard rate > 0, timeout <= requestTimeout, !isClosing else { return .none }
        let now = lane.now
        let path = path(of: call)
        path.usedAt = now
        guard path.terms != nil else { return .none }
        path.demand.note(call.estimate, at: now)
        if let lease = take(call, on: path, at: now) {
            if path.next == nil, lease.block.book.isHalfSpent { ask(path, call.tenant) }
            return .taken(lease)
        }
        if path.demand.perSecond(at: now) > rate { ask(path, call.tenant) }
        return path.isAsking && path.waiters.count < Leases.waiterLimit ? .coming : .none
    }

    /// Waits for the block that is asked for; `then` hears the place, or nil when the request has to be reserved by itself. Without this a
    /// burst would ask Redis for each of its requests while the answer to one question is on its way.
    func waitForBlock(_ call: ReserveCall, then: @escaping (Lease?) -> Void) {
        path(of: call).waiters.append(Waiter(call: call, then: then))
    }

    private func take(_ call: ReserveCall, on path: Path, at now: Instant) -> Lease? {
        guard let block = path.current else { return nil }
        if block.book.spend(call.estimate, at: now) { return lease(block, call) }
        guard now >= block.book.expires || block.book.isNearlySpent || path.next != nil else { return nil }
        retire(block)
        path.current = path.next
        path.next = nil
        guard let next = path.current, next.book.spend(call.estimate, at: now) else { return nil }
        return lease(next, call)
    }

    /// The answer is there: those who wait have their places, as far as it reaches, and the others wait for one more.
    private func serveWaiters(_ path: Path, isGranted: Bool) {
        var left: [Waiter] = []
        let waiters = path.waiters
        path.waiters = []
        let now = lane.now
        for waiter in waiters {
            if isGranted, let lease = take(waiter.call, on: path, at: now) {
                waiter.then(lease)
            } else {
                left.append(waiter)
            }
        }
        if isGranted, left.count < waiters.count, let tenant = left.first?.call.tenant {
            ask(path, tenant, forAtLeast: Int64(left.count))
            if path.isAsking { return path.waiters = left }
        }
        for waiter in left { waiter.then(nil) }
    }

    private func lease(_ block: Block, _ call: ReserveCall) -> Lease {
        requests.add()
        return Lease(block: block, estimate: call.estimate, tenant: call.tenant)
    }

    /// A request never went out, or is reserved by itself now.
    func giveBack(_ lease: Lease) {
        lease.block.book.giveBack(lease.estimate)
        forget(lease)
    }

    /// A running request is to be reserved by itself: its id is free for that. `left` follows when that is decided.
    func leave(_ lease: Lease) {
        forget(lease)
        lease.block.leaving += 1
    }

    /// What `leave` began is decided.
    func left(_ block: Block) {
        block.leaving -= 1
        if block.book.hasFullPart || block.book.isClosed { push(block) }
    }

    /// Its request's id is free again.
    func forget(_ lease: Lease) { if let id = lease.remembered { quota.forget(id, of: lease.tenant) } }

    /// A request has ended. When this returns its settlement survives the process: in the spool, or on its way to Redis.
    func end(_ lease: Lease, _ use: BlockUse) {
        let block = lease.block
        let (part, covers) = block.book.end(lease.estimate, use)
        let record = SpoolRecord.use(block: block.book.call.id, part: part, covers: covers, use, lease.tenant)
        if block.gatheredSince == nil { block.gatheredSince = lane.now }
        if let entry = spool?.append(record) {
            block.tickets.append((part, entry))
            if block.book.hasFullPart { push(block) }
        } else {
            push(block)
        }
    }

    private func path(of call: ReserveCall) -> Path {
        let layout = call.limits.layout
        if let latest, latest.path.limits.layout === layout, latest.tenant.isSame(as: call.tenant) {
            return latest.path
        }
        let key = PathKey(
            layout: ObjectIdentifier(layout), key: call.tenant.key,
            feature: layout.groups.last?.scope == .feature ? call.tenant.feature : "")
        if let path = paths[key] {
            latest = (call.tenant, path)
            return path
        }
        latest = nil
        if paths.count >= Leases.pathLimit { paths = paths.filter { $0.value.current != nil || $0.value.isAsking } }
        let path = Path(call.limits)
        // When all are hot, a further one is not remembered and so never becomes hot.
        if paths.count < Leases.pathLimit { paths[key] = path }
        return path
    }

    // MARK: - Blocks

    private func ask(_ path: Path, _ tenant: Tenant, forAtLeast least: Int64 = 0) {
        let now = lane.now
        guard !path.isAsking, now >= path.askAfter, let terms = path.terms,
            let size = terms.size(
                perSecond: max(least, path.demand.perSecond(at: now)), each: path.demand.usual)
        else { return }
        path.isAsking = true
        let id = Identifier128(high: chance.next(), low: chance.next())
        let hold = requestTimeout.milliseconds + LeaseTerms.longestLife.milliseconds + 60_000
        let call = ReserveCall(
            block: id, of: size.requests, tenant: tenant, estimate: size.use, holdMilliseconds: hold,
            limits: path.limits)
        // Known before it exists: whoever dies between question and answer leaves no block that nobody gives back.
        let ticket = spool?.append(.block(call))
        quota.reserve(call) { [self] result in
            path.isAsking = false
            defer {
                if case .success(.granted) = result {
                    serveWaiters(path, isGranted: true)
                } else {
                    serveWaiters(path, isGranted: false)
                }
            }
            switch result {
            case .success(.granted(let grant)):
                granted.add()
                let expires = now + terms.life(grantedAt: grant.atMicroseconds)
                let block = take(LeaseBlock(call, expires: expires), grant: grant, ticket)
                if path.current == nil { path.current = block } else { path.next = block }
            case .failure(let error) where !error.isCertainlyUndone:
                // A lost reply may hide a block that exists: it is given back.
                path.askAfter = lane.now + Leases.pause
                retire(take(LeaseBlock(call, expires: now), grant: nil, ticket))
            case .success, .failure:
                if case .success = result { denied.add() }
                path.askAfter = lane.now + Leases.pause
                if let ticket { spool?.drop(ticket) }
            }
        }
    }

    private func take(_ book: LeaseBlock, grant: QuotaGrant?, _ ticket: UInt64?) -> Block {
        let block = Block(book, grant: grant, at: lane.now, ticket: ticket)
        open.append(block)
        beat()
        return block
    }

    private func retire(_ block: Block) {
        block.book.close()
        push(block)
    }

    private func beat() {
        guard timer == nil, !open.isEmpty else { return }
        timer = lane.schedule(after: Leases.beat) { [self] in
            timer = nil
            let now = lane.now
            for block in open {
                if !block.book.isClosed, now >= block.book.expires { block.book.close() }
                let isDue = block.gatheredSince.map { now - $0 >= Leases.beat } ?? block.book.isClosed
                if isDue { push(block) }
            }
            for path in paths.values where path.current?.book.isClosed == true {
                path.current = path.next
                path.next = nil
            }
            beat()
        }
    }

    /// Sends the next part of a block, one at a time: a part counts only before those behind it.
    private func push(_ block: Block) {
        guard block.inFlight == nil, block.leaving == 0, let part = block.book.takePart() else { return }
        block.gatheredSince = nil
        block.inFlight = part
        send(part, of: block)
    }

    private func send(_ part: PartCall, of block: Block) {
        quota.settle(part) { [self] result in
            switch result {
            case .success:
                parts.add()
                confirmed(part, of: block)
            case .failure where lane.now - block.bornAt > Leases.patience:
                for _ in part.uses { lost.add() }
                confirmed(part, of: block)
            case .failure:
                lane.schedule(after: .milliseconds(250)) { [self] in send(part, of: block) }
            }
        }
    }

    private func confirmed(_ part: PartCall, of block: Block) {
        block.inFlight = nil
        block.tickets.removeAll { ticket in
            guard ticket.part == part.number else { return false }
            spool?.drop(ticket.entry)
            return true
        }
        if part.isLast {
            if let ticket = block.ticket { spool?.drop(ticket) }
            open.removeAll { $0 === block }
        } else if block.book.hasFullPart || block.book.isClosed {
            push(block)
        }
    }

    // MARK: - Beginning and end

    /// Settles what another process left: the parts that it had begun, then the rest of each block.
    func recover(_ records: [(entry: UInt64, record: SpoolRecord)]) {
        var uses: [Identifier128: [Int64: [(entry: UInt64, covers: QuotaUse, use: BlockUse)]]] = [:]
        for (entry, record) in records {
            guard case .use(let block, let part, let covers, let use, _) = record else { continue }
            uses[block, default: [:]][part, default: []].append((entry, covers, use))
        }
        for (entry, record) in records {
            guard case .block(let call) = record else { continue }
            let found = uses[call.id] ?? [:]
            let parts = found.sorted { $0.key < $1.key }.map { number, uses in
                PartCall(
                    of: call, number: number, requests: Int64(uses.count),
                    covers: uses.reduce(.none) { $0 + $1.covers }, isLast: false, uses: uses.map(\.use))
            }
            let block = Block(LeaseBlock(recovered: call, parts: parts), grant: nil, at: lane.now, ticket: entry)
            block.tickets = found.flatMap { part, uses in uses.map { (part, $0.entry) } }
            open.append(block)
            push(block)
        }
        beat()
    }

    /// Another Redis may know nothing of the blocks: none is spent further.
    func retireAll() {
        for path in paths.values {
            path.current = nil
            path.next = nil
        }
        for block in open { retire(block) }
    }

    /// Takes no more, and settles everything as soon as its requests have ended.
    func close() {
        isClosing = true
        retireAll()
    }
}
