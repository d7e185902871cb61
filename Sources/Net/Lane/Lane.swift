// One event loop: a thread, an epoll set, timers, an inbox, and an executor for straight-line async work.
import CLinux
import Core
import Dispatch
import Glibc
import Synchronization

/// Something that an epoll set watches. Subclasses are confined to their lane.
public class Pollable {
    /// The lane that owns this object.
    public let lane: Lane
    var descriptor: Int32 = -1
    /// Index and generation under which the lane knows this object.
    fileprivate(set) var ticket: UInt64 = 0
    private(set) var interest: UInt32 = 0
    /// Whose work it is, when more is ready than fits a turn; nil: it goes before everybody's.
    public final var share: LaneShare?
    /// What it was ready for while it waits for its turn; 0 while it does not.
    fileprivate var due: UInt32 = 0

    init(lane: Lane) { self.lane = lane }

    /// The descriptor is readable, writable or broken. Level-triggered.
    func ready(_ events: UInt32) {}

    /// Sends what waits to be sent; called once a turn after `lane.markDirty(self)`.
    func flush() {}

    /// Goes on with work that was cut short for fairness; called in the next turn after `lane.markHungry(self)`.
    func resume() {}

    final func watch(_ events: UInt32) {
        // Two threads in the lane's table at once would give one place to two objects: one of them is never heard again.
        assert(lane.isCurrent, "what a lane watches changes on its own thread alone")
        guard descriptor >= 0, events != interest else { return }
        lane.watch(self, events, isNew: ticket == 0)
        interest = events
    }

    final func unwatch() {
        assert(lane.isCurrent || ticket == 0, "what a lane watches changes on its own thread alone")
        guard ticket != 0 else { return }
        lane.unwatch(self)
        interest = 0
    }

    fileprivate func setTicket(_ value: UInt64) {
        ticket = value
        due = 0
    }
}

/// An event loop on a thread of its own. Everything that belongs to a lane is touched on its thread only; other threads
/// use `execute`. A turn: wait → sockets → timers → inbox → jobs → one flush per dirty connection.
///
/// A turn is bounded: when many sockets are ready they are served for a millisecond, a quarter of it where several tenants have work, one of
/// each tenant after the other, and the rest waits for the next turn. So what one tenant's sockets bring together costs another tenant a few
/// turns and not all of it.
@safe public final class Lane: TaskExecutor, @unchecked Sendable {
    /// Position among the lanes started together, from 0.
    public let index: Int
    /// Monotonic time, refreshed once a turn.
    public private(set) var now: Instant
    /// Microseconds since 1970 at the last refresh of `now`.
    public private(set) var wallClockMicroseconds: Int64
    /// Turns made since the start: one a second at least, also without work. From any thread; a health check watches it move.
    public var turns: UInt64 { turnCount.load(ordering: .relaxed) }
    /// Written by the lane alone.
    private let turnCount = Atomic<UInt64>(0)
    /// How long its turns take.
    public private(set) var turnTimes = TurnTimes()
    /// The longest turn since whoever measures overload looked last, in nanoseconds; it alone sets it back.
    public var longestRecentTurnNanoseconds: Int64 = 0

    private let epoll: Int32
    private let inbox: Inbox
    /// The loop's thread, stored by that thread itself before it runs anything.
    private let thread = Atomic<UInt>(0)
    private var isStopping = false
    private var watched: [(object: Pollable?, generation: UInt32)] = []
    private var free: [Int] = []
    private var dirty: [Pollable] = []
    /// Those of them that go first: see `Channel.goesFirst`.
    private var urgent: [Pollable] = []
    private var flushing: [Pollable] = []
    private var hungry: [Pollable] = []
    /// Sockets beyond what fits a turn.
    private var held = ReadyQueue()
    /// Until when several tenants count as having work.
    private var sharedUntil = Instant(nanoseconds: 0)
    /// Connections that have more to send than one turn takes.
    private var dirtyNext: [Pollable] = []
    private var nextTurn: [() -> Void] = []
    /// Work of which one piece is enough for a turn; each request has one at most.
    private var heavy = BoundedQueue<() -> Void>(limit: .max)
    /// Whose work nobody's is in particular: connections before they are known, and those at rest.
    public let commonShare = LaneShare()
    private var warm: [Transport] = []
    private var jobs: [UnownedJob] = []
    private var jobsInFlight: [UnownedJob] = []
    var timers = TimerHeap()
    /// Lent to one connection at a time, so that idle connections hold no buffers.
    var inputScratch = ByteBuffer(capacity: 64 * 1024)
    var outputScratch = ByteBuffer(capacity: 64 * 1024)
    let ciphertext = Ciphertext()
    private let done = DoneSignal()

