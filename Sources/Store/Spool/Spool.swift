// What must not be lost when the process dies: entries in a mapped file, appended and dropped without a system call.

import Core
import Net

/// One entry that was neither dropped nor lost.
public struct SpoolEntry: Equatable, Sendable {
    /// Names it for `drop`; rises from entry to entry.
    public let number: UInt64
    /// What it is, as its writer says.
    public let kind: UInt8
    /// Its content.
    public let content: [UInt8]
}

/// What a spool found damaged when it was opened. The file as it was stands beside it, named `….damaged`.
public struct SpoolDamage: Equatable, Sendable {
    /// Bytes that cannot be read; what lived among them is lost.
    public var bytes: Int
    /// What is wrong, for people.
    public var reason: String
    /// False when the copy could not be written, for example because the disk is full.
    public var isCopied: Bool
}

/// A bounded log of entries that live until they are dropped. Confined to its lane.
///
/// The file is a header and two halves. Entries go one behind the other into one half; when that is long and mostly dropped, what lives is
/// copied into the other half, and one store in the header switches over. A process that is killed at any moment leaves every entry
/// whose `append` had returned, and nothing that was dropped.
///
/// Header: magic (8 bytes), size of a half (8), generation (8): even: first half, odd: second; bytes that entries take of the first half (8), of
/// the second (8). Entry: length of the content (4), CRC-32C of the content that begins with generation, number and kind (4), number (8),
/// state (1: lives, 2: dropped), kind (1), 6 zeros, content, filled up to a multiple of 8.
///
/// Because the header says how far entries reach, damage among them is seen: what follows it is found again, and what lies between is told.
public final class Spool {
    /// Where the file is.
    public let path: String
    private let file: MappedFile
    private let half: Int
    private var generation: UInt64
    private var used = 0
    private var nextNumber: UInt64 = 1
    private var scratch = ByteBuffer()
    private var places: [UInt64: (offset: Int, length: Int)] = [:]
    /// Bytes of the entries that live.
    public private(set) var liveBytes = 0
    /// What was damaged when the file was opened; nil when all of it was as it should be.
    public private(set) var damage: SpoolDamage?

    private static let magic: UInt64 = 0x3250_5345_4349_554C  // "LUICESP2"
    /// Longest content that an entry can have; a length beyond it is damage.
    private static let contentLimit = 1 << 20
    /// Most bytes of a damaged file that are copied.
    private static let copyLimit = 64 << 20
    private static let headerSize = 64
    private static let entrySize = 24
    /// A half is not switched before it has so many bytes.
    private static let switchSize = 1 << 20

    /// Opens a spool of about `size` bytes, and finds what the last owner left.
    ///
    /// - Throws: when the file cannot be used.
    public init(path: String, size: Int) throws(SystemFailure) {
        half = max(4_096, size / 2 & ~4_095)
        self.path = path
        let before = FileAccess.exists(path) ? try FileAccess.read(path, limit: Spool.copyLimit) : []
        file = try MappedFile(path: path, count: Spool.headerSize + 2 * half)
        generation = file.load(at: 16, as: UInt64.self)
        var lost: (bytes: Int, reason: String)?
        if file.load(at: 0, as: UInt64.self) == Spool.magic, file.load(at: 8, as: UInt64.self) == UInt64(half) {
            let bytes = scan()
            if bytes > 0 { lost = (bytes, "entries do not match their checksums") }
        } else {
            // A file that was made and never written holds zeros.
            if before.contains(where: { $0 != 0 }) {
                lost = (before.count, "the head is none of a spool of this version")
            }
            generation = 2
            for offset in [24, 32] { file.store(UInt64(0), at: offset) }
            file.store(generation, at: 16)
            file.store(UInt64(half), at: 8)
            file.store(Spool.magic, at: 0)
        }
        guard let lost else { return }
        let isCopied = (try? FileAccess.writeAtomically(path + ".damaged", before)) != nil
        damage = SpoolDamage(bytes: lost.bytes, reason: lost.reason, isCopied: isCopied)
    }

    /// Where the header says how far the entries of the half in use reach.
    private var usedOffset: Int { generation & 1 == 0 ? 24 : 32 }

    private var start: Int { Spool.headerSize + (generation & 1 == 0 ? 0 : half) }

    /// True when nothing lives.
    public var isEmpty: Bool { places.isEmpty }

    /// Entries that live.
    public var count: Int { places.count }

    /// How much of its room is taken by what lives, 0…1.
    public var share: Double { Double(liveBytes) / Double(half) }

