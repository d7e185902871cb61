// Reads the sections that are published: from cluster.conf at the coordinator, from a snapshot at a node.
import Core

struct SnapshotReader {
    let file: String
    var snapshot = ClusterSnapshot()
    var problems: [ConfigurationProblem] = []
    private var seen: [String: ConfigurationPosition] = [:]
    /// Where each target was named, so that a dangling reference is reported at its place.
    private var targetPositions: [(route: String, target: RouteTarget, position: ConfigurationPosition)] = []
    private var tenantPositions: [(org: String, team: String?, position: ConfigurationPosition)] = []

    init(file: String) { self.file = file }

    /// True when the section is of a kind that is published.
    @discardableResult mutating func read(_ section: ConfigurationDocument.Section) -> Bool {
        guard ClusterSnapshot.kinds.contains(section.kind) else { return false }
        var reader = SectionReader(section, file: file)
        if seen.updateValue(section.position, forKey: "\(section.kind) \(section.name)") != nil {
            reader.report("[\(section.kind) \(section.name)] stands twice", at: section.position)
        }
        switch section.kind {
        case "provider": provider(&reader)
        case "route": route(&reader)
        case "org", "team": tenant(&reader)
        case "price": price(&reader)
        default: key(&reader)
        }
        reader.finish()
        problems += reader.problems
        return true
    }

    private mutating func provider(_ reader: inout SectionReader) {
        var record = ProviderRecord(name: reader.section.name)
        if let kind = reader.required("kind", SnapshotReader.kind) { record.kind = kind }
        let plain = reader.optional("allow-plain-http", ConfigurationValue.flag) ?? false
        if let url = reader.required("base-url", PlainText.any) {
            record.baseURL = url
            if !url.hasPrefix("https://"), !(url.hasPrefix("http://") && plain) {
                reader.report(
                    "base-url must begin with https:// (or http:// together with allow-plain-http = yes)",
                    at: reader.section.position)
            }
        }
        record.apiKey = reader.optional("api-key", ConfigurationValue.secret)
        record.ca = reader.optional("ca", PlainText.any)
        if let field = reader.optional("limit-field", SnapshotReader.limitField) {
            record.usesLegacyLimitField = field == "max_tokens"
        }
        let connections = { (text: String) throws(ValueProblem) in
            try ConfigurationValue.integer(text, in: 1...65_535)
        }
        record.maximumConnections = reader.optional("max-connections", connections) ?? record.maximumConnections
        let time = ConfigurationValue.duration
        record.connectTimeout = reader.optional("connect-timeout", time) ?? record.connectTimeout
        record.firstEventTimeout = reader.optional("first-event-timeout", time) ?? record.firstEventTimeout
        record.idleTimeout = reader.optional("idle-timeout", time) ?? record.idleTimeout
        snapshot.providers[record.name] = record
    }

    private mutating func route(_ reader: inout SectionReader) {
        var record = RouteRecord(name: reader.section.name)
        let limit = { (text: String) throws(ValueProblem) in
            try ConfigurationValue.integer(text, in: 1...1_000_000)
        }
        if let most = reader.optional("max-output", limit) { record.maximumOutputTokens = Int64(most) }
        for (target, position) in reader.list("target", SnapshotReader.target) {
            record.targets.append(target)
            targetPositions.append((record.name, target, position))
        }
        if record.targets.isEmpty {
            reader.report("[route \(record.name)] needs at least one 'target'", at: reader.section.position)
        } else if record.targets.allSatisfy({ $0.weight == 0 }) {
            reader.report("[route \(record.name)] has no target with a weight above 0", at: reader.section.position)
        }
        snapshot.routes[record.name] = record
    }

    private mutating func tenant(_ reader: inout SectionReader) {
        let isTeam = reader.section.kind == "team"
        let parts = reader.section.name.split(separator: "/").map(String.init)
        guard parts.count == (isTeam ? 2 : 1), parts.allSatisfy({ (try? PlainText.name($0)) != nil }) else {
            let form = isTeam ? "[team org/team]" : "[org name]"
            return reader.report("expected a heading such as \(form)", at: reader.section.position)
        }
        var record = TenantRecord(org: parts[0], team: isTeam ? parts[1] : nil)
        let scope: LimitScope = isTeam ? .team : .org
        record.limits = reader.list("limit") { text throws(ValueProblem) in try Limit.parse(text, scope: scope) }
            .map(\.value)
        record.keyLimits = reader.list("key-limit") { text throws(ValueProblem) in try Limit.parse(text, scope: .key) }
            .map(\.value)
        do {
            _ = try LimitSet(version: 0, limits: record.limits + record.keyLimits)
        } catch {
            reader.report(error.description, at: reader.section.position)
        }
        tenantPositions.append((record.org, isTeam ? parts[1] : nil, reader.section.position))
        if isTeam { snapshot.teams[reader.section.name] = record } else { snapshot.orgs[record.org] = record }
    }

