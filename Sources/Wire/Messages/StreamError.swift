// ERROR: the terminal frame of a request that failed, with its retry class, what was used, and the limit that refused it.

import Core

/// A failed request's last word. PROTOCOL.md, section 5.7.
public struct StreamError: Error, Sendable, Equatable {
    /// Bits of `flags`.
    public struct Flags: OptionSet, Sendable, Hashable {
        /// The bits as they travel.
        public let rawValue: UInt8
        /// Flags from their bits.
        public init(rawValue: UInt8) { self.rawValue = rawValue }
        /// A provider got the request.
        public static let upstreamStarted = Flags(rawValue: 1)
        /// Something was billed.
        public static let billed = Flags(rawValue: 2)
        /// Part of the answer was sent.
        public static let partialOutput = Flags(rawValue: 4)
    }

    /// The limit that refused a request.
    public struct BindingLimit: Sendable, Equatable {
        /// Whose limit: `key k1`, `team acme/search`, `org acme`; at most 96 bytes.
        public var scope: String
        /// What it counts: `requests`, `input-tokens`…; at most 32 bytes.
        public var unit: String
        /// The limit.
        public var amount: Int64
        /// What is left of it.
        public var remaining: Int64
        /// A limit, named.
        public init(scope: String, unit: String, amount: Int64, remaining: Int64) {
            self.scope = scope
            self.unit = unit
            self.amount = amount
            self.remaining = remaining
        }
    }

    /// The code, or `unrecognized`.
    public var code: ErrorCode
    /// The code as it travels.
    public var rawCode: UInt16
    /// Whether trying again is safe.
    public var retry: RetryClass
    /// How far it got.
    public var flags: Flags
    /// When to try again, with `safeHere`; 0 when unknown.
    public var retryAfterMilliseconds: UInt32
    /// Input that was used.
    public var inputTokens: UInt32
    /// Output that was used.
    public var outputTokens: UInt32
    /// Cost in millionths of a dollar.
    public var costMicroUSD: UInt64
    /// The provider's HTTP status; 0 for none.
    public var providerStatus: UInt16
    /// The provider's number in the configuration; 0 when it is not told.
    public var provider: UInt16
    /// What went wrong, for people; at most 256 bytes, never a secret or a prompt.
    public var text: String
    /// The request's field that is wrong, at most 64 bytes.
    public var field: String
    /// The limit that refused the request.
    public var limit: BindingLimit?

    /// A last word whose retry class is the code's own unless given.
    public init(
        code: ErrorCode, retry: RetryClass? = nil, flags: Flags = [], retryAfterMilliseconds: UInt32 = 0,
        inputTokens: UInt32 = 0, outputTokens: UInt32 = 0, costMicroUSD: UInt64 = 0, providerStatus: UInt16 = 0,
        provider: UInt16 = 0, text: String = "", field: String = "", limit: BindingLimit? = nil
    ) {
        self.code = code
        self.rawCode = code.rawValue
        self.retry = retry ?? code.retryClass
        self.flags = flags
        self.retryAfterMilliseconds = retryAfterMilliseconds
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
        self.costMicroUSD = costMicroUSD
        self.providerStatus = providerStatus
        self.provider = provider
        self.text = text
        self.field = field
        self.limit = limit
    }

    var hasFields: Bool { !text.isEmpty || !field.isEmpty || limit != nil }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.error, stream: stream, flags: hasFields ? .fields : [])
        buffer.append(integer: rawCode)
        buffer.append(retry.rawValue)
        buffer.append(flags.rawValue)
        buffer.append(integer: retryAfterMilliseconds)
        buffer.append(integer: inputTokens)
        buffer.append(integer: outputTokens)
        buffer.append(integer: costMicroUSD)
        buffer.append(integer: providerStatus)
        buffer.append(integer: provider)
        buffer.append(field: 1, text: text, limit: 256)
        buffer.append(field: 2, text: field, limit: 64)
        if let limit {
            let scope = limit.scope.fitting(96)
            let unit = limit.unit.fitting(32)
            buffer.append(3)
            buffer.append(varint: 18 + scope.utf8.count + unit.utf8.count)
            buffer.append(integer: limit.amount)
            buffer.append(integer: limit.remaining)
            buffer.append(shortText: scope)
            buffer.append(shortText: unit)
        }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags frameFlags: FrameFlags) throws(WireFault) {
        guard reader.remaining >= 28 else { throw WireFault(.wrongFixedLength) }
        guard reader.remaining <= 28 + 512 else { throw WireFault(.frameTooLong) }
        let rawCode: UInt16 = try reader.integer()
        guard let retry = RetryClass(rawValue: try reader.integer()) else { throw WireFault(.fieldValue) }
        let flags = Flags(rawValue: try reader.integer())
        guard flags.rawValue & 0xF8 == 0 else { throw WireFault(.reservedNotZero) }
        self.init(code: ErrorCode(rawValue: rawCode) ?? .unrecognized, retry: retry, flags: flags)
        self.rawCode = rawCode
        retryAfterMilliseconds = try reader.integer()
        inputTokens = try reader.integer()
        outputTokens = try reader.integer()
        costMicroUSD = try reader.integer()
        providerStatus = try reader.integer()
        provider = try reader.integer()
        guard frameFlags.contains(.fields) == (reader.remaining > 0) else {
            throw WireFault(.trailingBytes)
        }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last) {
            switch number {
            case 1: text = try reader.text(length)
            case 2: field = try reader.text(length)
            case 3: limit = try Self.limit(&reader, length: length)
            default: _ = try reader.run(length)
            }
        }
    }

    private static func limit(_ reader: inout FieldReader, length: Int) throws(WireFault) -> BindingLimit {
        let end = reader.remaining - length
        let amount: Int64 = try reader.integer()
        let remaining: Int64 = try reader.integer()
        let scope = try reader.text(Int(try reader.integer(UInt8.self)))
        let unit = try reader.text(Int(try reader.integer(UInt8.self)))
        guard reader.remaining == end else { throw WireFault(.innerLength) }
        return BindingLimit(scope: scope, unit: unit, amount: amount, remaining: remaining)
    }
}