    /// Appends an entry; nil when there is no room.
    public func append(kind: UInt8, _ content: RawSpan) -> UInt64? {
        let size = Spool.entrySize + (content.byteCount + 7) & ~7
        if used + size > half || (used > Spool.switchSize && liveBytes < used / 2) { switchOver() }
        guard used + size <= half, content.byteCount <= Spool.contentLimit else { return nil }
        let number = nextNumber
        nextNumber += 1
        let place = start + used
        file.write(content, at: place + Spool.entrySize)
        file.store(UInt32(content.byteCount), at: place)
        file.store(checksum(content, number, kind), at: place + 4)
        file.store(number, at: place + 8)
        file.store(UInt64(kind) << 8 | 1, at: place + 16)
        places[number] = (used, size)
        used += size
        file.store(UInt64(used), at: usedOffset)
        liveBytes += size
        return number
    }

    /// Appends a record; nil when there is no room.
    public func append(_ record: SpoolRecord) -> UInt64? {
        scratch.removeAll()
        record.append(to: &scratch)
        let whole = scratch.slice
        return scratch.withBytes(of: whole) { append(kind: record.kind, $0) }
    }

    /// Ends an entry; one that is not known is left alone.
    public func drop(_ number: UInt64) {
        guard let (offset, length) = places.removeValue(forKey: number) else { return }
        file.store(UInt8(2), at: start + offset + 16)
        liveBytes -= length
        if places.isEmpty, used > Spool.switchSize { renew(in: 2) }
    }

    /// What lives, the oldest first.
    public func entries() -> [SpoolEntry] {
        places.sorted { $0.key < $1.key }.map { number, place in
            let at = start + place.offset
            return SpoolEntry(
                number: number, kind: file.load(at: at + 17, as: UInt8.self),
                content: file.array(
                    at: at + Spool.entrySize, count: Int(file.load(at: at, as: UInt32.self))))
        }
    }

    /// Another half (1) or the same (2) under a new generation: what stands there now is no entry of it.
    private func renew(in step: UInt64) {
        generation += step
        used = 0
        file.store(UInt64(0), at: usedOffset)
        file.store(generation, at: 16)
    }

    /// Copies what lives into the other half, and goes on there.
    private func switchOver() {
        guard liveBytes < used else { return }
        let (from, to) = (start, Spool.headerSize + (generation & 1 == 0 ? half : 0))
        var copied = 0
        var moved: [UInt64: (offset: Int, length: Int)] = [:]
        generation += 1
        for (number, place) in places.sorted(by: { $0.key < $1.key }) {
            file.copy(place.length, from: from + place.offset, to: to + copied)
            let at = to + copied
            let content = file.array(at: at + Spool.entrySize, count: Int(file.load(at: at, as: UInt32.self)))
            file.store(checksum(content.span.raw, number, file.load(at: at + 17, as: UInt8.self)), at: at + 4)
            moved[number] = (copied, place.length)
            copied += place.length
        }
        places = moved
        used = copied
        file.store(UInt64(used), at: usedOffset)
        file.store(generation, at: 16)
    }

    /// Finds the entries of this generation, also one that was complete when its process died before the header said so; returns how many
    /// bytes among them belong to none.
    private func scan() -> Int {
        let told = file.load(at: usedOffset, as: UInt64.self)
        // A head that says too much is damage itself: entries are searched for as far as they could reach.
        let end = told <= UInt64(half) ? Int(told) : half
        var damaged = 0
        while true {
            guard let entry = entry(at: used) else {
                if used >= end { break }
                // Entries begin at multiples of 8.
                used += min(8, end - used)
                damaged += 8
                continue
            }
            if entry.isAlive {
                places[entry.number] = (used, entry.size)
                liveBytes += entry.size
            }
            nextNumber = entry.number + 1
            used += entry.size
        }
        return told <= UInt64(half) ? damaged : max(damaged, 8)
    }

    /// The entry that begins at `offset` of the half in use; nil when none of this generation does.
    private func entry(at offset: Int) -> (number: UInt64, size: Int, isAlive: Bool)? {
        guard offset + Spool.entrySize <= half else { return nil }
        let at = start + offset
        let length = Int(file.load(at: at, as: UInt32.self))
        let number = file.load(at: at + 8, as: UInt64.self)
        let word = file.load(at: at + 16, as: UInt64.self)
        let size = Spool.entrySize + (length + 7) & ~7
        // The cheap checks first: behind damage they are made at each place, and a checksum of what is no entry could take long.
        guard length <= Spool.contentLimit, offset + size <= half, number >= nextNumber, word >> 16 == 0,
            (1...2).contains(word & 255)
        else { return nil }
        let content = file.array(at: at + Spool.entrySize, count: length)
        guard checksum(content.span.raw, number, UInt8(word >> 8)) == file.load(at: at + 4, as: UInt32.self) else {
            return nil
        }
        return (number, size, word & 255 == 1)
    }

    private func checksum(_ content: RawSpan, _ number: UInt64, _ kind: UInt8) -> UInt32 {
        let seed = (generation &* 0x9E37_79B9_7F4A_7C15) ^ (number &* 0xBF58_476D_1CE4_E5B9) ^ UInt64(kind)
        return CRC32C.checksum(content, continuing: UInt32(truncatingIfNeeded: seed ^ seed >> 32))
    }
}
