// Reads the sections of cluster.conf one after another, and in the end what they say about each other.
import Core

struct ClusterReader {
    let file: String
    private(set) var configuration = ClusterConfiguration()
    private(set) var problems: [ConfigurationProblem] = []
    private var published: SnapshotReader
    private var seen: Set<String> = []
    /// Addresses that programs listen on, to report one that is used twice.
    private var addresses: [(text: String, position: ConfigurationPosition)] = []

    init(file: String) {
        self.file = file
        published = SnapshotReader(file: file, isPublished: false)
    }

    mutating func read(_ section: ConfigurationDocument.Section) {
        guard !published.read(section) else { return }
        var reader = SectionReader(section, file: file)
        if section.kind != "coordinator", !seen.insert(section.kind).inserted {
            reader.report("only one [\(section.kind) …] may stand in a file", at: section.position)
        }
        switch section.kind {
        case "cluster": cluster(&reader)
        case "redis": redis(&reader)
        case "tls": tls(&reader)
        case "coordinator": coordinator(&reader)
        case "nodes": nodes(&reader)
        case "ledger": ledger(&reader)
        case "balancer": configuration.balancer = listen("listen", &reader)
        case "prices":
            configuration.priceList = reader.required("file", PlainText.any)
            configuration.priceListPosition = reader.position(of: "file")
        default:
            let kinds = ["cluster", "redis", "tls", "coordinator", "nodes", "ledger", "balancer", "prices"]
            let known = (kinds + SnapshotReader.writtenKinds).joined(separator: ", ")
            reader.report("unknown kind of section '\(section.kind)'; known: \(known)", at: section.position)
            return problems += reader.problems
        }
        reader.finish()
        problems += reader.problems
    }

    private mutating func cluster(_ reader: inout SectionReader) {
        configuration.name = reader.name(PlainText.name) ?? ""
        configuration.stateDirectory = reader.optional("state-directory", PlainText.any) ?? "state"
    }

    private mutating func redis(_ reader: inout SectionReader) {
        var redis = ClusterConfiguration.Redis()
        redisPlace(&redis, &reader)
        redis.user = reader.optional("user", PlainText.any)
        redis.password = reader.optional("password", ConfigurationValue.secret)
        redis.coordinatorUser = reader.optional("coordinator-user", PlainText.any)
        redis.coordinatorPassword = reader.optional("coordinator-password", ConfigurationValue.secret)
        redis.ca = reader.optional("tls-ca", PlainText.any)
        redis.commandTimeout =
            reader.time("command-timeout", in: .milliseconds(1) ... .seconds(10)) ?? redis.commandTimeout
        if redis.user != nil, redis.password == nil {
            reader.report("a user without a 'password'", at: reader.position(of: "user"))
        }
        if redis.coordinatorUser != nil, redis.coordinatorPassword == nil {
            reader.report("a user without a 'coordinator-password'", at: reader.position(of: "coordinator-user"))
        }
        if redis.ca != nil, redis.address.hasPrefix("unix:") {
            reader.report("TLS is not spoken over a Unix socket", at: reader.position(of: "tls-ca"))
        }
        configuration.redis = redis
    }

