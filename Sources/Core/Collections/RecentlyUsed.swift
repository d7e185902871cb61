// A bounded dictionary that forgets what was not used for the longest time.

/// Values by key, at most so many: the one that was neither set nor found for the longest time makes room for a new one.
public struct RecentlyUsed<Key: Hashable, Value> {
    fileprivate struct Slot {
        let key: Key
        var value: Value
        /// The slots used just after and just before this one; its own index at the ends of the chain.
        var newer: Int
        var older: Int
    }

    private var places: [Key: Int] = [:]
    private var slots: [Slot] = []
    private var newest = 0
    private var oldest = 0
    private let limit: Int

    /// Nothing yet; room for `limit` values, at least one.
    public init(limit: Int) {
        precondition(limit > 0, "a collection that keeps nothing is of no use")
        self.limit = limit
    }

    /// Values that are kept.
    public var count: Int { slots.count }

    /// The value of a key, which counts as used now.
    public mutating func use(_ key: Key) -> Value? {
        guard let place = place(of: key) else { return nil }
        touch(place)
        return slots[place].value
    }

    /// Keeps a value; forgets another one where there is no room.
    public mutating func set(_ value: Value, for key: Key) {
        if let place = place(of: key) {
            slots[place].value = value
            return touch(place)
        }
        guard slots.count >= limit else {
            let place = slots.count
            slots.append(Slot(key: key, value: value, newer: place, older: place == 0 ? place : newest))
            if place > 0 { slots[newest].newer = place }
            places[key] = place
            newest = place
            return
        }
        let place = oldest
        touch(place)
        places[slots[place].key] = nil
        places[key] = place
        slots[place] = Slot(key: key, value: value, newer: slots[place].newer, older: slots[place].older)
    }

    /// Mostly the key that was used last is used again.
    private func place(of key: Key) -> Int? {
        if !slots.isEmpty, slots[newest].key == key { return newest }
        return places[key]
    }

    /// Makes it the newest.
    private mutating func touch(_ place: Int) {
        guard place != newest else { return }
        let (newer, older) = (slots[place].newer, slots[place].older)
        if place == oldest {
            oldest = newer
            slots[newer].older = newer
        } else {
            slots[older].newer = newer
            slots[newer].older = older
        }
        slots[newest].newer = place
        (slots[place].older, slots[place].newer) = (newest, place)
        newest = place
    }
}

extension RecentlyUsed: Sendable where Key: Sendable, Value: Sendable {}

extension RecentlyUsed.Slot: Sendable where Key: Sendable, Value: Sendable {}
