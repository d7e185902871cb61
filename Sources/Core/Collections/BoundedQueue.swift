// A first-in first-out queue that refuses to grow beyond its limit.

/// A ring buffer with a limit. Appending to a full queue fails instead of growing.
public struct BoundedQueue<Element> {
    private var slots: [Element?] = []
    private var head = 0
    /// Elements waiting.
    public private(set) var count = 0
    /// The most that may wait.
    public let limit: Int

    /// An empty queue of at most `limit` elements.
    public init(limit: Int) {
        precondition(limit > 0, "a queue has room for something")
        self.limit = limit
    }

    /// True when nothing waits.
    public var isEmpty: Bool { count == 0 }

    /// The element that has waited longest.
    public var first: Element? { count == 0 ? nil : slots[head] }

    /// Appends; false, and nothing changed, when the queue is full.
    @discardableResult public mutating func append(_ element: Element) -> Bool {
        guard count < limit else { return false }
        if count == slots.count { grow() }
        slots[(head + count) % slots.count] = element
        count += 1
        return true
    }

    /// Takes the element that has waited longest.
    public mutating func popFirst() -> Element? {
        guard count > 0 else { return nil }
        let element = slots[head]
        slots[head] = nil
        head = (head + 1) % slots.count
        count -= 1
        return element
    }

    private mutating func grow() {
        var grown: [Element?] = (0..<count).map { slots[(head + $0) % slots.count] }
        grown += [Element?](repeating: nil, count: min(limit, max(8, count * 2)) - count)
        slots = grown
        head = 0
    }
}
