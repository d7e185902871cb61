// HELLO: the first frame of a connection, from the side that connects. Its layout is frozen for ever.

public import Core

/// What the connecting side says first. PROTOCOL.md, section 4.1.
public struct Hello: Sendable, Equatable {
    /// `SLC1`.
    public static let magic: UInt32 = 0x534C_4331
    /// Lowest version spoken.
    public var minimumVersion: UInt8 = 1
    /// Highest version spoken.
    public var maximumVersion: UInt8 = 1
    /// Which side of the cluster it is.
    public var role: PeerRole
    /// How it proves who it is.
    public var authentication: Authentication
    /// Features it offers.
    public var capabilities: Capabilities
    /// A random id of the connecting program, the same on all its connections.
    public var instance: Identifier128
    /// Streams it would like to have open at once; advice.
    public var wantedStreams: UInt16
    /// Response bytes the server may send on each stream before the first CREDIT, in KiB; 16…1,024.
    public var windowKiB: UInt16
    /// The API key's text (`slk_<id>_<secret>`), at most 128 bytes; empty with a certificate. Never printed.
    public var apiKey: [UInt8]
    /// Name and version of the client program, at most 64 bytes.
    public var client: String

    /// The longest API key.
    public static let maximumKeyLength = 128

    /// A HELLO of version 1 with the standard window, and the capabilities that go with its role unless others are named.
    public init(
        role: PeerRole = .client, authentication: Authentication = .apiKey, apiKey: [UInt8] = [], client: String = "",
        instance: Identifier128 = Identifier128(high: 0, low: 0), capabilities: Capabilities? = nil,
        wantedStreams: UInt16 = 256, windowKiB: UInt16 = 64
    ) {
        self.role = role
        self.authentication = authentication
        self.apiKey = apiKey
        self.client = client
        self.instance = instance
        self.capabilities = capabilities ?? (role == .node ? .node : .standard)
        self.wantedStreams = wantedStreams
        self.windowKiB = windowKiB
    }

    var hasFields: Bool { !apiKey.isEmpty || !client.isEmpty }

    func encode(into buffer: inout ByteBuffer) {
        let mark = buffer.beginFrame(.hello, flags: hasFields ? .fields : [])
        buffer.append(integer: Hello.magic)
        buffer.append(minimumVersion)
        buffer.append(maximumVersion)
        buffer.append(role.rawValue)
        buffer.append(authentication.rawValue)
        buffer.append(integer: capabilities.rawValue)
        buffer.append(integer: instance.high)
        buffer.append(integer: instance.low)
        buffer.append(integer: wantedStreams)
        buffer.append(integer: windowKiB)
        buffer.append(integer: UInt32(0))
        if !apiKey.isEmpty {
            precondition(apiKey.count <= Hello.maximumKeyLength, "an API key has at most 128 bytes")
            buffer.append(1)
            buffer.append(varint: apiKey.count)
            buffer.append(apiKey)
        }
        buffer.append(field: 2, text: client, limit: 64)
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags: FrameFlags) throws(WireFault) {
        guard reader.remaining >= 40 else { throw WireFault(.wrongFixedLength) }
        guard try reader.integer(UInt32.self) == Hello.magic else { throw WireFault(.magic) }
        let lowest: UInt8 = try reader.integer()
        let highest: UInt8 = try reader.integer()
        guard let role = PeerRole(rawValue: try reader.integer()),
            let authentication = Authentication(rawValue: try reader.integer()), lowest <= highest
        else { throw WireFault(.fieldValue) }
        self.init(role: role, authentication: authentication)
        minimumVersion = lowest
        maximumVersion = highest
        capabilities = Capabilities(rawValue: try reader.integer())
        instance = Identifier128(high: try reader.integer(), low: try reader.integer())
        wantedStreams = try reader.integer()
        windowKiB = try reader.integer()
        guard try reader.integer(UInt32.self) == 0 else { throw WireFault(.reservedNotZero) }
        guard windowKiB >= 16, windowKiB <= 1024 else { throw WireFault(.fieldValue) }
        try readFields(&reader, flags: flags)
    }

    private mutating func readFields(_ reader: inout FieldReader, flags: FrameFlags) throws(WireFault) {
        guard flags.contains(.fields) == (reader.remaining > 0) else { throw WireFault(.trailingBytes) }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last) {
            switch number {
            case 1:
                guard length > 0, length <= Hello.maximumKeyLength else { throw WireFault(.fieldValue) }
                apiKey = try reader.array(length)
            case 2:
                guard length <= 64 else { throw WireFault(.fieldValue) }
                client = try reader.name(length)
            default: _ = try reader.run(length)
            }
        }
        guard (authentication == .apiKey) == !apiKey.isEmpty else { throw WireFault(.fieldValue) }
    }
}

extension Hello: CustomStringConvertible {
    /// Without the key.
    public var description: String {
        "HELLO \(role) \(authentication) versions \(minimumVersion)-\(maximumVersion) client '\(client)'"
    }
}
