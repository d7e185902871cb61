// SNAPSHOT and UPDATE: the coordinator's state, whole or what changed; spread over frames and closed by a checksum.

import Core

/// One named record of the cluster's state.
public struct SnapshotRecord: Sendable, Equatable {
    /// What the body describes; its meaning is the configuration's.
    public var kind: UInt8
    /// The record's name within its kind, 1…512 bytes.
    public var name: String
    /// The record, opaque here.
    public var body: [UInt8]
    /// A record of its three parts.
    public init(kind: UInt8, name: String, body: [UInt8]) {
        self.kind = kind
        self.name = name
        self.body = body
    }
}

/// The whole state. PROTOCOL.md, section 5.10.
public struct Snapshot: Sendable, Equatable {
    /// The coordinator's term; grows with each new leader.
    public var epoch: UInt64
    /// Position within the epoch.
    public var sequence: UInt64
    /// Every record.
    public var records: [SnapshotRecord]
    /// A whole state.
    public init(epoch: UInt64, sequence: UInt64, records: [SnapshotRecord]) {
        self.epoch = epoch
        self.sequence = sequence
        self.records = records
    }
}

/// What changed since the sequence before; without records a heartbeat, which says the present version. PROTOCOL.md, section 5.10.
public struct Update: Sendable, Equatable {
    /// A record that is gone.
    public struct Removal: Sendable, Equatable {
        /// The record's kind.
        public var kind: UInt8
        /// The record's name.
        public var name: String
        /// A record that is gone.
        public init(kind: UInt8, name: String) {
            self.kind = kind
            self.name = name
        }
    }
    /// The coordinator's term.
    public var epoch: UInt64
    /// Position within the epoch: one more than what it applies to; of a heartbeat the present one.
    public var sequence: UInt64
    /// New and changed records.
    public var changed: [SnapshotRecord]
    /// Records that are gone.
    public var removed: [Removal]
    /// What changed.
    public init(epoch: UInt64, sequence: UInt64, changed: [SnapshotRecord] = [], removed: [Removal] = []) {
        self.epoch = epoch
        self.sequence = sequence
        self.changed = changed
        self.removed = removed
    }
}

/// A SNAPSHOT or an UPDATE in the form in which it travels: made once, sent to any number of subscribers.
public struct StateBytes: Sendable {
    let type: FrameType
    let bytes: [UInt8]

    /// Bytes of the whole message, frame headers not counted.
    public var count: Int { bytes.count }

    /// The whole state.
    public init(_ snapshot: borrowing Snapshot) {
        var message = ByteBuffer()
        StateMessage.encode(snapshot, into: &message)
        type = .snapshot
        bytes = message.array()
    }

    /// What changed.
    public init(_ update: borrowing Update) {
        var message = ByteBuffer()
        StateMessage.encode(update, into: &message)
        type = .update
        bytes = message.array()
    }
}

/// The one encoding behind both: `epoch u64 | sequence u64 | count u32 | records | CRC-32C u32`,
/// a record being `action u8 (1 put, 2 remove) | kind u8 | name: varint + bytes | body (put only): varint + bytes`.
enum StateMessage {
    static func encode(_ snapshot: borrowing Snapshot, into buffer: inout ByteBuffer) {
        let mark = begin(&buffer, snapshot.epoch, snapshot.sequence, snapshot.records.count)
        for record in snapshot.records { put(record, into: &buffer) }
        end(&buffer, mark)
    }

    static func encode(_ update: borrowing Update, into buffer: inout ByteBuffer) {
        let mark = begin(&buffer, update.epoch, update.sequence, update.changed.count + update.removed.count)
        for record in update.changed { put(record, into: &buffer) }
        for removal in update.removed { head(2, removal.kind, removal.name, into: &buffer) }
        end(&buffer, mark)
    }

    private static func begin(_ buffer: inout ByteBuffer, _ epoch: UInt64, _ sequence: UInt64, _ count: Int) -> Int {
        let mark = buffer.count
        buffer.append(integer: epoch)
        buffer.append(integer: sequence)
        buffer.append(integer: UInt32(count))
        return mark
    }

    private static func end(_ buffer: inout ByteBuffer, _ mark: Int) {
        buffer.append(integer: CRC32C.checksum(buffer.bytes.extracting(mark..<buffer.count)))
    }

    private static func head(_ action: UInt8, _ kind: UInt8, _ name: String, into buffer: inout ByteBuffer) {
        precondition((1...512).contains(name.utf8.count), "a record's name has 1 to 512 bytes")
        buffer.append(action)
        buffer.append(kind)
        buffer.append(varint: name.utf8.count)
        buffer.append(name)
    }

    private static func put(_ record: SnapshotRecord, into buffer: inout ByteBuffer) {
        head(1, record.kind, record.name, into: &buffer)
        buffer.append(varint: record.body.count)
        buffer.append(record.body)
    }

    static func snapshot(_ bytes: RawSpan) throws(WireFault) -> Snapshot {
        let update = try update(bytes)
        guard update.removed.isEmpty else { throw WireFault(.fieldValue) }
        return Snapshot(epoch: update.epoch, sequence: update.sequence, records: update.changed)
    }

    static func update(_ bytes: RawSpan) throws(WireFault) -> Update {
        guard bytes.byteCount >= 24 else { throw WireFault(.wrongFixedLength) }
        let end = bytes.byteCount - 4
        guard CRC32C.checksum(bytes.extracting(0..<end)) == bytes.integer(at: end, as: UInt32.self) else {
            throw WireFault(.checksum)
        }
        var reader = FieldReader(bytes.extracting(0..<end))
        var update = Update(epoch: try reader.integer(), sequence: try reader.integer())
        let count: UInt32 = try reader.integer()
        for _ in 0..<count {
            let action: UInt8 = try reader.integer()
            let kind: UInt8 = try reader.integer()
            let length = try reader.varint()
            guard length >= 1, length <= 512 else { throw WireFault(.fieldValue) }
            let name = try reader.text(length)
            switch action {
            case 1:
                let body = try reader.array(try reader.varint())
                update.changed.append(SnapshotRecord(kind: kind, name: name, body: body))
            case 2: update.removed.append(Update.Removal(kind: kind, name: name))
            default: throw WireFault(.fieldValue)
            }
        }
        try reader.expectEnd()
        return update
    }
}
