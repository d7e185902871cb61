// The fixed part of a REQUEST and the two short texts behind it: all that admission and routing read.

public import Core

/// What admission and routing need to know of a request. PROTOCOL.md, section 5.1.
public struct RequestHead: Sendable, Equatable {
    /// Bits of `flags`.
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The bits as they travel.
        public let rawValue: UInt16
        /// Flags from their bits.
        @inlinable public init(rawValue: UInt16) { self.rawValue = rawValue }
        /// Deltas are wanted as they come; without it the provider is asked for one whole answer.
        public static let stream = Flags(rawValue: 1)
        /// Should the connection break, the answer is to be continued on another one; only with the capability `resume`.
        public static let resumable = Flags(rawValue: 2)
        @inlinable var isKnown: Bool { rawValue & 0xFFFC == 0 }
    }

    /// Bytes of the fixed part: one cache line.
    public static let fixedSize = 64

    /// Names the request for ever: the same key never runs twice. Zero is no key.
    public var idempotencyKey: Identifier128
    /// The trace it belongs to; zero for none.
    public var traceID: Identifier128
    /// The caller's span, logged beside the trace; zero for none.
    public var spanID: UInt64
    /// Time for everything, from the REQUEST's arrival; 0 for the server's standard.
    public var timeoutMilliseconds: UInt32
    /// Time for the first token; 0 for the server's standard.
    public var timeToFirstTokenMilliseconds: UInt32
    /// Output limit in tokens; 0 for none.
    public var maxOutputTokens: UInt32
    /// What is asked for.
    public var operation: Operation
    /// How urgent it is.
    public var priority: Priority
    /// What CANCEL means upstream.
    public var cancelPolicy: CancelPolicy
    /// A number of HELLO_OK's model table; 0 when `model` spells it.
    public var modelID: UInt16
    /// Streaming or whole.
    public var flags: Flags
    /// Bytes of the body, all fragments together.
    public var bodyLength: UInt32
    /// What the request is for, for attribution; at most 64 bytes, may be empty.
    public var feature: String
    /// The model's alias, 1…128 bytes, when `modelID` is 0; else empty.
    public var model: String

    /// A request with everything optional left to the server.
    public init(
        idempotencyKey: Identifier128, operation: Operation = .chat, model: String = "", modelID: UInt16 = 0,
        feature: String = "", priority: Priority = .interactive, cancelPolicy: CancelPolicy = .abort,
        flags: Flags = .stream, timeoutMilliseconds: UInt32 = 0, timeToFirstTokenMilliseconds: UInt32 = 0,
        maxOutputTokens: UInt32 = 0,
        traceID: Identifier128 = Identifier128(high: 0, low: 0), spanID: UInt64 = 0, bodyLength: UInt32 = 0
    ) {
        self.idempotencyKey = idempotencyKey
        self.operation = operation
        self.model = model
        self.modelID = modelID
        self.feature = feature
        self.priority = priority
        self.cancelPolicy = cancelPolicy
        self.flags = flags
        self.timeoutMilliseconds = timeoutMilliseconds
        self.timeToFirstTokenMilliseconds = timeToFirstTokenMilliseconds
        self.maxOutputTokens = maxOutputTokens
        self.traceID = traceID
        self.spanID = spanID
        self.bodyLength = bodyLength
    }

    /// Bytes on the wire, fixed part and texts.
    var encodedSize: Int {
        Self.fixedSize + 1 + feature.utf8.count + (modelID == 0 ? 1 + model.utf8.count : 0)
    }

    func encode(into buffer: inout ByteBuffer) {
        precondition(feature.utf8.count <= 64, "a feature tag has at most 64 bytes")
        precondition(
            modelID == 0 ? (1...128).contains(model.utf8.count) : model.isEmpty,
            "a request names its model once: by number, or by an alias of 1 to 128 bytes")
        buffer.append(integer: idempotencyKey.high)
        buffer.append(integer: idempotencyKey.low)
        buffer.append(integer: traceID.high)
        buffer.append(integer: traceID.low)
        buffer.append(integer: spanID)
        buffer.append(integer: UInt64(timeoutMilliseconds) << 32 | UInt64(timeToFirstTokenMilliseconds))
        let choices =
            UInt32(operation.rawValue) << 24 | UInt32(priority.rawValue) << 16 | UInt32(cancelPolicy.rawValue)
        buffer.append(integer: UInt64(maxOutputTokens) << 32 | UInt64(choices))
        buffer.append(integer: UInt64(modelID) << 48 | UInt64(flags.rawValue) << 32 | UInt64(bodyLength))
        buffer.append(shortText: feature)
        if modelID == 0 { buffer.append(shortText: model) }
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining >= Self.fixedSize else { throw WireFault(.wrongFixedLength) }
        let key = Identifier128(high: try reader.integer(), low: try reader.integer())
        let trace = Identifier128(high: try reader.integer(), low: try reader.integer())
        let span: UInt64 = try reader.integer()
        let times: UInt64 = try reader.integer()
        let output: UInt32 = try reader.integer()
        guard let operation = Operation(rawValue: try reader.integer()),
            let priority = Priority(rawValue: try reader.integer())
        else { throw WireFault(.fieldValue) }
        guard try reader.integer(UInt8.self) == 0 else { throw WireFault(.reservedNotZero) }
        guard let cancelPolicy = CancelPolicy(rawValue: try reader.integer())
        else { throw WireFault(.fieldValue) }
        let modelID: UInt16 = try reader.integer()
        let flags = Flags(rawValue: try reader.integer())
        guard flags.isKnown else { throw WireFault(.reservedNotZero) }
        let bodyLength: UInt32 = try reader.integer()
        let featureLength = Int(try reader.integer(UInt8.self))
        guard featureLength <= 64 else { throw WireFault(.fieldValue) }
        let feature = try reader.text(featureLength)
        var model = ""
        if modelID == 0 {
            let length = Int(try reader.integer(UInt8.self))
            guard length >= 1, length <= 128 else { throw WireFault(.fieldValue) }
            model = try reader.text(length)
        }
        self.init(
            idempotencyKey: key, operation: operation, model: model, modelID: modelID, feature: feature,
            priority: priority, cancelPolicy: cancelPolicy, flags: flags,
            timeoutMilliseconds: UInt32(truncatingIfNeeded: times >> 32),
            timeToFirstTokenMilliseconds: UInt32(truncatingIfNeeded: times), maxOutputTokens: output, traceID: trace,
            spanID: span, bodyLength: bodyLength)
    }
}