    /// Where Redis is: one address, or those of sentinels, or those of a cluster's servers.
    private mutating func redisPlace(_ redis: inout ClusterConfiguration.Redis, _ reader: inout SectionReader) {
        let shape = reader.choice("shape", of: ["single", "sentinel", "cluster"]) ?? "single"
        let primary = reader.optional("primary", PlainText.name)
        redis.sentinelUser = reader.optional("sentinel-user", PlainText.any)
        redis.sentinelPassword = reader.optional("sentinel-password", ConfigurationValue.secret)
        let addresses = reader.list("address", PlainText.address)
        redis.addresses = addresses.map(\.value)
        if !reader.section.entries.contains(where: { $0.key == "address" }) {
            reader.report(
                "[\(reader.section.kind) \(reader.section.name)] needs 'address'", at: reader.section.position)
        }
        for (place, entry) in addresses.enumerated() {
            if redis.addresses[..<place].contains(entry.value) {
                reader.report("'\(entry.value)' stands twice", at: entry.position)
            } else if place > 0, shape == "single" {
                reader.report(
                    "'address' is set twice in this section; shape = sentinel and shape = cluster take several",
                    at: entry.position)
            } else if shape != "single", entry.value.hasPrefix("unix:") {
                reader.report("a Unix socket is an address of a single server only", at: entry.position)
            } else if place == 64 {
                reader.report("at most 64 addresses", at: entry.position)
            }
        }
        if shape == "cluster" { redis.shape = .cluster }
        if shape == "sentinel" {
            redis.shape = .sentinel(primary: primary ?? "")
            if primary == nil, !reader.section.entries.contains(where: { $0.key == "primary" }) {
                reader.report(
                    "shape = sentinel needs 'primary', the name by which the sentinels know it",
                    at: reader.position(of: "shape"))
            }
            if redis.sentinelUser != nil, redis.sentinelPassword == nil {
                reader.report("a user without a 'sentinel-password'", at: reader.position(of: "sentinel-user"))
            }
        } else {
            for key in ["primary", "sentinel-user", "sentinel-password"]
            where reader.section.entries.contains(where: { $0.key == key }) {
                reader.report("'\(key)' has a meaning with shape = sentinel only", at: reader.position(of: key))
            }
        }
    }

    private mutating func tls(_ reader: inout SectionReader) {
        configuration.tls.ca = reader.required("ca", PlainText.any) ?? ""
        configuration.tls.certificate = reader.required("certificate", PlainText.any) ?? ""
        configuration.tls.key = reader.required("key", PlainText.any) ?? ""
        configuration.tls.crl = reader.optional("crl", PlainText.any)
        configuration.tls.clientCertificates =
            reader.choice("client-certificates", of: ["off", "optional", "required"]) ?? "off"
    }

    private mutating func coordinator(_ reader: inout SectionReader) {
        var coordinator = ClusterConfiguration.Coordinator(name: reader.name(PlainText.name) ?? "")
        if configuration.coordinators.contains(where: { $0.name == coordinator.name }) {
            reader.report("[coordinator \(coordinator.name)] stands twice", at: reader.section.position)
        }
        if let listen = listen("listen", &reader) { coordinator.listen = listen }
        if let admin = listen("admin", &reader) { coordinator.admin = admin }
        if let secret = reader.required("admin-secret", ConfigurationValue.secret) { coordinator.adminSecret = secret }
        coordinator.adminPlainHTTP = reader.optional("admin-plain-http", ConfigurationValue.flag)
        coordinator.certificate = reader.required("certificate", PlainText.any) ?? ""
        coordinator.key = reader.required("key", PlainText.any) ?? ""
        configuration.coordinators.append(coordinator)
    }