    /// So many sockets are served in the order in which they are ready; beyond, tenants take turns.
    private static let calm = 16
    /// How long sockets are served in one turn when more are ready: long turns cost less a socket. Where several tenants have work, each of
    /// them waits for three or four turns a request, so turns are short.
    private static let turnTime = (alone: Duration.milliseconds(1), shared: Duration.microseconds(250))
    /// How long after sockets of several tenants were ready together the lane counts as shared.
    private static let sharedTime = Duration.milliseconds(250)
    /// Timers that fire in one turn; the others in the next.
    private static let timersPerTurn = 64
    /// In `Pollable.due`, beside what epoll says: `resume` is to be called. No event of epoll has this bit.
    private static let resumes: UInt32 = 1 << 24

    private init(index: Int) throws(SystemFailure) {
        self.index = index
        epoll = epoll_create1(Int32(EPOLL_CLOEXEC))
        guard epoll >= 0 else { throw SystemFailure(call: "epoll_create1", code: clinux_errno()) }
        inbox = try Inbox()
        now = Host.monotonicNow()
        wallClockMicroseconds = Host.wallClockMicroseconds()
        var event = unsafe epoll_event()
        unsafe event.events = EPOLLIN.rawValue
        unsafe event.data.u64 = 0
        // Safe: the event is copied by the kernel during the call.
        guard unsafe epoll_ctl(epoll, EPOLL_CTL_ADD, inbox.descriptor, &event) == 0 else {
            throw SystemFailure(call: "epoll_ctl", code: clinux_errno())
        }
        // Ticket 0 means the inbox, so place 0 stays empty.
        watched.append((nil, 0))
    }

    /// Starts `count` lanes, each on its own thread named `name-index`.
    public static func start(count: Int, name: String) throws(SystemFailure) -> [Lane] {
        var lanes: [Lane] = []
        for index in 0..<count {
            let lane = try Lane(index: index)
            try lane.startThread(named: "\(name)-\(index)")
            lanes.append(lane)
        }
        return lanes
    }

    private func startThread(named name: String) throws(SystemFailure) {
        let box = unsafe Unmanaged.passRetained(ThreadStart(lane: self, name: name))
        var handle = pthread_t()
        // Safe: the box is retained here and released by the thread that receives it.
        let code = unsafe pthread_create(
            &handle, nil,
            { argument in
                guard let argument = unsafe argument else { return nil }
                let start = unsafe Unmanaged<ThreadStart>.fromOpaque(argument).takeRetainedValue()
                // Safe: prctl copies at most 16 bytes of the name.
                unsafe start.name.withCString { _ = unsafe clinux_name_thread($0) }
                start.lane.run()
                return nil
            }, box.toOpaque())
        guard code == 0 else {
            unsafe box.release()
            throw SystemFailure(call: "pthread_create", code: code)
        }
        pthread_detach(handle)
    }

    private final class ThreadStart {
        let lane: Lane
        let name: String
        init(lane: Lane, name: String) {
            self.lane = lane
            self.name = name
        }
    }

    // MARK: - From any thread

    /// True on the lane's own thread.
    public var isCurrent: Bool { thread.load(ordering: .relaxed) == UInt(pthread_self()) }

    /// Runs `body` on the lane, soon. From any thread.
    public func execute(_ body: @escaping @Sendable () -> Void) { inbox.leave(.closure(body)) }

    /// Ends the loop after the current turn. From any thread.
    public func stop() { execute { [self] in isStopping = true } }

    /// Waits until the thread has left its loop.
    public func join() { done.wait() }

    /// Waits until the thread has left its loop, at most `limit`; false when it still runs, or hangs.
    @discardableResult public func join(atMost limit: Duration) -> Bool { done.wait(atMost: limit) }

    /// Runs straight-line async work that stays on the lane.
    public func spawn(_ operation: @escaping @Sendable () async -> Void) {
        Task(executorPreference: self, operation: operation)
    }

    /// Takes a job of the concurrency runtime; part of `TaskExecutor`.
    public func enqueue(_ job: consuming ExecutorJob) {
        let unowned = UnownedJob(job)
        if isCurrent { jobs.append(unowned) } else { inbox.leave(.job(unowned)) }
    }

    // MARK: - On the lane

    /// Calls `body` once after `delay`. On the lane only.
    @discardableResult
    public func schedule(after delay: Duration, _ body: @escaping () -> Void) -> LaneTimer {
        schedule(at: now + delay, body)
    }