    private mutating func price(_ reader: inout SectionReader) {
        let input = reader.required("input", SnapshotReader.rate)
        let output = reader.required("output", SnapshotReader.rate)
        let cached = reader.optional("cached-input", SnapshotReader.rate)
        let written = reader.optional("cache-write", SnapshotReader.rate)
        guard let input, let output else { return }
        snapshot.prices[reader.section.name] = ModelPrice(
            input: input, output: output, cachedInput: cached, cacheWrite: written)
    }

    private mutating func key(_ reader: inout SectionReader) {
        var record = KeyRecord(id: reader.section.name)
        record.hash = reader.required("hash", SnapshotReader.hash) ?? ""
        record.org = reader.required("org", PlainText.name) ?? ""
        record.team = reader.required("team", PlainText.name) ?? ""
        record.label = reader.optional("label", PlainText.any) ?? ""
        record.models = reader.list("model", PlainText.any).map(\.value)
        record.expiresAtSeconds = reader.optional("expires") { text throws(ValueProblem) in
            Int64(try ConfigurationValue.integer(text, in: 0...Int(Int32.max) * 16))
        }
        record.isRevoked = reader.optional("revoked", ConfigurationValue.flag) ?? false
        snapshot.keys[record.id] = record
    }

    /// Reports references to sections that do not exist. Keys may outlive their team: they are then simply refused.
    mutating func checkReferences() {
        func report(_ message: String, _ position: ConfigurationPosition) {
            problems.append(
                ConfigurationProblem(file: file, line: position.line, column: position.column, message: message))
        }
        for (route, target, position) in targetPositions where snapshot.providers[target.provider] == nil {
            report("route \(route) names the provider '\(target.provider)', which does not exist", position)
        }
        for (org, team, position) in tenantPositions where team != nil && snapshot.orgs[org] == nil {
            report("the team belongs to the org '\(org)', which does not exist", position)
        }
    }

    private static func kind(_ text: String) throws(ValueProblem) -> ProviderRecord.Kind {
        if let kind = ProviderRecord.Kind(rawValue: text) { return kind }
        let known = ProviderRecord.Kind.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValueProblem("unknown kind of provider '\(text)'; known: \(known)")
    }

    private static func limitField(_ text: String) throws(ValueProblem) -> String {
        guard ["max_tokens", "max_completion_tokens"].contains(text) else {
            throw ValueProblem("expected max_tokens or max_completion_tokens, found '\(text)'")
        }
        return text
    }

    private static func target(_ text: String) throws(ValueProblem) -> RouteTarget {
        let words = text.split(separator: " ").map(String.init)
        let path = (words.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, words.count == 1 || (words.count == 3 && words[1] == "weight") else {
            throw ValueProblem("expected 'provider/model' or 'provider/model weight N', found '\(text)'")
        }
        let weight = words.count == 3 ? try ConfigurationValue.integer(words[2], in: 0...1_000_000) : 100
        return RouteTarget(provider: path[0], model: path[1], weight: weight)
    }

    /// `$0.10 / 1M tokens` in pico-USD a token.
    private static func rate(_ text: String) throws(ValueProblem) -> Int64 {
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, words[1...] == ["/", "1M", "tokens"] else {
            throw ValueProblem("expected a price such as '$0.10 / 1M tokens', found '\(text)'")
        }
        let rate = try ConfigurationValue.money(words[0]).amount
        guard rate <= ModelPrice.believable * 5 else {
            throw ValueProblem("\(words[0]) per million tokens cannot be believed")
        }
        return rate
    }

    private static func hash(_ text: String) throws(ValueProblem) -> String {
        guard text.utf8.count == 64, text.allSatisfy(\.isHexDigit) else {
            throw ValueProblem("expected the SHA-256 of the key's secret, 64 hexadecimal digits")
        }
        return text.lowercased()
    }
}
