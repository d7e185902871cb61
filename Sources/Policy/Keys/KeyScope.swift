// The closed vocabularies in which a key's rights are written. Their numbers are those of the wire protocol.

/// What a key may ask for.
public enum KeyOperation: UInt8, CaseIterable, Hashable, Sendable, CustomStringConvertible {
    /// A conversation's next message.
    case chat = 1
    /// Vectors of texts.
    case embeddings = 2

    /// The word in the configuration.
    public var description: String {
        switch self {
        case .chat: "chat"
        case .embeddings: "embeddings"
        }
    }
}

/// How urgent a request is; the smaller, the more urgent.
public enum PriorityClass: UInt8, CaseIterable, Hashable, Sendable, Comparable, CustomStringConvertible {
    /// P0: somebody waits.
    case interactive = 0
    /// P1: something waits.
    case background = 1
    /// P2: nobody waits.
    case batch = 2

    /// The word in the configuration.
    public var description: String {
        switch self {
        case .interactive: "interactive"
        case .background: "background"
        case .batch: "batch"
        }
    }

    /// More urgent comes first.
    public static func < (left: PriorityClass, right: PriorityClass) -> Bool { left.rawValue < right.rawValue }
}

/// What a request wants to do, as far as a key's rights are concerned.
public struct KeyQuestion: Hashable, Sendable {
    /// The route's alias.
    public let model: String
    /// What is asked for.
    public let operation: KeyOperation
    /// The feature tag; empty for none.
    public let feature: String
    /// How urgent it is.
    public let priority: PriorityClass
    /// True when it adds members for a provider. Known when the body was looked through.
    public let usesPassthrough: Bool

    /// A question of its parts.
    public init(
        model: String, operation: KeyOperation, feature: String, priority: PriorityClass, usesPassthrough: Bool = false
    ) {
        self.usesPassthrough = usesPassthrough
        self.model = model
        self.operation = operation
        self.feature = feature
        self.priority = priority
    }
}

/// Why a key does not open: names what was refused.
public enum KeyRefusal: Error, Hashable, Sendable, CustomStringConvertible {
    /// Nobody has this key.
    case unknown
    /// It was revoked.
    case revoked
    /// Its time is over.
    case expired
    /// The secret was replaced, and the time in which both are valid is over.
    case secretRetired
    /// Its org, its team or its limits are not in the configuration.
    case tenantGone
    /// It may not come from this address.
    case network
    /// It may not name this route.
    case model(String)
    /// It may not ask for this.
    case operation(KeyOperation)
    /// It may not name this feature, or must name one.
    case feature(String)
    /// It may not be so urgent.
    case priority(PriorityClass, highest: PriorityClass)
    /// It may not add members for a provider.
    case passthrough

    /// The request's field that is refused; `key` for the key itself.
    public var field: String {
        switch self {
        case .unknown, .revoked, .expired, .secretRetired, .tenantGone: "key"
        case .network: "address"
        case .model: "model"
        case .operation: "operation"
        case .feature: "feature"
        case .priority: "priority"
        case .passthrough: "passthrough"
        }
    }

    /// A sentence for the caller.
    public var description: String {
        switch self {
        case .unknown: "the API key is unknown"
        case .revoked: "the API key was revoked"
        case .expired: "the API key has expired"
        case .secretRetired: "this secret of the API key was replaced"
        case .tenantGone: "the org or the team of the API key is no longer configured"
        case .network: "this API key may not be used from this address"
        case .model(let name): "this API key may not use the model '\(name)'"
        case .operation(let operation): "this API key may not ask for \(operation)"
        case .feature(""): "this API key needs a feature tag on each request"
        case .feature(let tag): "this API key may not name the feature '\(tag)'"
        case .priority(let asked, let highest):
            "this API key may use the priority \(highest) or lower, not \(asked)"
        case .passthrough: "this API key may not pass members through to a provider"
        }
    }
}
