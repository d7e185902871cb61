// The settings of `[nodes]` that say who may connect, and how much one tenant may hold.
import Core

extension ClusterConfiguration.Nodes {
    /// The most addresses of balancers.
    static let maximumBalancers = 64

    /// Reads what protects the ports of nodes.
    mutating func readDoors(_ reader: inout SectionReader) {
        maximumConnections = reader.number("max-connections", in: 1...10_000) ?? maximumConnections
        balancerAddresses = reader.optional("balancer-addresses", Self.networks) ?? []
        keyConnectionsPercent = reader.number("key-connections-percent", in: 1...100) ?? keyConnectionsPercent
        orgConnectionsPercent = reader.number("org-connections-percent", in: 1...100) ?? orgConnectionsPercent
        keyBodyBytes = reader.bytes("key-body-bytes", in: 1 << 20...1 << 40) ?? keyBodyBytes
        orgBodyBytes = reader.bytes("org-body-bytes", in: 1 << 20...1 << 40) ?? orgBodyBytes
        if keyConnectionsPercent > orgConnectionsPercent {
            reader.report(
                "a key may not have more connections (\(keyConnectionsPercent) %) than its org (\(orgConnectionsPercent) %)",
                at: reader.position(of: "key-connections-percent"))
        }
        if keyBodyBytes > orgBodyBytes {
            reader.report(
                "a key may not hold more body bytes than its org", at: reader.position(of: "key-body-bytes"))
        }
    }

    /// Addresses and networks, separated by commas.
    private static func networks(_ text: String) throws(ValueProblem) -> [Network] {
        var found: [Network] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            var name = part
            while name.first == " " { name.removeFirst() }
            while name.last == " " { name.removeLast() }
            let network = try Network.parse(String(name))
            guard !found.contains(network) else { throw ValueProblem("'\(network)' stands twice") }
            found.append(network)
        }
        guard found.count <= maximumBalancers else { throw ValueProblem("at most \(maximumBalancers) addresses") }
        return found
    }
}
