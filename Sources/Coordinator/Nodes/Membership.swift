// The nodes that a coordinator knows: bounded, and those that are gone are forgotten in time.
import Core
import Wire

/// A node as its coordinator knows it.
struct Member {
    let number: UInt32
    let incarnation: UInt64
    let name: String
    let address: String
    let admin: String
    let version: String
    /// The level of records that it obeys.
    let level: UInt16
    var seenAt: Instant
    var isConnected: Bool
    var report: Report?
    /// The connection it subscribed on last.
    var channel: ObjectIdentifier
}

/// All members, by number.
struct Membership {
    /// The members.
    private(set) var nodes: [UInt32: Member] = [:]

    /// The most members that are remembered; about 1 KiB each with a full report.
    static let limit = 1_024
    /// How long a node that is gone is still shown.
    static let memory = Duration.seconds(600)

    /// Nodes that are connected now.
    var connectedCount: Int { nodes.values.count { $0.isConnected } }

    /// What became of a node that wants to join.
    enum Welcome: Equatable {
        case joined
        /// Another process that runs under the same number is connected as well.
        case twins
        /// The table is full of connected nodes.
        case full
    }

    /// Takes a node in. When the table is full, the one that has been gone longest makes room.
    mutating func join(_ message: Subscribe, on channel: ObjectIdentifier, at now: Instant) -> Welcome {
        let known = nodes[message.node]
        if known == nil, nodes.count >= Membership.limit {
            guard let oldest = nodes.values.filter({ !$0.isConnected }).min(by: { $0.seenAt < $1.seenAt }) else {
                return .full
            }
            nodes[oldest.number] = nil
        }
        nodes[message.node] = Member(
            number: message.node, incarnation: message.incarnation, name: message.name, address: message.address,
            admin: message.adminAddress, version: message.programVersion, level: message.level, seenAt: now,
            isConnected: true,
            report: nil, channel: channel)
        guard let known, known.isConnected, known.incarnation != message.incarnation else { return .joined }
        return .twins
    }

    /// Takes a report from a node's own connection; one from an older connection of the number is dropped.
    mutating func take(_ report: Report, from node: UInt32, on channel: ObjectIdentifier, at now: Instant) {
        guard nodes[node]?.channel == channel else { return }
        nodes[node]?.report = report
        nodes[node]?.seenAt = now
    }

    /// Notes that a connection is gone. False when the node had come back on another before.
    mutating func leave(_ node: UInt32, on channel: ObjectIdentifier, at now: Instant) -> Bool {
        guard nodes[node]?.channel == channel else { return false }
        nodes[node]?.isConnected = false
        nodes[node]?.seenAt = now
        return true
    }

    /// Forgets who is not connected: at the beginning of a term, when they may be with another coordinator for all we know.
    mutating func forgetAbsent() { nodes = nodes.filter(\.value.isConnected) }

    /// Forgets who has been gone for longer than `memory`; returns their numbers.
    mutating func forgetGone(at now: Instant) -> [UInt32] {
        let gone = nodes.values.filter { !$0.isConnected && $0.seenAt + Membership.memory <= now }.map(\.number)
        for number in gone { nodes[number] = nil }
        return gone.sorted()
    }
}
