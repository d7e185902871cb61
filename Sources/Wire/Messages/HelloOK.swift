// HELLO_OK: the server's answer to HELLO. Its layout is frozen for ever.

import Core

/// The server's side of the handshake. PROTOCOL.md, section 4.2.
///
/// The owner fills in session, node, table version, models and peers; `ServerConnection.accept` sets the rest from its limits.
public struct HelloOK: Sendable, Equatable {
    /// A model's number on this connection.
    public struct Model: Sendable, Equatable {
        /// 1…65,535; 0 means that the request spells the name.
        public var id: UInt16
        /// The alias as in the configuration, 1…128 bytes.
        public var name: String
        /// A row of the table.
        public init(id: UInt16, name: String) {
            self.id = id
            self.name = name
        }
    }

    /// The version that is spoken from here on.
    public var version: UInt8 = 1
    /// Shortest time between two PINGs that the server accepts, in seconds.
    public var minimumPingSeconds: UInt16 = 10
    /// Features that both sides offered.
    public var capabilities: Capabilities = []
    /// Names this connection in logs.
    public var session: UInt64
    /// Names the node.
    public var node: UInt32
    /// Highest stream id the client may open before the first CREDIT.
    public var maximumStream: UInt32 = 256
    /// Longest payload the server takes, in bytes.
    public var maximumFrame: UInt16 = 16_376
    /// Longest request body the server takes, in KiB.
    public var maximumBodyKiB: UInt16 = 1024
    /// The connection's lifetime, in seconds; GOAWAY follows then.
    public var maximumAgeSeconds: UInt32 = 1800
    /// Version of the model table.
    public var tableVersion: UInt32
    /// Models by number; those that do not fit one frame are left out and must be spelled.
    public var models: [Model]
    /// Language of error texts.
    public var locale: String
    /// Addresses to dial for further connections.
    public var peers: [String]

    /// As many models as a table of the shortest names could have: 16 KiB less 1 KiB, 5 bytes and more each.
    public static let mostModels = 3_072

    /// An answer with the owner's part.
    public init(
        session: UInt64 = 0, node: UInt32 = 0, tableVersion: UInt32 = 0, models: [Model] = [], locale: String = "",
        peers: [String] = []
    ) {
        self.session = session
        self.node = node
        self.tableVersion = tableVersion
        self.models = models
        self.locale = locale
        self.peers = peers
    }

    func encode(into buffer: inout ByteBuffer, room: Int) {
        let hasFields = !models.isEmpty || !locale.isEmpty || !peers.isEmpty
        let mark = buffer.beginFrame(.helloOK, flags: hasFields ? .fields : [])
        buffer.append(version)
        buffer.append(UInt8(0))
        buffer.append(integer: minimumPingSeconds)
        buffer.append(integer: capabilities.rawValue)
        buffer.append(integer: session)
        buffer.append(integer: node)
        buffer.append(integer: maximumStream)
        buffer.append(integer: maximumFrame)
        buffer.append(integer: maximumBodyKiB)
        buffer.append(integer: maximumAgeSeconds)
        buffer.append(integer: tableVersion)
        // 1 KiB stays free for the fields behind the table.
        for model in models where buffer.count - mark + 140 <= room - 1024 {
            precondition(model.id > 0 && !model.name.isEmpty, "a model in the table has a number and a name")
            let name = model.name.fitting(128)
            buffer.append(1)
            buffer.append(varint: 2 + name.utf8.count)
            buffer.append(integer: model.id)
            buffer.append(name)
        }
        buffer.append(field: 2, text: locale, limit: 16)
        for peer in peers where buffer.count - mark + 140 <= room { buffer.append(field: 3, text: peer, limit: 128) }
        if hasFields, buffer.count - mark == FrameHeader.size + 40 {
            buffer.overwrite(at: mark + 3, with: UInt8(0))
        }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags: FrameFlags) throws(WireFault) {
        guard reader.remaining >= 40 else { throw WireFault(.wrongFixedLength) }
        let version: UInt8 = try reader.integer()
        guard try reader.integer(UInt8.self) == 0 else { throw WireFault(.reservedNotZero) }
        let ping: UInt16 = try reader.integer()
        let capabilities = Capabilities(rawValue: try reader.integer())
        self.init(session: try reader.integer(), node: try reader.integer())
        self.version = version
        minimumPingSeconds = ping
        self.capabilities = capabilities
        maximumStream = try reader.integer()
        maximumFrame = try reader.integer()
        maximumBodyKiB = try reader.integer()
        maximumAgeSeconds = try reader.integer()
        tableVersion = try reader.integer()
        guard maximumStream > 0, maximumStream >> 31 == 0, maximumFrame >= 8192 else {
            throw WireFault(.fieldValue)
        }
        guard flags.contains(.fields) == (reader.remaining > 0) else { throw WireFault(.trailingBytes) }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last, repeatable: 1...3) {
            switch number {
            case 1:
                guard length > 2, length <= 130 else { throw WireFault(.fieldValue) }
                let id: UInt16 = try reader.integer()
                guard id > 0 else { throw WireFault(.fieldValue) }
                models.append(Model(id: id, name: try reader.name(length - 2)))
            case 2:
                guard locale.isEmpty, length > 0, length <= 16 else { throw WireFault(.fieldValue) }
                locale = try reader.name(length)
            case 3:
                guard length > 0, length <= 128, peers.count < 64 else { throw WireFault(.fieldValue) }
                peers.append(try reader.name(length))
            default: _ = try reader.run(length)
            }
        }
    }
}
