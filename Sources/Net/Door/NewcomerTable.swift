// Connections that are not established yet, by source: who begins next, and who goes when there is no room.

/// Newcomers in the order of their arrival, by source. Every operation takes the same time however many there are.
///
/// When there is no room, the source that has most pays: its oldest newcomer goes, one that has not said a word before those that have. The
/// one who comes never does. Sources take turns to begin.
struct NewcomerTable<Element> {
    /// Where a newcomer stands in its source.
    enum Stage: Int {
        /// It has not said a word.
        case silent = 0
        /// It spoke, and waits for its source's turn.
        case waiting = 1
        /// Its handshake goes on, or its greeting is awaited.
        case begun = 2
    }

    private struct List {
        var head = -1
        var tail = -1
        var isEmpty: Bool { head < 0 }
    }

    private struct Slot {
        var element: Element?
        var row = -1
        var stage = Stage.silent
        var number: UInt64 = 0
        var previous = -1
        var next = -1
    }

    private struct Row {
        var source: Source
        var count = 0
        /// Newcomers by stage, the oldest first.
        var lists: InlineArray<3, List> = [List(), List(), List()]
        /// Neighbours among the sources that have as many newcomers.
        var previous = -1
        var next = -1
        /// Neighbours among the sources that wait for their turn.
        var turnPrevious = -1
        var turnNext = -1
    }

    private var slots: [Slot] = []
    private var freeSlots: [Int] = []
    private var rows: [Row] = []
    private var freeRows: [Int] = []
    private var rowOf: [Source: Int] = [:]
    /// Sources by how many newcomers they have; those that came to that number first stand first.
    private var byCount: [List] = [List()]
    private var highest = 0
    private var turns = List()
    private var lastNumber: UInt64 = 0

    /// Newcomers at present.
    private(set) var count = 0
    /// Sources that have any.
    var sources: Int { rowOf.count }
    /// True when somebody waits for a turn.
    var hasWaiting: Bool { !turns.isEmpty }

    /// Newcomers of a source.
    func count(of source: Source) -> Int { rowOf[source].map { rows[$0].count } ?? 0 }

    /// Takes a newcomer in, silent; the place is its own until `remove`.
    mutating func add(_ element: Element, from source: Source) -> Int {
        let row = row(of: source)
        let place = freeSlots.popLast() ?? slots.count
        if place == slots.count { slots.append(Slot()) }
        lastNumber += 1
        slots[place] = Slot(element: element, row: row, number: lastNumber)
        append(place)
        recount(row, by: 1)
        count += 1
        return place
    }

    /// Moves a newcomer on, behind all others of its source that are there; also when it is there already.
    mutating func move(_ place: Int, to stage: Stage) {
        detach(place)
        lastNumber += 1
        slots[place].number = lastNumber
        slots[place].stage = stage
        append(place)
    }

    /// Forgets a newcomer that is established or gone.
    mutating func remove(_ place: Int) {
        precondition(slots[place].row >= 0, "a newcomer leaves once")
        detach(place)
        recount(slots[place].row, by: -1)
        slots[place] = Slot()
        freeSlots.append(place)
        count -= 1
    }

    /// Whose turn it is: the oldest that waits, of the source that has waited longest. The source then stands last.
    mutating func takeTurn() -> Element? {
        guard !turns.isEmpty else { return nil }
        let row = turns.head
        let place = rows[row].lists[Stage.waiting.rawValue].head
        let element = slots[place].element
        leaveTurns(row)
        move(place, to: .begun)
        if !rows[row].lists[Stage.waiting.rawValue].isEmpty { joinTurns(row) }
        return element
    }

    /// Who goes when there is no room at all.
    var first: Element? { highest > 0 ? first(in: byCount[highest].head) : nil }

    /// Who goes when the source has no room.
    func first(of source: Source) -> Element? { rowOf[source].flatMap { first(in: $0) } }

    private func first(in row: Int) -> Element? {
        let (silent, waiting, begun) = (rows[row].lists[0].head, rows[row].lists[1].head, rows[row].lists[2].head)
        if silent >= 0 { return slots[silent].element }
        if waiting >= 0, begun < 0 || slots[waiting].number < slots[begun].number { return slots[waiting].element }
        return begun >= 0 ? slots[begun].element : nil
    }

    // MARK: - Lists

    private mutating func row(of source: Source) -> Int {
        if let row = rowOf[source] { return row }
        let row = freeRows.popLast() ?? rows.count
        if row == rows.count { rows.append(Row(source: source)) } else { rows[row] = Row(source: source) }
        rowOf[source] = row
        return row
    }

    private mutating func append(_ place: Int) {
        let (row, stage) = (slots[place].row, slots[place].stage.rawValue)
        let wasEmpty = rows[row].lists[stage].isEmpty
        slots[place].next = -1
        slots[place].previous = rows[row].lists[stage].tail
        if wasEmpty { rows[row].lists[stage].head = place } else { slots[slots[place].previous].next = place }
        rows[row].lists[stage].tail = place
        if stage == Stage.waiting.rawValue, wasEmpty { joinTurns(row) }
    }

    private mutating func detach(_ place: Int) {
        let (row, stage) = (slots[place].row, slots[place].stage.rawValue)
        let (previous, next) = (slots[place].previous, slots[place].next)
        if previous >= 0 { slots[previous].next = next } else { rows[row].lists[stage].head = next }
        if next >= 0 { slots[next].previous = previous } else { rows[row].lists[stage].tail = previous }
        if stage == Stage.waiting.rawValue, rows[row].lists[stage].isEmpty { leaveTurns(row) }
    }

    private mutating func joinTurns(_ row: Int) {
        guard turns.head != row, rows[row].turnPrevious < 0 else { return }
        rows[row].turnPrevious = turns.tail
        rows[row].turnNext = -1
        if turns.isEmpty { turns.head = row } else { rows[turns.tail].turnNext = row }
        turns.tail = row
    }

    private mutating func leaveTurns(_ row: Int) {
        let (previous, next) = (rows[row].turnPrevious, rows[row].turnNext)
        guard turns.head == row || previous >= 0 else { return }
        if previous >= 0 { rows[previous].turnNext = next } else { turns.head = next }
        if next >= 0 { rows[next].turnPrevious = previous } else { turns.tail = previous }
        rows[row].turnPrevious = -1
        rows[row].turnNext = -1
    }

    /// The source has one more or one less; without any it is forgotten.
    private mutating func recount(_ row: Int, by change: Int) {
        let old = rows[row].count
        let new = old + change
        if old > 0 {
            let (previous, next) = (rows[row].previous, rows[row].next)
            if previous >= 0 { rows[previous].next = next } else { byCount[old].head = next }
            if next >= 0 { rows[next].previous = previous } else { byCount[old].tail = previous }
        }
        rows[row].count = new
        if new > 0 {
            while byCount.count <= new { byCount.append(List()) }
            rows[row].next = -1
            rows[row].previous = byCount[new].tail
            if byCount[new].isEmpty { byCount[new].head = row } else { rows[byCount[new].tail].next = row }
            byCount[new].tail = row
        } else {
            rowOf[rows[row].source] = nil
            freeRows.append(row)
        }
        highest = max(highest, new)
        while highest > 0, byCount[highest].isEmpty { highest -= 1 }
    }
}