    private mutating func nodes(_ reader: inout SectionReader) {
        var nodes = ClusterConfiguration.Nodes()
        nodes.listen = reader.optional("listen", PlainText.numericHost) ?? nodes.listen
        nodes.basePort = reader.number("base-port", in: 1...61_000) ?? nodes.basePort
        nodes.adminListen = reader.optional("admin-listen", PlainText.numericHost) ?? nodes.adminListen
        nodes.adminBasePort = reader.number("admin-base-port", in: 1...61_000) ?? nodes.adminBasePort
        nodes.adminSecret = reader.optional("admin-secret", ConfigurationValue.secret)
        nodes.lanes = reader.number("lanes", in: 0...64) ?? nodes.lanes
        nodes.readDoors(&reader)
        nodes.drainNotice = reader.time("drain-notice", in: .zero ... .seconds(600)) ?? nodes.drainNotice
        nodes.drainLimit = reader.time("drain-limit", in: .zero ... .seconds(3_600)) ?? nodes.drainLimit
        nodes.maximumAge = reader.time("max-age", in: .seconds(1) ... .seconds(86_400)) ?? nodes.maximumAge
        nodes.requestTimeout =
            reader.time("request-timeout", in: .milliseconds(1) ... .seconds(600)) ?? nodes.requestTimeout
        nodes.queueLimit = reader.number("queue-limit", in: 1...65_536) ?? nodes.queueLimit
        for (place, key) in ["interactive-wait", "background-wait", "batch-wait"].enumerated() {
            nodes.queueWaits[place] = reader.time(key, in: .zero ... .seconds(600)) ?? nodes.queueWaits[place]
        }
        nodes.classFloors = reader.optional("class-floors", ClusterReader.floors) ?? nodes.classFloors
        nodes.leaseRate = reader.number("lease-rate", in: 0...1_000_000) ?? nodes.leaseRate
        nodes.resumeTime = reader.time("resume-time", in: .zero ... .seconds(600)) ?? nodes.resumeTime
        nodes.resumeBuffer = reader.bytes("resume-buffer", in: 65_536...16 << 20) ?? nodes.resumeBuffer
        nodes.resumeMemory = reader.bytes("resume-memory", in: 1 << 20...16 << 30) ?? nodes.resumeMemory
        nodes.snapshotMaximumAge =
            reader.time("snapshot-max-age", in: .seconds(60) ... .seconds(366 * 86_400)) ?? nodes.snapshotMaximumAge
        nodes.memoryLimit = reader.bytes("memory-limit", in: 1 << 20...1 << 42)
        nodes.lagLimit = reader.time("lag-limit", in: .milliseconds(1) ... .seconds(10)) ?? nodes.lagLimit
        nodes.overloadMaximumOutput =
            reader.number("overload-max-output", in: 1...1_000_000) ?? nodes.overloadMaximumOutput
        nodes.logLevel = reader.choice("log-level", of: ["debug", "info", "warning", "error"]) ?? nodes.logLevel
        if nodes.basePort == nodes.adminBasePort {
            reader.report(
                "base-port and admin-base-port must differ by more than the number of nodes",
                at: reader.position(of: "admin-base-port"))
        }
        configuration.nodes = nodes
    }

    /// Three parts of the capacity in per cent, such as `60 30 10`.
    private static func floors(_ text: String) throws(ValueProblem) -> ClassFloors {
        let parts = text.split(separator: " ").map { Int($0) }
        guard let floors = ClassFloors(parts.compactMap(\.self)), !parts.contains(nil) else {
            throw ValueProblem(
                "expected three whole numbers of at least 1 that make 100, such as 60 30 10, found '\(text)'")
        }
        return floors
    }

    private mutating func ledger(_ reader: inout SectionReader) {
        var ledger = LedgerRetention.standard
        // An hour at least: sums and records are compared by whole hours.
        let range = Duration.seconds(3_600)...Duration.seconds(800 * 86_400)
        ledger.records = reader.time("records", in: range) ?? ledger.records
        ledger.rollups = reader.time("rollups", in: range) ?? ledger.rollups
        if let most = reader.optional("max-records", LedgerRetention.count) { ledger.maximumRecords = most }
        configuration.ledger = ledger
    }

    /// An address that a program listens on; the same one twice is reported.
    private mutating func listen(_ key: String, _ reader: inout SectionReader) -> String? {
        guard let address = reader.required(key, PlainText.numericAddress) else { return nil }
        let position = reader.position(of: key)
        if let other = addresses.first(where: { $0.text == address }) {
            reader.report("'\(address)' is taken by line \(other.position.line)", at: position)
        }
        addresses.append((address, position))
        return address
    }

    mutating func finish() {
        published.checkReferences()
        problems += published.problems
        configuration.published = published.snapshot
        configuration.targetPlaces = published.targetPlaces
        for kind in ["cluster", "redis", "tls", "coordinator", "nodes"] where !isThere(kind) {
            problems.append(
                ConfigurationProblem(file: file, line: 1, column: 1, message: "a section [\(kind) …] is missing"))
        }
    }

    private func isThere(_ kind: String) -> Bool {
        kind == "coordinator" ? !configuration.coordinators.isEmpty : seen.contains(kind)
    }
}
