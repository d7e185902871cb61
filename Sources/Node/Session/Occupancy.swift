// What one key and one org hold of a lane: connections, and body bytes of requests. A tenant may be large, but never all there is.
import Core
import Policy

/// Counts by key and org, and the most that each may have. Pure; a lane has one.
struct Occupancy {
    /// Who has all that one may have.
    enum Holder: String, CaseIterable {
        case key
        case org
    }

    /// The most of one key, and of one org.
    struct Limits {
        var keyConnections: Int
        var orgConnections: Int
        var keyBodyBytes: Int
        var orgBodyBytes: Int

        /// Those of a lane, as configured.
        init(_ nodes: ClusterConfiguration.Nodes) {
            // At least one: where a lane has few connections a tenant must still get in.
            keyConnections = max(1, nodes.maximumConnections * nodes.keyConnectionsPercent / 100)
            orgConnections = max(1, nodes.maximumConnections * nodes.orgConnectionsPercent / 100)
            keyBodyBytes = nodes.keyBodyBytes
            orgBodyBytes = nodes.orgBodyBytes
        }
    }

    private struct Held {
        var connections = 0
        var bytes = 0
    }

    let limits: Limits
    private var keys: [String: Held] = [:]
    private var orgs: [String: Held] = [:]

    init(_ limits: Limits) { self.limits = limits }

    /// Keys and orgs that hold anything.
    var holders: Int { keys.count + orgs.count }

    /// Counts a connection, unless its key or org has as many as one may have: then says which.
    mutating func connect(key: String, org: String) -> Holder? {
        guard (keys[key]?.connections ?? 0) < limits.keyConnections else { return .key }
        guard (orgs[org]?.connections ?? 0) < limits.orgConnections else { return .org }
        keys[key, default: Held()].connections += 1
        orgs[org, default: Held()].connections += 1
        return nil
    }

    /// A counted connection is gone.
    mutating func disconnect(key: String, org: String) { add(key, org, connections: -1, bytes: 0) }

    /// Counts bytes of a body that are here or may come, unless they are more than one may hold: then says who holds too much.
    mutating func hold(_ bytes: Int, key: String, org: String) -> Holder? {
        guard (keys[key]?.bytes ?? 0) + bytes <= limits.keyBodyBytes else { return .key }
        guard (orgs[org]?.bytes ?? 0) + bytes <= limits.orgBodyBytes else { return .org }
        add(key, org, connections: 0, bytes: bytes)
        return nil
    }

    /// Counted bytes are gone.
    mutating func release(_ bytes: Int, key: String, org: String) { add(key, org, connections: 0, bytes: -bytes) }

    private mutating func add(_ key: String, _ org: String, connections: Int, bytes: Int) {
        Occupancy.add(&keys[key, default: Held()], connections, bytes)
        Occupancy.add(&orgs[org, default: Held()], connections, bytes)
        if let held = keys[key], held.connections == 0, held.bytes == 0 { keys[key] = nil }
        if let held = orgs[org], held.connections == 0, held.bytes == 0 { orgs[org] = nil }
    }

    private static func add(_ held: inout Held, _ connections: Int, _ bytes: Int) {
        held.connections += connections
        held.bytes += bytes
        precondition(held.connections >= 0 && held.bytes >= 0, "what is given back was held")
    }
}
