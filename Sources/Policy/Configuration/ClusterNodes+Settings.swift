// The settings of [nodes NAME].
import Core

extension ClusterConfiguration.Nodes {
    static let schema = SectionSchema(
        "nodes", form: "[nodes NAME]", initial: ClusterConfiguration.Nodes(),
        doors + tenants + lives + queues + resumption + overload, rules: check)

    private static let host = ValueForm<String>.text("numeric host", read: PlainText.numericHost)
    /// Times that a request or its answer may wait.
    private static let wait = ValueForm.duration(.zero, to: .seconds(600))

    /// Who may connect, and where.
    private static let doors: [Setting<Self>] = [
        Setting(
            "listen", \.listen, host, by: [.node, .balancer, .scripts],
            "host part of the addresses that clients connect to"),
        Setting(
            "base-port", \.basePort, .number(1...61_000), by: [.node, .balancer, .scripts],
            "node N serves clients on this port + N"),
        Setting(
            "admin-listen", \.adminListen, host, by: [.node, .balancer, .scripts],
            "host part of the admin ports' addresses: plain HTTP without a login, so keep them private"),
        Setting(
            "admin-base-port", \.adminBasePort, .number(1...61_000), by: [.node, .balancer, .scripts],
            "node N has `/livez /readyz /metrics /config` on this + N"),
        Setting(
            "admin-secret", optional: \.adminSecret, .secret, by: .node,
            "what `/config` asks for, at least 16 characters; without it `/config` is not served"),
        Setting(
            "balancer-addresses", \.balancerAddresses, .networks, by: [.node, .balancer],
            "who connects from here is a balancer and names its client: [operating.md](operating.md#the-doors)"),
        Setting(
            "lanes", \.lanes, .number(0...64), by: [.node, .tool], "event loops of a node; 0: one a processor"),
        Setting(
            "max-connections", \.maximumConnections, .number(1...10_000), by: .node,
            "client connections of one lane; more are closed immediately"),
    ]

    /// How much one tenant may hold.
    private static let tenants: [Setting<Self>] = [
        Setting(
            "key-connections-percent", \.keyConnectionsPercent, .number(1...100), by: .node,
            "the part of `max-connections` that one key may have; more are refused with CALM (tenantConnections)"),
        Setting(
            "org-connections-percent", \.orgConnectionsPercent, .number(1...100), by: .node,
            "the part of `max-connections` that one org may have"),
        Setting(
            "key-body-bytes", \.keyBodyBytes, .size(1 << 20...1 << 40), by: .node,
            "bytes of requests that one key may hold on a lane; more are refused with OVERLOADED, safe elsewhere"),
        Setting(
            "org-body-bytes", \.orgBodyBytes, .size(1 << 20...1 << 40), by: .node,
            "bytes of requests that one org may hold on a lane"),
        Setting(
            "lease-rate", \.leaseRate, .number(0...1_000_000), by: .node,
            "a key with more requests a second on a lane takes blocks of quota ([state.md](state.md)); 0: never"),
    ]

    /// How long connections and requests last.
    private static let lives: [Setting<Self>] = [
        Setting(
            "drain-notice", \.drainNotice, wait, by: [.node, .scripts],
            "a draining node is not ready but still accepts, until balancers have noticed"),
        Setting(
            "drain-limit", \.drainLimit, .duration(.zero, to: .seconds(3_600)), by: [.node, .scripts],
            "the longest that a drain then waits for running requests"),
        Setting(
            "max-age", \.maximumAge, .duration(.seconds(1), to: .seconds(86_400)), by: .node,
            "a client connection of this age, ± 10 %, is sent elsewhere; a new node gets its share [sooner](operating.md#nodes-that-come-and-go)"
        ),
        Setting(
            "request-timeout", \.requestTimeout, .duration(.milliseconds(1), to: .seconds(600)), by: .node,
            "time limit of a request that names none"),
    ]

    /// How long requests wait for a provider.
    private static let queues: [Setting<Self>] = [
        Setting(
            "queue-limit", \.queueLimit, .number(1...65_536), by: .node,
            "requests that wait for one provider on one lane; a team may have a quarter of them"),
        Setting(
            "interactive-wait", \.queueWaits[0], wait, by: .node,
            "the longest that an interactive request waits; also at most a tenth of its time"),
        Setting(
            "background-wait", \.queueWaits[1], wait, by: .node, "the longest that a background request waits"),
        Setting("batch-wait", \.queueWaits[2], wait, by: .node, "the longest that a batch request waits"),
        Setting(
            "class-floors", \.classFloors, .floors, by: .node,
            "what each class can count on when all wait, in per cent: [fairness.md](fairness.md)"),
    ]

