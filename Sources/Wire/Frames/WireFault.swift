// A peer's mistake: the error code that ends the connection, and exactly which rule was broken.

/// The rule that a peer broke; travels as the `detail` of CONN_ERROR. PROTOCOL.md, section 7.2.
public enum Violation: UInt16, Sendable, CaseIterable {
    /// Nothing more to say.
    case none = 0
    /// A frame is longer than the agreed maximum.
    case frameTooLong = 1
    /// A fixed part is shorter or longer than its layout.
    case wrongFixedLength = 2
    /// An inner length points behind the end of its frame.
    case innerLength = 3
    /// Bytes are left over behind the last field.
    case trailingBytes = 4
    /// A flag is set that this frame type does not have.
    case unknownFlag = 5
    /// A reserved field is not zero.
    case reservedNotZero = 6
    /// A variable-length integer has more bytes than it needs, or more than 32 bits.
    case nonMinimalInteger = 7
    /// A field that stands once stands twice, or fields are out of order.
    case fieldOrder = 8
    /// A field holds a value outside its range.
    case fieldValue = 9
    /// Text is not UTF-8.
    case notUTF8 = 10
    /// The frame type is not allowed from this side.
    case wrongDirection = 11
    /// The frame is not allowed in this state of the connection.
    case wrongState = 12
    /// The frame belongs on stream 0, or does not.
    case wrongStream = 13
    /// A new stream's id is not the last one plus one.
    case streamNotNext = 14
    /// A stream was opened beyond the stream credit.
    case streamCredit = 15
    /// More body bytes than granted.
    case bodyCredit = 16
    /// More response bytes than granted.
    case responseCredit = 17
    /// Body bytes do not add up to the declared length.
    case bodyLength = 18
    /// A body fragment below 4 KiB that is not the last.
    case smallFragment = 19
    /// A frame on a stream that was never opened.
    case unknownStream = 20
    /// A frame on a stream behind its terminal frame.
    case afterTerminal = 21
    /// HELLO does not begin with `SLC1`.
    case magic = 22
    /// A frame type that must be understood is not known.
    case unknownType = 23
    /// The feature behind this frame was not agreed in the handshake.
    case capability = 24
    /// Too many cheap oddities.
    case glitches = 25
    /// PING more often than allowed.
    case pings = 26
    /// Too many CREDIT frames for the bytes sent.
    case creditFrames = 27
    /// More bytes or frames a second than allowed.
    case inboundRate = 28
    /// More new streams a second than allowed.
    case streamRate = 29
    /// HELLO did not arrive in time.
    case helloTimeout = 30
    /// A frame stopped half-way.
    case partialFrame = 31
    /// A PING was not answered.
    case pingTimeout = 32
    /// Nothing could be written for too long.
    case writeStall = 33
    /// The transport ended while streams were open or a frame was incomplete.
    case transportEnded = 34
    /// A checksum does not match.
    case checksum = 35
    /// A message of several frames is longer than allowed.
    case messageTooLong = 36
    /// More waits to be sent than may wait.
    case outboundQueue = 37
    /// No version that both sides speak.
    case versionRange = 38
    /// The credentials were refused.
    case credentials = 39
    /// A PONG that nobody asked for.
    case unaskedPong = 40
    /// A zero-length payload where one byte at least is needed.
    case emptyPayload = 41
    /// The lifetime limit of streams on one connection is reached.
    case streamsUsedUp = 42
    /// Too many RESUMEs that were refused.
    case resumes = 43
    /// The key, or its org, has as many connections to this node as one may have.
    case tenantConnections = 44
}

extension Violation {
    /// The code that CONN_ERROR carries for this rule: each rule has exactly one.
    public var code: ErrorCode {
        switch self {
        case .frameTooLong, .wrongFixedLength, .innerLength, .trailingBytes, .messageTooLong: .frameSize
        case .unknownType, .capability: .unknownFrame
        case .streamCredit, .bodyCredit, .responseCredit, .streamsUsedUp: .creditViolation
        case .glitches, .pings, .creditFrames, .inboundRate, .streamRate, .outboundQueue, .resumes, .tenantConnections:
            .calm
        case .helloTimeout: .handshakeTimeout
        case .partialFrame, .pingTimeout, .writeStall: .peerSilent
        case .transportEnded: .connectionLost
        case .versionRange: .version
        case .credentials: .authFailed
        case .none, .unknownFlag, .reservedNotZero, .nonMinimalInteger, .fieldOrder, .fieldValue, .notUTF8,
            .wrongDirection, .wrongState, .wrongStream, .streamNotNext, .bodyLength, .smallFragment, .unknownStream,
            .afterTerminal, .magic, .checksum, .unaskedPong, .emptyPayload:
            .malformed
        }
    }
}

/// A peer's mistake; always ends the connection.
public struct WireFault: Error, Sendable, Equatable {
    /// The rule that was broken.
    public let violation: Violation
    /// The code that CONN_ERROR carries.
    public var code: ErrorCode { violation.code }

    /// A fault by the rule that was broken.
    @inlinable public init(_ violation: Violation) { self.violation = violation }
}