    /// Calls `body` once at `deadline`. On the lane only.
    @discardableResult
    public func schedule(at deadline: Instant, _ body: @escaping () -> Void) -> LaneTimer {
        let timer = LaneTimer(deadline: deadline, lane: self, body: body)
        timers.insert(timer)
        return timer
    }

    func rearm(_ timer: LaneTimer, at deadline: Instant) {
        timers.remove(timer)
        timer.deadline = deadline
        timers.insert(timer)
    }

    func markDirty(_ object: Pollable, isUrgent: Bool = false) {
        if isUrgent { urgent.append(object) } else { dirty.append(object) }
    }
    /// True when what is ready has been served for as long as a turn should.
    var isOverTime: Bool {
        Host.monotonicNow() - now > (now < sharedUntil ? Lane.turnTime.shared : Lane.turnTime.alone)
    }

    func markHungry(_ object: Pollable) { hungry.append(object) }
    func markDirtyNext(_ object: Pollable) { dirtyNext.append(object) }

    /// Calls `body` once in the next turn, which begins as soon as this one is over.
    public func inNextTurn(_ body: @escaping () -> Void) { nextTurn.append(body) }

    /// Calls `body` once, in a turn in which nobody else's such work is done: for what takes long enough by itself.
    public func inTurnOfItsOwn(_ body: @escaping () -> Void) { heavy.append(body) }

    /// Looks after a connection that began to use memory, each second until it rests.
    func markWarm(_ transport: Transport) {
        warm.append(transport)
        if warm.count == 1 { lookAfterWarm() }
    }

    private func lookAfterWarm() {
        schedule(after: .seconds(1)) { [unowned self] in
            warm.removeAll { !$0.cool() }
            if !warm.isEmpty { lookAfterWarm() }
        }
    }

    fileprivate func watch(_ object: Pollable, _ events: UInt32, isNew: Bool) {
        if isNew {
            let place = free.popLast() ?? watched.count
            if place == watched.count { watched.append((nil, 0)) }
            watched[place].object = object
            watched[place].generation &+= 1
            object.setTicket(UInt64(watched[place].generation) << 32 | UInt64(place))
        }
        var event = unsafe epoll_event()
        unsafe event.events = events
        unsafe event.data.u64 = object.ticket
        // Safe: the event is copied by the kernel during the call.
        _ = unsafe epoll_ctl(epoll, isNew ? EPOLL_CTL_ADD : EPOLL_CTL_MOD, object.descriptor, &event)
    }

    fileprivate func unwatch(_ object: Pollable) {
        let place = Int(object.ticket & 0xFFFF_FFFF)
        var event = unsafe epoll_event()
        // Safe: the event is unused by the kernel for a removal.
        _ = unsafe epoll_ctl(epoll, EPOLL_CTL_DEL, object.descriptor, &event)
        watched[place].object = nil
        free.append(place)
        object.setTicket(0)
    }

    private func run() {
        thread.store(UInt(pthread_self()), ordering: .relaxed)
        var events = unsafe [epoll_event](repeating: epoll_event(), count: 512)
        while !isStopping {
            let count = unsafe wait(&events)
            refreshClock()
            let began = now
            if !dirtyNext.isEmpty { takeOverDirty() }
            if count + hungry.count <= Lane.calm, held.isEmpty {
                for place in 0..<count { unsafe dispatch(events[place]) }
                goOnWithHungry()
            } else {
                for place in 0..<count { unsafe hold(events[place]) }
                holdHungry()
                if held.isShared { sharedUntil = now + Lane.sharedTime }
                serveHeld()
            }
            if !nextTurn.isEmpty { runDeferred() }
            if !heavy.isEmpty, let body = heavy.popFirst() { body() }
            fireTimers()
            settleTurn()
            turnCount.store(turns &+ 1, ordering: .relaxed)
            let ended = Host.monotonicNow()
            turnTimes.record(from: began, to: ended)
            let spent = ended.nanoseconds - began.nanoseconds
            if spent > longestRecentTurnNanoseconds { longestRecentTurnNanoseconds = spent }
        }
        close(epoll)
        done.signal()
    }

    private func wait(_ events: inout [epoll_event]) -> Int {
        var milliseconds: Int32 = 1_000
        if hasWork {
            milliseconds = 0
        } else if let next = timers.next {
            let left = next.nanoseconds - Host.monotonicNow().nanoseconds
            milliseconds = Int32(clamping: min(1_000, max(0, (left + 999_999) / 1_000_000)))
        }
        // Safe: the kernel writes at most events.count entries.
        let count = unsafe epoll_wait(epoll, &events, Int32(events.count), milliseconds)
        return max(0, Int(count))
    }

