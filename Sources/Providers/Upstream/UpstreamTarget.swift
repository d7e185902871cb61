// One provider as one lane sees it: where it is, how to prove who we are, and the connections to it.
import Core
import HTTP
import Net
import Policy

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
    /// Request line and constant headers of a chat request.
    let chatHead: [UInt8]
    /// The same of a request for the list of models.
    let modelsHead: [UInt8]
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
        chatHead = UpstreamTarget.head(
            "POST \(address.path)/chat/completions\(address.query)", address, apiKey, hasBody: true)
        modelsHead = UpstreamTarget.head("GET \(address.path)/models\(address.query)", address, apiKey, hasBody: false)
    }

    private static func head(_ line: String, _ address: BaseURL, _ apiKey: Secret?, hasBody: Bool) -> [UInt8] {
        var head = ByteBuffer()
        head.append("\(line) HTTP/1.1\r\nHost: \(address.authority)\r\n")
        if let apiKey {
            head.append(literal: "Authorization: Bearer ")
            apiKey.withBytes { head.append($0) }
            head.append(literal: "\r\n")
        }
        if hasBody { head.append(literal: "Content-Type: application/json\r\n") }
        head.append(literal: "Accept-Encoding: identity\r\nUser-Agent: sluice/1\r\n")
        return head.array()
    }

    /// Closes idle connections; running calls go on.
    public func close() {
        isClosed = true
        pool.close()
    }
}
