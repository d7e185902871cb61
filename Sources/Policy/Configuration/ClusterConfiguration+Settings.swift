// The settings of [cluster], [redis], [tls], [coordinator], [balancer], [ledger] and [prices].
import Core

extension ClusterConfiguration {
    static let schema = SectionSchema(
        "cluster", form: "[cluster NAME]", initial: ClusterConfiguration(),
        heading: { name, record throws(ValueProblem) in record.name = try PlainText.name(name) },
        [
            Setting(
                "state-directory", \.stateDirectory, .path, by: [.node, .coordinator, .scripts],
                "what must survive a restart: a node's last snapshot, a coordinator's keys")
        ])

    static let balancerSchema = SectionSchema(
        "balancer", form: "[balancer NAME]", initial: ClusterConfiguration(),
        [
            Setting(
                "listen", optional: \.balancer, .listenedAddress, .needed, by: [.balancer, .tool, .scripts],
                "where clients connect")
        ])

    static let pricesSchema = SectionSchema(
        "prices", form: "[prices NAME]", initial: ClusterConfiguration(),
        [
            Setting(
                "file", optional: \.priceList, .path, .needed, by: .coordinator,
                "a [price list](#the-price-list); `[price …]` sections override it")
        ],
        rules: { record, reader in record.priceListPosition = reader.position(of: "file") })
}

extension ClusterConfiguration.TLS {
    static let schema = SectionSchema(
        "tls", form: "[tls NAME]", initial: ClusterConfiguration.TLS(),
        [
            Setting(
                "ca", \.ca, .path, .needed, by: [.node, .coordinator, .scripts],
                "the CA that signed nodes, coordinators and client certificates"),
            Setting("certificate", \.certificate, .path, .needed, by: .node, "a node's chain"),
            Setting("key", \.key, .path, .needed, by: .node, "its key"),
            Setting(
                "crl", optional: \.crl, .path, by: [.node, .coordinator, .tool],
                "revoked certificates of the CA (PEM), read again at SIGHUP: [operating.md](operating.md#certificates)"),
            Setting(
                "client-certificates", \.clientCertificates, .word(of: "off", "optional", "required"), by: .node,
                "whether clients must prove who they are before they send their API key"),
        ])
}

extension ClusterConfiguration.Coordinator {
    static let schema = SectionSchema(
        "coordinator", form: "[coordinator NAME]", initial: ClusterConfiguration.Coordinator(name: ""),
        heading: { name, record throws(ValueProblem) in record.name = try PlainText.name(name) },
        [
            Setting(
                "listen", \.listen, .listenedAddress, .needed, by: [.node, .coordinator],
                "nodes subscribe here: sluice/1 over mutual TLS"),
            Setting(
                "admin", \.admin, .listenedAddress, .needed, by: [.coordinator, .tool, .scripts],
                "HTTP: status, keys, apply, metrics; keep it private"),
            Setting(
                "admin-plain-http", optional: \.adminPlainHTTP, .flag, .words("`yes` on a loopback address, else `no`"),
                by: [.coordinator, .tool], "`no` wants TLS everywhere; `yes` sends the secret and new API keys in clear"
            ),
            Setting(
                "admin-secret", \.adminSecret, .secret, .needed, by: [.coordinator, .tool],
                "what `Authorization: Bearer` must carry; at least \(leastSecretBytes) bytes"),
            Setting("certificate", \.certificate, .path, .needed, by: .coordinator, "its chain, on both ports"),
            Setting("key", \.key, .path, .needed, by: .coordinator, "its key"),
        ])
}

extension LedgerRetention {
    // An hour at least: sums and records are compared by whole hours.
    private static let ages = ValueForm.duration(.seconds(3_600), to: .seconds(800 * 86_400))

    static let schema = SectionSchema(
        "ledger", form: "[ledger NAME]", initial: LedgerRetention.standard,
        [
            Setting(
                "records", \.records, ages, by: .node,
                "how old a record gets: one for each attempt that a provider may bill"),
            Setting(
                "max-records", \.maximumRecords, .count(1_000...1_000_000_000), by: .node,
                "how many an org keeps, about 130 B each; the oldest go first"),
            Setting(
                "rollups", \.rollups, ages, by: [.node, .tool],
                "how long after its end the sums of an hour are kept"),
        ])
}

// MARK: - Redis

extension ClusterConfiguration.Redis {
    static let schema = SectionSchema(
        "redis", form: "[redis NAME]", initial: ClusterConfiguration.Redis(), place + access, rules: check)

    private static let everybody: SettingReaders = [.node, .coordinator, .tool]