    /// True when the next turn has something to do whatever the sockets say.
    private var hasWork: Bool {
        !hungry.isEmpty || !jobs.isEmpty || !dirty.isEmpty || !urgent.isEmpty || !held.isEmpty || !dirtyNext.isEmpty
            || !nextTurn.isEmpty || !heavy.isEmpty
    }

    private func refreshClock() {
        now = Host.monotonicNow()
        wallClockMicroseconds = Host.wallClockMicroseconds()
    }

    private func dispatch(_ event: epoll_event) {
        let ticket = unsafe event.data.u64
        if ticket == 0 { return emptyInbox() }
        unsafe object(of: ticket)?.ready(event.events)
    }

    private func object(of ticket: UInt64) -> Pollable? {
        let place = Int(ticket & 0xFFFF_FFFF)
        // A ticket of an earlier generation belongs to a connection that closed meanwhile.
        guard place < watched.count, watched[place].generation == UInt32(ticket >> 32) else { return nil }
        return watched[place].object
    }

    /// A socket is ready among many: it waits for its tenant's turn.
    private func hold(_ event: epoll_event) {
        let ticket = unsafe event.data.u64
        if ticket == 0 { return emptyInbox() }
        guard let object = object(of: ticket) else { return }
        guard let share = object.share else { return unsafe object.ready(event.events) }
        if object.due == 0 { held.append(ticket, of: share) }
        unsafe object.due |= event.events
    }

    private func holdHungry() {
        let waiting = hungry
        hungry.removeAll(keepingCapacity: true)
        for object in waiting {
            guard let share = object.share, object.ticket != 0 else {
                object.resume()
                continue
            }
            if object.due == 0 { held.append(object.ticket, of: share) }
            object.due |= Lane.resumes
        }
    }

    private func serveHeld() {
        while let ticket = held.popFirst() {
            guard let object = object(of: ticket) else { continue }
            let due = object.due
            object.due = 0
            if due & Lane.resumes != 0 { object.resume() }
            let events = due & ~Lane.resumes
            if events != 0, object.ticket == ticket { object.ready(events) }
            // One socket may have brought as much as a turn should.
            if isOverTime { return }
        }
    }

    private func takeOverDirty() {
        dirty += dirtyNext
        dirtyNext.removeAll(keepingCapacity: true)
    }

    private func runDeferred() {
        let bodies = nextTurn
        nextTurn.removeAll(keepingCapacity: true)
        for body in bodies { body() }
    }

    private func emptyInbox() {
        for item in inbox.takeAll() {
            switch item {
            case .closure(let body): body()
            case .job(let job): jobs.append(job)
            }
        }
    }

    private func goOnWithHungry() {
        guard !hungry.isEmpty else { return }
        let waiting = hungry
        hungry.removeAll(keepingCapacity: true)
        for object in waiting { object.resume() }
    }

    private func fireTimers() {
        // Not more than a few, nor more than were there: timers must not keep the lane from its sockets.
        for _ in 0..<min(timers.count, Lane.timersPerTurn) {
            guard let timer = timers.popDue(at: now) else { return }
            let body = timer.body
            body?()
        }
    }

    private func flushSome() {
        for object in flushing { object.flush() }
        flushing.removeAll(keepingCapacity: true)
    }

    /// Runs jobs and flushes until neither is left; each bounded by the work that this turn's input caused.
    private func settleTurn() {
        while !jobs.isEmpty || !dirty.isEmpty || !urgent.isEmpty {
            while !jobs.isEmpty {
                swap(&jobs, &jobsInFlight)
                for job in jobsInFlight { unsafe job.runSynchronously(on: asUnownedTaskExecutor()) }
                jobsInFlight.removeAll(keepingCapacity: true)
            }
            swap(&urgent, &flushing)
            flushSome()
            swap(&dirty, &flushing)
            flushSome()
        }
    }
}

/// Lets any number of threads wait for the end of another, without waking meanwhile.
final class DoneSignal: Sendable {
    private let semaphore = DispatchSemaphore(value: 0)

    func signal() { semaphore.signal() }

    func wait() {
        semaphore.wait()
        // Passed on, so that the next thread that waits learns of it too.
        semaphore.signal()
    }

    func wait(atMost limit: Duration) -> Bool {
        let end = DispatchTime.now() + .nanoseconds(Int(clamping: limit.nanoseconds))
        guard semaphore.wait(timeout: end) == .success else { return false }
        semaphore.signal()
        return true
    }
}
