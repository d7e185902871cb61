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
    public internal(set) var name: String
    /// Its protocol.
    public var kind = Kind.openai
    /// For example `https://api.openai.com/v1`.
    public var baseURL = ""
    /// True when `baseURL` may begin with `http://`: prompts and the API key then travel unencrypted.
    public var allowsPlainHTTP = false
    /// Where its API key is kept; nil for servers that want none.
    public var apiKey: SecretReference?
    /// A CA file that its certificate is verified against, instead of the system's.
    public var ca: String?
    /// True when the limit field is `max_tokens` (most compatible servers) and not `max_completion_tokens`.
    public var usesLegacyLimitField = false
    /// What a request for a stream says of it.
    public var streamOptions = StreamOptions.full
    /// The member in which the end user's id travels.
    public var userField = UserField.safetyIdentifier
    /// The role in which instructions of the developer are sent.
    public var developerRole = DeveloperRole.developer
    /// Members that clients with that right may add to their requests.
    public var passthrough = PassthroughMembers.none
    /// Connections of one lane at once.
    public var maximumConnections = 1_024
    /// The most calls of one lane that may be under way; nil: as many as connections.
    public var mostCalls: Int?
    /// The least that this limit may become; nil: it is fixed.
    public var leastCalls: Int?
    /// Calls of all nodes together at once, which the coordinator splits among them; nil: each lane has its own limit only.
    public var capacity: Int?
    /// False when no circuit breaker keeps requests from it, whatever it does.
    public var hasBreaker = true
    /// Time to connect, TLS included.
    public var connectTimeout = Duration.seconds(2)
    /// Time from the request to the first event.
    public var firstEventTimeout = Duration.seconds(30)
    /// Time between two events.
    public var idleTimeout = Duration.seconds(20)
    /// How far an answer is read on whose client cancelled; nil: its connection is closed at once.
    public var drain: DrainBounds?
    /// How the coordinator that leads looks after it; nil: not at all. Nodes have nothing to do with it and are not told.
    public var probe: ProbeSetting?

    /// A provider with the defaults of everything but its name.
    public init(name: String) { self.name = name }

    /// Calls of one lane under way: the least and the most that the limit may become. Further requests wait in the queue.
    public var concurrency: ClosedRange<Int> {
        let most = mostCalls ?? maximumConnections
        return min(leastCalls ?? most, most)...most
    }
}

/// One place that can serve a route.
public struct RouteTarget: Sendable, Equatable {
    /// The provider's name.
    public let provider: String
    /// The model as the provider names it.
    public let model: String
    /// Its share among the targets of its group.
    public let weight: Int
    /// Groups are asked in the order of their numbers, from 1. `RouteRecord.overloadGroup` comes first while a node has too much to do.
    public let group: Int
    /// Whom it serves; everybody when empty.
    public let conditions: [TargetCondition]
    /// Stands for its name where targets are compared by number.
    let number: UInt64

    /// A target of its parts.
    public init(provider: String, model: String, weight: Int, group: Int = 1, conditions: [TargetCondition] = []) {
        self.provider = provider
        self.model = model
        self.weight = weight
        self.group = group
        self.conditions = conditions
        number = PromptPrefix.number(of: "\(provider)/\(model)")
    }
}

/// A target that gets copies of requests. Nobody hears its answers, and nobody is charged for them.
public struct RouteMirror: Sendable, Equatable {
    /// The provider and its model.
    public let target: RouteTarget
    /// How many of 10,000 requests are copied.
    public let share: Int

    /// A mirror of its parts.
    public init(target: RouteTarget, share: Int) {
        self.target = target
        self.share = share
    }
}

/// How far an answer is read on after its client cancelled it: for providers that bill the whole of it anyway.
public struct DrainBounds: Sendable, Equatable {
    /// Pieces of the answer, about as many tokens.
    public let tokens: Int
    /// Time.
    public let time: Duration

    /// Where a client asks for it and its provider has no bounds of its own.
    public static let usual = DrainBounds(tokens: 1_000, time: .seconds(10))

    /// Bounds of their parts.
    public init(tokens: Int, time: Duration) {
        self.tokens = tokens
        self.time = time
    }
}

/// What a model alias stands for.
public struct RouteRecord: Sendable, Equatable {
    /// The alias that clients name.
    public internal(set) var name: String
    /// Who can serve it.
    public var targets: [RouteTarget] = []
    /// The most output tokens that a request may ask for; the reservation assumes no more.
    public var maximumOutputTokens: Int64 = 4_096
    /// How often a request may be sent to targets, the first time included.
    public var attempts = 3
    /// Time from a request to the first event; nil: as its provider has it. The shorter of the two counts.
    public var firstEventTimeout: Duration?
    /// Time between two events; nil: as its provider has it. The shorter of the two counts.
    public var idleTimeout: Duration?
    /// Bytes of the prompt's beginning by which requests prefer the target that has seen it; nil for no preference.
    public var affinity: Int?
    /// True when interactive streams whose first token is late are asked for a second time, elsewhere.
    public var isHedged = false
    /// Where copies of some requests go, for comparison alone; nil for none.
    public var mirror: RouteMirror?

    /// A route that nobody can serve yet.
    public init(name: String) { self.name = name }
}

/// An org, or a team within it, with its limits.
public struct TenantRecord: Sendable, Equatable {
    /// The org.
    public internal(set) var org: String
    /// The team; nil for the org itself.
    public internal(set) var team: String?
    /// What it may use.
    public var limits: [Limit] = []
    /// Limits that each of its keys has on its own.
    public var keyLimits: [Limit] = []
    /// A team's share where requests wait, beside other teams; of no meaning for an org.
    public var weight = 1
    /// True for an org whose requests are all refused while Redis cannot be used; false: each node keeps its share of the limits.
    public var isClosedWithoutState = false
}
