// One provider as one lane sees it: where it is, how to prove who we are, and the connections to it.
import Core
import HTTP
import Net
import Policy
import Wire

/// Why a provider's record cannot be used.
public struct TargetProblem: Error, Sendable, CustomStringConvertible {
    /// One sentence for the operator; without secrets.
    public let description: String
}

/// A provider at one lane. Confined to it.
public final class UpstreamTarget {
    /// What the configuration says about it.
    public let record: ProviderRecord
    let lane: Lane
    let pool: ConnectionPool<HTTPClientConnection>
    /// What it speaks.
    let dialect: any Dialect
    /// Calls under way.
    public internal(set) var inFlight = 0
    /// True after `close`: for new calls there is, or will be, another.
    public private(set) var isClosed = false
    /// Connections made, and leases served by one that was open already.
    public var connections: (open: Int, idle: Int, made: Int64, reused: Int64) {
        (pool.size, pool.idleCount, pool.made, pool.reused)
    }

    /// A target of this record. `apiKey` is what the record's reference resolved to.
    ///
    /// - Throws: `TargetProblem` for an address that is none or is not allowed, or a CA that cannot be read.
    public init(lane: Lane, record: ProviderRecord, apiKey: Secret?) throws(TargetProblem) {
        guard let address = BaseURL(record.baseURL) else {
            throw TargetProblem(description: "provider \(record.name): '\(record.baseURL)' is not a base URL")
        }
        guard address.isEncrypted || record.allowsPlainHTTP else {
            throw TargetProblem(description: "provider \(record.name): http:// needs allow-plain-http = yes")
        }
        var tls: TLSContext?
        if address.isEncrypted {
            do {
                tls = try .client(
                    "provider \(record.name)", trust: record.ca.map { .file($0) } ?? .system,
                    protocols: ["http/1.1"], allowsTLS12: true, assumesProtocol: true)
            } catch {
                throw TargetProblem(description: "provider \(record.name): \(error)")
            }
        }
        var limits = PoolLimits()
        limits.connections = record.maximumConnections
        limits.connectTime = record.connectTimeout
        self.record = record
        self.lane = lane
        pool = ConnectionPool(
            lane: lane, endpoint: .host(address.host, port: address.port), tls: tls, serverName: address.host,
            limits: limits, machine: { _ in HTTPClientConnection() })
        dialect = record.dialect(address, apiKey)
    }

    /// Writes the JSON of a request with this body.
    ///
    /// - Throws: `BodyError` for a body that breaks the protocol.
    public func write(_ body: RawSpan, into request: inout RenderedRequest) throws(BodyError) {
        request.bounds = try dialect.write(body, request.terms, into: &request.json)
    }

    /// Closes idle connections; running calls go on.
    public func close() {
        isClosed = true
        pool.close()
    }
}
