// Open streams in one flat table: rows side by side, found through a small index of row numbers.

/// What a row must have to live in a `StreamTable`.
protocol StreamRow {
    /// The stream; 0 while the row is free.
    var id: UInt32 { get set }
    /// The next row of whatever list the row is in; -1 for the last.
    var next: Int32 { get set }
}

/// Streams by id. Ids are nearly dense, so `id & mask` rarely collides; a long-running stream among short ones does no harm.
///
/// Nothing is allocated per stream once the table has grown to what is open at once; nothing at all while no stream is open.
struct StreamTable<Row: StreamRow> {
    private(set) var count = 0
    var rows: [Row] = []
    /// Row number + 1 by probed position; 0 is empty. A power of two, at least twice the rows.
    private var index: [UInt16] = []
    private var firstFree: Int32 = -1

    /// The row of a stream.
    @inline(__always) func find(_ id: UInt32) -> Int? {
        let mask = index.count - 1
        guard mask > 0 else { return nil }
        var position = Int(id) & mask
        while true {
            let entry = Int(index[position])
            if entry == 0 { return nil }
            if rows[entry - 1].id == id { return entry - 1 }
            position = (position + 1) & mask
        }
    }

    mutating func insert(_ row: Row) -> Int {
        let slot: Int
        if firstFree >= 0 {
            slot = Int(firstFree)
            firstFree = rows[slot].next
            rows[slot] = row
        } else {
            slot = rows.count
            rows.append(row)
            if rows.count * 2 > index.count { rebuild() }
        }
        place(slot)
        count += 1
        return slot
    }

    private mutating func place(_ slot: Int) {
        let mask = index.count - 1
        var position = Int(rows[slot].id) & mask
        while index[position] != 0 { position = (position + 1) & mask }
        index[position] = UInt16(slot + 1)
    }

    private mutating func rebuild() {
        index = [UInt16](repeating: 0, count: max(8, index.count * 2))
        // The newest row is placed by its insertion.
        for slot in 0..<rows.count - 1 where rows[slot].id != 0 { place(slot) }
    }

    mutating func remove(_ slot: Int) {
        let mask = index.count - 1
        var hole = Int(rows[slot].id) & mask
        while Int(index[hole]) != slot + 1 { hole = (hole + 1) & mask }
        // Backward shift: whatever was pushed past the hole by a collision moves up, so no tombstones are needed.
        var position = hole
        while true {
            position = (position + 1) & mask
            let entry = Int(index[position])
            if entry == 0 { break }
            let home = Int(rows[entry - 1].id) & mask
            if (position - home) & mask >= (position - hole) & mask {
                index[hole] = index[position]
                hole = position
            }
        }
        index[hole] = 0
        rows[slot].id = 0
        rows[slot].next = firstFree
        firstFree = Int32(slot)
        count -= 1
    }

    /// Gives the memory back when no stream is open.
    mutating func trim() {
        guard count == 0 else { return }
        rows = []
        index = []
        firstFree = -1
    }
}

/// A list of rows, linked through them.
struct RowList {
    private(set) var first: Int32 = -1
    private(set) var last: Int32 = -1

    var isEmpty: Bool { first < 0 }

    mutating func append<Row>(_ slot: Int, in table: inout StreamTable<Row>) {
        table.rows[slot].next = -1
        if last >= 0 { table.rows[Int(last)].next = Int32(slot) } else { first = Int32(slot) }
        last = Int32(slot)
    }

    mutating func popFirst<Row>(in table: StreamTable<Row>) -> Int? {
        guard first >= 0 else { return nil }
        let slot = Int(first)
        first = table.rows[slot].next
        if first < 0 { last = -1 }
        return slot
    }

    /// Takes a row out of the middle; the list is walked, so only for rare events.
    mutating func remove<Row>(_ slot: Int, in table: inout StreamTable<Row>) {
        var before: Int32 = -1
        var current = first
        while current >= 0, current != Int32(slot) {
            before = current
            current = table.rows[Int(current)].next
        }
        guard current >= 0 else { return }
        let after = table.rows[slot].next
        if before >= 0 { table.rows[Int(before)].next = after } else { first = after }
        if after < 0 { last = before }
    }
}
