// What the coordinator publishes and nodes enforce: providers, routes, tenants, keys, prices.
import Core

/// A provider that answers requests.
public struct ProviderRecord: Sendable, Equatable {
    /// Which protocol it speaks.
    public enum Kind: String, Sendable, CaseIterable {
        /// OpenAI's Chat Completions and Embeddings, and servers compatible with it.
        case openai
    }

    /// Its name in routes and telemetry.
    public let name: String
    /// Its protocol.
    public var kind = Kind.openai
    /// For example `https://api.openai.com/v1`.
    public var baseURL = ""
    /// Where its API key is kept; nil for servers that want none.
    public var apiKey: SecretReference?
    /// A CA file that its certificate is verified against, instead of the system's.
    public var ca: String?
    /// True when the limit field is `max_tokens` (most compatible servers) and not `max_completion_tokens`.
    public var usesLegacyLimitField = false
    /// Connections of one lane at once.
    public var maximumConnections = 1_024
    /// Time to connect, TLS included.
    public var connectTimeout = Duration.seconds(2)
    /// Time from the request to the first event.
    public var firstEventTimeout = Duration.seconds(30)
    /// Time between two events.
    public var idleTimeout = Duration.seconds(20)
}

/// One place that can serve a route.
public struct RouteTarget: Sendable, Equatable {
    /// The provider's name.
    public let provider: String
    /// The model as the provider names it.
    public let model: String
    /// Its share among the targets of the route.
    public let weight: Int

    /// A target of its parts.
    public init(provider: String, model: String, weight: Int) {
        self.provider = provider
        self.model = model
        self.weight = weight
    }
}

/// What a model alias stands for.
public struct RouteRecord: Sendable, Equatable {
    /// The alias that clients name.
    public let name: String
    /// Who can serve it.
    public var targets: [RouteTarget] = []
    /// The most output tokens that a request may ask for; the reservation assumes no more.
    public var maximumOutputTokens: Int64 = 4_096

    /// A route that nobody can serve yet.
    public init(name: String) { self.name = name }
}

/// An org, or a team within it, with its limits.
public struct TenantRecord: Sendable, Equatable {
    /// The org.
    public let org: String
    /// The team; nil for the org itself.
    public let team: String?
    /// What it may use.
    public var limits: [Limit] = []
    /// Limits that each of its keys has on its own.
    public var keyLimits: [Limit] = []
}

/// An API key as the cluster knows it: a hash, never the secret.
public struct KeyRecord: Sendable, Equatable {
    /// The public part: 1 to 32 letters, digits or `-`.
    public let id: String
    /// SHA-256 of the secret part, 64 hexadecimal digits.
    public var hash = ""
    /// The org it belongs to.
    public var org = ""
    /// The team it belongs to.
    public var team = ""
    /// What people call it.
    public var label = ""
    /// The routes it may name; `*` for all. Deny by default: without any it may name none.
    public var models: [String] = []
    /// Seconds since 1970 when it stops working; nil for never.
    public var expiresAtSeconds: Int64?
    /// True when it was revoked.
    public var isRevoked = false

    /// The last second at which a key may expire: the end of the year 9999.
    public static let latestExpiry = 253_402_300_799

    /// A key of this id, still without rights.
    public init(id: String) { self.id = id }

    /// True when it may name the route.
    public func allows(model: String) -> Bool { models.contains("*") || models.contains(model) }
}

/// What clients present: `slk_<id>_<secret>`.
public struct APIKeyText: Sendable {
    /// The public part.
    public let id: String
    /// The secret part.
    public let secret: [UInt8]

    /// Splits a presented key; nil when it has another form.
    public init?(_ text: [UInt8]) {
        guard text.count <= 128, text.starts(with: Array("slk_".utf8)) else { return nil }
        let rest = text.dropFirst(4)
        guard let underscore = rest.firstIndex(of: UInt8(ascii: "_")) else { return nil }
        let id = rest[..<underscore]
        let secret = rest[(underscore + 1)...]
        guard !id.isEmpty, id.count <= 32, secret.count >= 16, id.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else {
            return nil
        }
        self.id = String(decoding: id, as: UTF8.self)
        self.secret = Array(secret)
    }

    /// The form in which a key is shown once.
    public static func text(id: String, secret: String) -> String { "slk_\(id)_\(secret)" }
}
