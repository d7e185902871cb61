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

/// A bounded log of entries that live until they are dropped. Confined to its lane.
///
/// The file is a header and two halves. Entries go one behind the other into one half; when that is long and mostly dropped, what lives is
/// copied into the other half, and one store in the header switches over. A process that is killed at any moment leaves every entry
/// whose `append` had returned, and nothing that was dropped.
///
/// Header: magic (8 bytes), size of a half (8), generation (8): even: first half, odd: second. Entry: length of the content (4), CRC-32C of the
/// content that begins with generation, number and kind (4), number (8), state (1: lives, 2: dropped), kind (1), 6 free, content, filled
/// up to a multiple of 8.
public final class Spool {
    private let file: MappedFile
    private let half: Int
    private var generation: UInt64
    private var used = 0
    private var nextNumber: UInt64 = 1
    private var scratch = ByteBuffer()
    private var places: [UInt64: (offset: Int, length: Int)] = [:]
    /// Bytes of the entries that live.
    public private(set) var liveBytes = 0

    private static let magic: UInt64 = 0x3150_5345_4349_554C  // "LUICESP1"
    private static let headerSize = 64
    private static let entrySize = 24
    /// A half is not switched before it has so many bytes.
    private static let switchSize = 1 << 20

    /// Opens a spool of about `size` bytes, and finds what the last owner left.
    ///
    /// - Throws: when the file cannot be used.
    public init(path: String, size: Int) throws(SystemFailure) {
        half = max(4_096, size / 2 & ~4_095)
        file = try MappedFile(path: path, count: Spool.headerSize + 2 * half)
        if file.load(at: 0, as: UInt64.self) == Spool.magic, file.load(at: 8, as: UInt64.self) == UInt64(half) {
            generation = file.load(at: 16, as: UInt64.self)
            scan()
        } else {
            generation = 2
            file.store(generation, at: 16)
            file.store(UInt64(half), at: 8)
            file.store(Spool.magic, at: 0)
        }
    }

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
        guard used + size <= half else { return nil }
        let number = nextNumber
        nextNumber += 1
        let place = start + used
        file.write(content, at: place + Spool.entrySize)
        file.store(UInt32(content.byteCount), at: place)
        file.store(checksum(content, number, kind), at: place + 4)
        file.store(number, at: place + 8)
        file.store(UInt16(kind) << 8 | 1, at: place + 16)
        places[number] = (used, size)
        used += size
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
        // An older entry behind the last one would have another generation in its checksum, and ends the scan.
        file.store(generation, at: 16)
    }

    /// Finds the entries of this generation.
    private func scan() {
        while used + Spool.entrySize <= half {
            let at = start + used
            let length = Int(file.load(at: at, as: UInt32.self))
            let size = Spool.entrySize + (length + 7) & ~7
            guard used + size <= half else { return }
            let number = file.load(at: at + 8, as: UInt64.self)
            let state = file.load(at: at + 16, as: UInt16.self)
            let content = file.array(at: at + Spool.entrySize, count: length)
            let sum = checksum(content.span.raw, number, UInt8(state >> 8))
            guard sum == file.load(at: at + 4, as: UInt32.self), number >= nextNumber, state & 255 != 0 else { return }
            if state & 255 == 1 {
                places[number] = (used, size)
                liveBytes += size
            }
            nextNumber = number + 1
            used += size
        }
    }

    private func checksum(_ content: RawSpan, _ number: UInt64, _ kind: UInt8) -> UInt32 {
        let seed = (generation &* 0x9E37_79B9_7F4A_7C15) ^ (number &* 0xBF58_476D_1CE4_E5B9) ^ UInt64(kind)
        return CRC32C.checksum(content, continuing: UInt32(truncatingIfNeeded: seed ^ seed >> 32))
    }
}
