// END: the terminal frame of an answer that is complete, with what it used and cost.

import Core

/// Where usage figures come from.
public enum UsageSource: UInt8, Sendable, CaseIterable {
    /// The provider said so.
    case provider = 0
    /// The gateway counted what passed.
    case counted = 1
    /// Estimated from bytes.
    case estimated = 2
    /// The cache answered; nothing was used.
    case cache = 3

    /// The word for log lines.
    public var name: StaticString {
        switch self {
        case .provider: "provider"
        case .counted: "counted"
        case .estimated: "estimated"
        case .cache: "cache"
        }
    }
}

/// A complete answer's last word. PROTOCOL.md, section 5.6.
public struct End: Sendable, Equatable {
    /// Why it ended.
    public var finish: FinishReason
    /// Where the usage figures come from.
    public var usageSource: UsageSource
    /// The provider's number in the configuration; 0 when it is not told.
    public var provider: UInt16
    /// Input, cached input included.
    public var inputTokens: UInt32
    /// Output, reasoning included.
    public var outputTokens: UInt32
    /// Input that the provider read from its prompt cache.
    public var cachedTokens: UInt32
    /// From the REQUEST's arrival to this frame.
    public var totalMilliseconds: UInt32
    /// Cost in millionths of a dollar.
    public var costMicroUSD: UInt64
    /// From the REQUEST's arrival to the first delta, saturating.
    public var timeToFirstTokenMilliseconds: UInt16
    /// Attempts upstream.
    public var attempts: UInt16
    /// Output that was thinking; nil when nobody said how much.
    public var reasoningTokens: UInt32?
    /// Input that was written to the provider's prompt cache; 0 for none.
    public var cacheWriteTokens: UInt32
    /// The provider's own word for the finish where it is another than that of `finish`, at most 64 bytes.
    public var providerFinish: String

    /// A last word.
    public init(
        finish: FinishReason = .stop, usageSource: UsageSource = .provider, provider: UInt16 = 0,
        inputTokens: UInt32 = 0, outputTokens: UInt32 = 0, cachedTokens: UInt32 = 0, totalMilliseconds: UInt32 = 0,
        costMicroUSD: UInt64 = 0, timeToFirstTokenMilliseconds: UInt16 = 0, attempts: UInt16 = 1,
        reasoningTokens: UInt32? = nil, cacheWriteTokens: UInt32 = 0, providerFinish: String = ""
    ) {
        self.finish = finish
        self.usageSource = usageSource
        self.provider = provider
        self.inputTokens = inputTokens
        self.outputTokens = outputTokens
        self.cachedTokens = cachedTokens
        self.totalMilliseconds = totalMilliseconds
        self.costMicroUSD = costMicroUSD
        self.timeToFirstTokenMilliseconds = timeToFirstTokenMilliseconds
        self.attempts = attempts
        self.reasoningTokens = reasoningTokens
        self.cacheWriteTokens = cacheWriteTokens
        self.providerFinish = providerFinish
    }

    var hasFields: Bool { reasoningTokens != nil || cacheWriteTokens != 0 || !providerFinish.isEmpty }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.end, stream: stream, flags: hasFields ? .fields : [])
        buffer.append(
            integer: UInt64(finish.rawValue) << 56 | UInt64(usageSource.rawValue) << 48 | UInt64(provider) << 32
                | UInt64(inputTokens))
        buffer.append(integer: UInt64(outputTokens) << 32 | UInt64(cachedTokens))
        buffer.append(integer: totalMilliseconds)
        buffer.append(integer: costMicroUSD)
        buffer.append(integer: timeToFirstTokenMilliseconds)
        buffer.append(integer: attempts)
        if hasFields {
            if let reasoningTokens { buffer.append(field: 1, integer: reasoningTokens) }
            if cacheWriteTokens != 0 { buffer.append(field: 2, integer: cacheWriteTokens) }
            buffer.append(field: 3, text: providerFinish, limit: 64)
        }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader, flags: FrameFlags) throws(WireFault) {
        guard reader.remaining >= 32 else { throw WireFault(.wrongFixedLength) }
        guard let finish = FinishReason(rawValue: try reader.integer()),
            let source = UsageSource(rawValue: try reader.integer())
        else { throw WireFault(.fieldValue) }
        self.init(finish: finish, usageSource: source, provider: try reader.integer())
        inputTokens = try reader.integer()
        outputTokens = try reader.integer()
        cachedTokens = try reader.integer()
        totalMilliseconds = try reader.integer()
        costMicroUSD = try reader.integer()
        timeToFirstTokenMilliseconds = try reader.integer()
        attempts = try reader.integer()
        guard flags.contains(.fields) == (reader.remaining > 0) else { throw WireFault(.trailingBytes) }
        var last: UInt8 = 0
        while let (number, length) = try reader.field(after: &last) {
            switch number {
            case 1, 2:
                guard length == 4 else { throw WireFault(.fieldValue) }
                let tokens: UInt32 = try reader.integer()
                if number == 1 { reasoningTokens = tokens } else { cacheWriteTokens = tokens }
            case 3:
                guard length <= 64 else { throw WireFault(.fieldValue) }
                providerFinish = try reader.text(length)
            default: _ = try reader.run(length)
            }
        }
    }
}
