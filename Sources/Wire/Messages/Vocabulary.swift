// The small closed vocabularies that messages are made of.

/// What a request asks for.
public enum Operation: UInt8, Sendable, CaseIterable {
    /// A conversation's next message.
    case chat = 1
    /// Vectors of texts.
    case embeddings = 2
}

/// How urgent a request is.
public enum Priority: UInt8, Sendable, CaseIterable {
    /// P0: somebody waits.
    case interactive = 0
    /// P1: something waits.
    case background = 1
    /// P2: nobody waits.
    case batch = 2
}

/// What happens upstream when the client cancels.
public enum CancelPolicy: UInt8, Sendable, CaseIterable {
    /// Close the provider's connection.
    case abort = 0
    /// Read on for a bounded time so that real usage is known.
    case drain = 1
}

/// Why a client cancels.
public enum CancelReason: UInt8, Sendable, CaseIterable {
    /// The user does not want it any more.
    case unwanted = 0
    /// The client's own time is over.
    case deadline = 1
    /// Another attempt was faster.
    case hedged = 2
    /// The client is shutting down.
    case shutdown = 3
}

/// What the bytes of a DELTA are; the low four bits of its first byte.
public enum DeltaKind: UInt8, Sendable, CaseIterable {
    /// Text for the reader.
    case text = 0
    /// The model's thinking.
    case reasoning = 1
    /// A piece of the arguments of the tool call that was opened last on this choice.
    case toolArguments = 2
    /// A refusal's text.
    case refusal = 3
    /// Audio, in the format that was asked for.
    case audio = 4
    /// Embedding vectors: big-endian 32-bit floats, one vector behind the other.
    case vectors = 5
}

/// Why an answer ended.
public enum FinishReason: UInt8, Sendable, CaseIterable {
    /// The model was done.
    case stop = 0
    /// The output limit was reached.
    case length = 1
    /// The model wants tools to be called.
    case toolCalls = 2
    /// The provider withheld the answer.
    case contentFilter = 3
    /// The model refused.
    case refusal = 4
    /// Anything else; the provider's own word stands in END.
    case other = 5

    /// The word in the protocol document, in `sluice chat --json`, and of most providers.
    public var word: String {
        switch self {
        case .stop: "stop"
        case .length: "length"
        case .toolCalls: "tool_calls"
        case .contentFilter: "content_filter"
        case .refusal: "refusal"
        case .other: "other"
        }
    }
}

/// Which side of the cluster the connecting peer is.
public enum PeerRole: UInt8, Sendable, CaseIterable {
    /// A service that asks.
    case client = 0
    /// A node that talks to its coordinator.
    case node = 1
    /// The operator's tool.
    case tool = 2
}

/// How the connecting peer proves who it is.
public enum Authentication: UInt8, Sendable, CaseIterable {
    /// By its TLS certificate alone.
    case certificate = 0
    /// By an API key in HELLO.
    case apiKey = 1
}

/// Features that both sides must offer before they may be used.
public struct Capabilities: OptionSet, Sendable, Hashable {
    /// The bits as they travel.
    public let rawValue: UInt64
    /// Capabilities from their bits.
    public init(rawValue: UInt64) { self.rawValue = rawValue }
    /// RESUME: continuing a stream on a new connection.
    public static let resume = Capabilities(rawValue: 1 << 0)
    /// SUBSCRIBE, SNAPSHOT, UPDATE and REPORT.
    public static let controlPlane = Capabilities(rawValue: 1 << 1)
    /// HINT frames are wanted.
    public static let hints = Capabilities(rawValue: 1 << 2)
    /// What a client offers unless told otherwise: what costs nobody anything.
    public static let standard: Capabilities = .hints
    /// What a node offers to its coordinator.
    public static let node: Capabilities = [.controlPlane, .hints]
    /// What this implementation can do.
    public static let supported: Capabilities = [.resume, .controlPlane, .hints]
}

/// Why a side sends GOAWAY.
public enum GoAwayReason: UInt16, Sendable, CaseIterable {
    /// The server is shutting down.
    case drain = 1
    /// The connection is old enough.
    case age = 2
    /// Nothing happened for a long time.
    case idle = 3
    /// Please connect again, elsewhere.
    case rebalance = 4
    /// The server is short of memory.
    case overload = 5
    /// The client is done.
    case done = 6
    /// A reason that this version does not know.
    case unrecognized = 0xFFFF
}
