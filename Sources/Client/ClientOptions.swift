// How a client connects, waits and repeats.
public import Net
public import Wire

/// Where a cluster is, how to prove who asks, and the limits of one client.
public struct ClientOptions: Sendable {
    /// Where the cluster listens: the balancer.
    public var endpoint: Endpoint
    /// How to verify it.
    public var tls: TLSContext
    /// The name that its certificate must hold.
    public var serverName: String
    /// The API key, `slk_…`, at most 128 bytes; empty to be known by the TLS certificate alone.
    public var apiKey: [UInt8]
    /// Connections kept open, at least 1; behind a balancer they lead to different nodes. Each carries 256 requests at once.
    public var connections = 4
    /// What this client is, for the cluster's logs; the first 64 bytes count.
    public var name = "sluice-client"
    /// Attempts of one request, the first included.
    public var attempts = 3
    /// How often requests may be repeated, all together.
    public var retryBudget = RetryBudget()
    /// The longest pause that is waited out here before a repetition; a longer one is told to the caller.
    public var longestPause = Duration.seconds(2)
    /// How long a request waits while no connection is ready; then it fails as unreachable.
    public var patience = Duration.seconds(10)
    /// Requests that may wait for a connection or for stream credit.
    public var waiting = 65_536
    /// Called with what nodes say about their load and about budgets that come near their end; on a thread of the client's own.
    public var onHint: (@Sendable (Hint) -> Void)?
    /// Whether streams whose connection breaks go on over another connection to the same node, without their reader noticing.
    /// The node keeps what was not confirmed, for the time that it says (10 s unless configured otherwise); so long its work goes on, and
    /// is billed, also when this program is gone for good.
    public var continuesStreams = false
    /// Connections that are made for that when none leads to the node that has the stream; each may reach another one behind a balancer.
    public var searches = 8
    /// Bytes of the bodies of requests that wait.
    public var waitingBytes = 64 << 20

    /// A client of the cluster at `address` (`host:port`), whose certificate holds `serverName` and was signed by `trust`.
    ///
    /// - Throws: `unreachable` when the address is none or the trusted certificates cannot be read.
    public init(address: String, trust: TLSContext.Trust, serverName: String, apiKey: String) throws(ClientFailure) {
        guard let endpoint = Endpoint.parse(address) else {
            throw .unreachable("'\(address)' is not an address such as 10.0.0.1:7443")
        }
        do {
            let tls = try TLSContext.client(trust: trust, protocols: ["sluice/1"])
            self.init(endpoint: endpoint, tls: tls, serverName: serverName, apiKey: Array(apiKey.utf8))
        } catch {
            throw .unreachable("\(error)")
        }
    }

    /// A client of the cluster at `endpoint`, with TLS rules of its own, for example with a certificate to be known by.
    public init(endpoint: Endpoint, tls: TLSContext, serverName: String, apiKey: [UInt8]) {
        self.endpoint = endpoint
        self.tls = tls
        self.serverName = serverName
        self.apiKey = apiKey
    }
}