    private static let place: [Setting<Self>] = [
        Setting(
            "shape", \.shape, .shape, by: everybody,
            "one server; a primary that sentinels choose; a Redis Cluster: [operating.md](operating.md#redis-in-three-shapes)"
        ),
        Setting(
            "address", list: \.addresses, .text("address to connect to", read: PlainText.address), most: 64, .needed,
            by: [.node, .coordinator, .tool, .scripts],
            "where Redis is; with `sentinel` the sentinels, with `cluster` some of its servers",
            fits: { address, others throws(ValueProblem) in
                if others.contains(address) { throw ValueProblem("'\(address)' stands twice") }
            }),
        Setting(
            "primary", optional: \.primary, .text("name", read: PlainText.name), .words("needed with `sentinel`"),
            by: everybody, "how the sentinels call the primary: `sentinel monitor NAME …`"),
        Setting(
            "sentinel-user", optional: \.sentinelUser, .text("name"), by: everybody,
            "how to speak with the sentinels; needs `sentinel-password`"),
        Setting("sentinel-password", optional: \.sentinelPassword, .secret, by: everybody, "its password"),
    ]

    private static let access: [Setting<Self>] = [
        Setting(
            "user", optional: \.user, .text("name"), by: everybody, "ACL user of nodes; needs `password`"),
        Setting(
            "password", optional: \.password, .secret, by: everybody,
            "its password; a reference that cannot be read ends the start"),
        Setting(
            "coordinator-user", optional: \.coordinatorUser, .text("name"), .words("`user`"),
            by: [.coordinator, .tool],
            "[ACL user](operating.md#users-of-redis) of coordinators and of the tool; needs `coordinator-password`"),
        Setting(
            "coordinator-password", optional: \.coordinatorPassword, .secret, .words("`password`"),
            by: [.coordinator, .tool], "its password; nodes do not read it"),
        Setting(
            "tls-ca", optional: \.ca, .path, by: everybody,
            "speaks TLS and verifies Redis against this CA; not with `unix:`"),
        Setting(
            "command-timeout", \.commandTimeout, .duration(.milliseconds(1), to: .seconds(10)), by: everybody,
            "a request that waits longer for Redis is refused with STATE_UNAVAILABLE"),
    ]

    @Sendable private static func check(_ redis: inout Self, _ reader: inout SectionReader) {
        redis.checkShape(&reader)
        let users = [
            (redis.user, redis.password, "user", "password"),
            (redis.coordinatorUser, redis.coordinatorPassword, "coordinator-user", "coordinator-password"),
        ]
        for (user, password, key, missing) in users where user != nil && password == nil {
            reader.report("a user without a '\(missing)'", at: key)
        }
        if redis.ca != nil, redis.address.hasPrefix("unix:") {
            reader.report("TLS is not spoken over a Unix socket", at: "tls-ca")
        }
    }

    private func checkShape(_ reader: inout SectionReader) {
        for (index, position) in reader.positions(of: "address").enumerated() {
            if index > 0, shape == .single {
                reader.report(
                    "'address' is set twice in this section; shape = sentinel and shape = cluster take several",
                    at: position)
            } else if shape != .single, addresses[index].hasPrefix("unix:") {
                reader.report("a Unix socket is an address of a single server only", at: position)
            }
        }
        guard case .sentinel(let primary) = shape else {
            for key in ["primary", "sentinel-user", "sentinel-password"] where reader.has(key) {
                reader.report("'\(key)' has a meaning with shape = sentinel only", at: key)
            }
            return
        }
        if primary.isEmpty, !reader.has("primary") {
            reader.report("shape = sentinel needs 'primary', the name by which the sentinels know it", at: "shape")
        }
        if sentinelUser != nil, sentinelPassword == nil {
            reader.report("a user without a 'sentinel-password'", at: "sentinel-user")
        }
    }

    /// The sentinels' name of the primary. It is part of the shape, which therefore stands before it.
    private var primary: String? {
        get { if case .sentinel(let primary) = shape { primary } else { nil } }
        set { if case .sentinel = shape { shape = .sentinel(primary: newValue ?? "") } }
    }
}

extension ValueForm where Value == ClusterConfiguration.Redis.Shape {
    /// `single`, `sentinel` or `cluster`; the sentinels' name of the primary is another setting.
    fileprivate static var shape: ValueForm {
        let shapes: [(String, Value)] = [
            ("single", .single), ("sentinel", .sentinel(primary: "")), ("cluster", .cluster),
        ]
        let words = shapes.map(\.0)
        return ValueForm(
            words: ValueForm<String>.choice(words),
            read: { text throws(ValueProblem) in
                let word = try ConfigurationValue.choice(text, of: words)
                return shapes.first { $0.0 == word }?.1 ?? .single
            },
            write: { shape in
                switch shape {
                case .single: "single"
                case .sentinel: "sentinel"
                case .cluster: "cluster"
                }
            })
    }
}
