// SUBSCRIBE: a node opens a stream of configuration from its coordinator.

import Core

/// What a node has, so that the coordinator knows what to send. PROTOCOL.md, section 5.9.
public struct Subscribe: Sendable, Equatable {
    /// The node's number in the configuration.
    public var node: UInt32
    /// Random per start of the process: tells a restart from a reconnection.
    public var incarnation: UInt64
    /// Epoch of the snapshot that the node has; 0 for none.
    public var lastEpoch: UInt64
    /// Sequence within that epoch.
    public var lastSequence: UInt64
    /// Highest epoch the node ever saw: an older one will not be applied.
    public var highestEpoch: UInt64
    /// The node's name, at most 64 bytes.
    public var name: String
    /// Where clients reach it, at most 128 bytes.
    public var address: String
    /// Where its admin port is, at most 128 bytes.
    public var adminAddress: String
    /// The program's version, at most 64 bytes.
    public var programVersion: String

    /// The level of published records that the node obeys; 0: it does not know heartbeats either.
    public var level: UInt16

    /// A node's introduction.
    public init(
        node: UInt32, incarnation: UInt64, lastEpoch: UInt64 = 0, lastSequence: UInt64 = 0, highestEpoch: UInt64 = 0,
        name: String = "", address: String = "", adminAddress: String = "", programVersion: String = "",
        level: UInt16 = 0
    ) {
        self.node = node
        self.incarnation = incarnation
        self.lastEpoch = lastEpoch
        self.lastSequence = lastSequence
        self.highestEpoch = highestEpoch
        self.name = name
        self.address = address
        self.adminAddress = adminAddress
        self.programVersion = programVersion
        self.level = level
    }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let texts = [name, address, adminAddress, programVersion]
        let hasFields = level > 0 || texts.contains { !$0.isEmpty }
        let mark = buffer.beginFrame(.subscribe, stream: stream, flags: hasFields ? .fields : [])
        buffer.append(integer: node)
        buffer.append(integer: UInt32(0))
        for value in [incarnation, lastEpoch, lastSequence, highestEpoch] { buffer.append(integer: value) }
        buffer.append(field: 1, text: name, limit: 64)
        buffer.append(field: 2, text: address, limit: 128)
        buffer.append(field: 3, text: adminAddress, limit: 128)
        buffer.append(field: 4, text: programVersion, limit: 64)
        if level > 0 { buffer.append(field: 5, integer: level) }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags: FrameFlags) throws(WireFault) {
        guard reader.remaining >= 40 else { throw WireFault(.wrongFixedLength) }
        let node: UInt32 = try reader.integer()
        guard try reader.integer(UInt32.self) == 0 else { throw WireFault(.reservedNotZero) }
        self.init(
            node: node, incarnation: try reader.integer(), lastEpoch: try reader.integer(),
            lastSequence: try reader.integer(), highestEpoch: try reader.integer())
        guard flags.contains(.fields) == (reader.remaining > 0) else { throw WireFault(.trailingBytes) }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last) {
            guard length <= 128 else { throw WireFault(.fieldValue) }
            switch number {
            case 1: name = try reader.name(length)
            case 2: address = try reader.name(length)
            case 3: adminAddress = try reader.name(length)
            case 4: programVersion = try reader.name(length)
            case 5:
                guard length == 2 else { throw WireFault(.fieldValue) }
                level = try reader.integer()
            default: _ = try reader.run(length)
            }
        }
    }
}
