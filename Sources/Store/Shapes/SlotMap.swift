// Which primary has which slot, as one server of the cluster told it.

import Core
import Net

/// The slots of a cluster and the primaries that have them.
struct SlotMap {
    /// The most servers that a map may name: the specification recommends no more than about a thousand.
    static let placeLimit = 1024

    /// Primaries, in the order in which they were named.
    private(set) var places: [Endpoint] = []
    /// Replicas: they answer questions about the map when no primary does.
    private(set) var replicas: [Endpoint] = []
    /// The cluster's epoch when the map was told: a map of an older epoch comes from a server that was cut off.
    let epoch: Int64
    /// The place of each slot's owner and 1; 0: nobody.
    private var owners = [UInt16](repeating: 0, count: RedisSlot.count)

    /// Reads the replies to `CLUSTER SLOTS` and `CLUSTER INFO`; `server` is who gave them, and stands where a host is left out.
    ///
    /// - Throws: `unexpectedReply` for another shape, slots that do not exist, or too many servers.
    init(_ reply: RedisReply, info: RedisReply?, from server: Endpoint) throws(StoreError) {
        epoch = info.flatMap { Self.field("cluster_current_epoch", of: $0) } ?? 0
        guard case .array(let ranges) = reply else { throw Self.misfit(reply.shape) }
        for range in ranges {
            guard case .array(let parts) = range, parts.count >= 3, case .integer(let first) = parts[0],
                case .integer(let last) = parts[1], first <= last, let first = RedisSlot(Int(clamping: first)),
                let last = RedisSlot(Int(clamping: last))
            else { throw Self.misfit("a range that is none") }
            guard let primary = try Self.endpoint(parts[2], server) else { continue }
            let mark = UInt16(try place(of: primary) + 1)
            for slot in first.number...last.number { owners[Int(slot)] = mark }
            for part in parts.dropFirst(3) {
                guard let replica = try Self.endpoint(part, server), !replicas.contains(replica) else { continue }
                replicas.append(replica)
            }
        }
        guard replicas.count <= Self.placeLimit else { throw Self.misfit("more than \(Self.placeLimit) servers") }
    }

    /// Where the owner of a slot stands in `places`; nil when nobody has it.
    func owner(of slot: RedisSlot) -> Int? {
        let mark = owners[Int(slot.number)]
        return mark == 0 ? nil : Int(mark) - 1
    }

    /// True when every slot has an owner.
    var isComplete: Bool { !owners.contains(0) }

    /// How many slots each place has.
    var counts: [Int] {
        owners.reduce(into: [Int](repeating: 0, count: places.count)) { if $1 > 0 { $0[Int($1) - 1] += 1 } }
    }

    /// A server said that this slot is elsewhere now.
    mutating func move(_ slot: RedisSlot, to endpoint: Endpoint) throws(StoreError) {
        owners[Int(slot.number)] = UInt16(try place(of: endpoint) + 1)
    }

    private mutating func place(of endpoint: Endpoint) throws(StoreError) -> Int {
        if let place = places.firstIndex(of: endpoint) { return place }
        guard places.count < Self.placeLimit else { throw Self.misfit("more than \(Self.placeLimit) servers") }
        places.append(endpoint)
        return places.count - 1
    }

    /// Host, port and more; the host is left out when clients shall use the one they know. Nil when the server does not know it.
    private static func endpoint(_ reply: RedisReply, _ server: Endpoint) throws(StoreError) -> Endpoint? {
        guard case .array(let parts) = reply, parts.count >= 2, case .integer(let number) = parts[1],
            let port = UInt16(exactly: number)
        else { throw misfit("a server without an address") }
        let host = parts[0].text ?? ""
        if host == "?" || port == 0 { return nil }
        if !host.isEmpty { return .host(host, port: port) }
        return server.with(port: port)
    }

    private static func field(_ name: String, of reply: RedisReply) -> Int64? {
        let line = reply.text?.split(separator: "\r\n").first { $0.hasPrefix("\(name):") }
        return line.flatMap { Int64($0.dropFirst(name.utf8.count + 1)) }
    }

    private static func misfit(_ words: String) -> StoreError { .unexpectedReply("CLUSTER SLOTS replied \(words)") }
}

extension Endpoint {
    /// Another port of the same host.
    func with(port: UInt16) -> Endpoint? {
        guard case .host(let host, _) = self else { return nil }
        return .host(host, port: port)
    }
}