    /// Answers that are kept for clients whose connection broke.
    private static let resumption: [Setting<Self>] = [
        Setting(
            "resume-time", \.resumeTime, wait, by: .node,
            "how long an answer is kept for a client that [asked for it](client.md); 0: not offered"),
        Setting(
            "resume-buffer", \.resumeBuffer, .size(64 << 10...16 << 20), by: .node,
            "of one such answer; a client with a larger window is not promised anything"),
        Setting(
            "resume-memory", \.resumeMemory, .size(1 << 20...16 << 30), by: .node,
            "for all such answers of a lane; those that ended go first, the oldest of them"),
    ]

    /// What a node obeys when it starts alone, what it does when it has too much to do, and what it writes.
    private static let overload: [Setting<Self>] = [
        Setting(
            "snapshot-max-age", \.snapshotMaximumAge, .duration(.seconds(60), to: .seconds(366 * 86_400)), by: .node,
            "how long a saved snapshot is good for a node that [starts alone](operating.md#when-a-node-starts-without-a-coordinator)"
        ),
        Setting(
            "memory-limit", optional: \.memoryLimit, .size(1 << 20...1 << 42), .words("4/5 of what there is"),
            by: .node, "resident memory of a node: [operating.md](operating.md#too-much-to-do)"),
        Setting(
            "lag-limit", \.lagLimit, .duration(.milliseconds(1), to: .seconds(10)), by: .node,
            "how late a lane may be; from 70 % of it on, for half a second, it sheds load"),
        Setting(
            "overload-max-output", \.overloadMaximumOutput, .number(1...1_000_000), by: .node,
            "output tokens of a request that begins while the lane sheds load (80 % of a limit)"),
        Setting(
            "log-level", \.logLevel, .word(of: "debug", "info", "warning", "error"), by: .node,
            "less grave lines are not written; request lines are `info`"),
    ]

    @Sendable private static func check(_ nodes: inout Self, _ reader: inout SectionReader) {
        if nodes.keyConnectionsPercent > nodes.orgConnectionsPercent {
            reader.report(
                """
                a key may not have more connections (\(nodes.keyConnectionsPercent) %) than its org \
                (\(nodes.orgConnectionsPercent) %)
                """, at: "key-connections-percent")
        }
        if nodes.keyBodyBytes > nodes.orgBodyBytes {
            reader.report("a key may not hold more body bytes than its org", at: "key-body-bytes")
        }
        if nodes.basePort == nodes.adminBasePort {
            reader.report(
                "base-port and admin-base-port must differ by more than the number of nodes", at: "admin-base-port")
        }
    }
}

extension ValueForm where Value == ClassFloors {
    /// Three parts of the capacity in per cent, such as `60 30 10`.
    fileprivate static var floors: ValueForm {
        ValueForm(
            words: "three numbers, together 100",
            read: { text throws(ValueProblem) in
                let parts = text.split(separator: " ").map { Int($0) }
                guard let floors = ClassFloors(parts.compactMap(\.self)), !parts.contains(nil) else {
                    throw ValueProblem(
                        "expected three whole numbers of at least 1 that make 100, such as 60 30 10, found '\(text)'")
                }
                return floors
            }, write: { $0.percent.map { "\($0)" }.joined(separator: " ") })
    }
}

extension ValueForm where Value == [Network] {
    private static var most: Int { 64 }

    /// Addresses and networks, separated by commas.
    fileprivate static var networks: ValueForm {
        ValueForm(
            words: "networks with commas, at most \(most)",
            read: { text throws(ValueProblem) in
                var found: [Network] = []
                for part in text.split(separator: ",", omittingEmptySubsequences: false) {
                    var word = part.drop { $0 == " " }
                    while word.last == " " { word.removeLast() }
                    let network = try Network.parse(String(word))
                    guard !found.contains(network) else { throw ValueProblem("'\(network)' stands twice") }
                    found.append(network)
                }
                guard found.count <= most else { throw ValueProblem("at most \(most) addresses") }
                return found
            }, write: { $0.map(\.description).joined(separator: ", ") })
    }
}
