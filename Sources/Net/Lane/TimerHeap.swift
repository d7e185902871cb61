// The lane's timers: an indexed binary heap, so that a cancelled timer leaves at once.
import Core

/// A timer that a lane will fire. Made by `Lane.schedule`; touch it on its lane only.
public final class LaneTimer {
    var deadline: Instant
    var body: (() -> Void)?
    /// Where the timer stands in the heap; -1 when it does not.
    var place = -1
    unowned let lane: Lane

    init(deadline: Instant, lane: Lane, body: @escaping () -> Void) {
        self.deadline = deadline
        self.lane = lane
        self.body = body
    }

    /// True until the timer fired or was cancelled.
    public var isPending: Bool { place >= 0 }

    /// Forgets the timer and what it holds. Harmless when it has fired.
    public func cancel() {
        lane.timers.remove(self)
        body = nil
    }
}

/// A binary heap of timers that knows where each stands: insert and remove cost O(log n), the next deadline O(1).
struct TimerHeap {
    private var heap: [LaneTimer] = []

    var next: Instant? { heap.first?.deadline }
    var count: Int { heap.count }

    mutating func insert(_ timer: LaneTimer) {
        timer.place = heap.count
        heap.append(timer)
        rise(from: timer.place)
    }

    mutating func remove(_ timer: LaneTimer) {
        let place = timer.place
        guard place >= 0 else { return }
        timer.place = -1
        let last = heap.removeLast()
        guard last !== timer else { return }
        heap[place] = last
        last.place = place
        rise(from: place)
        sink(from: last.place)
    }

    /// Takes the earliest timer out if it is due.
    mutating func popDue(at now: Instant) -> LaneTimer? {
        guard let first = heap.first, first.deadline <= now else { return nil }
        remove(first)
        return first
    }

    private mutating func rise(from start: Int) {
        var place = start
        while place > 0 {
            let parent = (place - 1) / 2
            guard heap[place].deadline < heap[parent].deadline else { return }
            swapPlaces(place, parent)
            place = parent
        }
    }

    private mutating func sink(from start: Int) {
        var place = start
        while true {
            var least = place
            for child in [2 * place + 1, 2 * place + 2] where child < heap.count {
                if heap[child].deadline < heap[least].deadline { least = child }
            }
            guard least != place else { return }
            swapPlaces(place, least)
            place = least
        }
    }

    private mutating func swapPlaces(_ left: Int, _ right: Int) {
        heap.swapAt(left, right)
        heap[left].place = left
        heap[right].place = right
    }
}
