// Reads the sections that are published: from cluster.conf at the coordinator, from a snapshot at a node.
import Core

struct SnapshotReader {
    let file: String
    var snapshot = ClusterSnapshot()
    var problems: [ConfigurationProblem] = []
    /// Where each target is named.
    private(set) var targetPlaces: [ClusterConfiguration.TargetPlace] = []
    /// True for what a coordinator published, false for what people wrote.
    let isPublished: Bool
    private var headings: [String: ConfigurationPosition] = [:]

    init(file: String, isPublished: Bool) {
        self.file = file
        self.isPublished = isPublished
    }

    /// The kinds that people may write; the others are made by coordinators.
    static let writtenKinds = ClusterSnapshot.kinds.filter {
        !["confirmation", "fleet", "share", "canary", "spread"].contains($0)
    }

    /// True when the section is of a kind that is published.
    @discardableResult mutating func read(_ section: ConfigurationDocument.Section) -> Bool {
        guard (isPublished ? ClusterSnapshot.kinds : SnapshotReader.writtenKinds).contains(section.kind) else {
            return false
        }
        var reader = SectionReader(section, file: file)
        let heading = "\(section.kind) \(section.name)"
        if let other = headings[heading] {
            reader.report("[\(heading)] stands twice; the other is in line \(other.line)", at: section.position)
        }
        headings[heading] = section.position
        switch section.kind {
        case "provider": provider(&reader)
        case "route": route(&reader)
        case "org", "team": tenant(&reader)
        case "price": price(&reader)
        case "key": return key(&reader)
        case "fleet": snapshot.fleet = reader.number("count", in: 1...100_000) ?? 1
        case "share": snapshot.shares[section.name] = SnapshotReader.shares(&reader)
        case "spread": snapshot.connectionLevels = SnapshotReader.shares(&reader)
        case "canary": snapshot.canaries[section.name] = SnapshotReader.canary(&reader)
        default: snapshot.confirmedRouteCount = reader.number("routes", in: 0...1_000_000)
        }
        reader.finish()
        problems += reader.problems
        return true
    }

    private mutating func provider(_ reader: inout SectionReader) {
        var record = ProviderRecord(name: reader.name(PlainText.name) ?? "")
        if let kind = reader.required("kind", SnapshotReader.kind) { record.kind = kind }
        record.allowsPlainHTTP = reader.optional("allow-plain-http", ConfigurationValue.flag) ?? false
        if let url = reader.required("base-url", PlainText.any) {
            record.baseURL = url
            if !url.hasPrefix("https://"), !(url.hasPrefix("http://") && record.allowsPlainHTTP) {
                reader.report(
                    "base-url must begin with https:// (or http:// together with allow-plain-http = yes)",
                    at: reader.position(of: "base-url"))
            } else if BaseURL(url) == nil {
                reader.report(
                    "expected a URL such as https://api.openai.com/v1, without a user or a fragment, found '\(url)'",
                    at: reader.position(of: "base-url"))
            }
        }
        record.apiKey = reader.optional("api-key", ConfigurationValue.secret)
        record.ca = reader.optional("ca", PlainText.any)
        if record.ca != nil, record.baseURL.hasPrefix("http://") {
            reader.report("a CA has no meaning for http://", at: reader.position(of: "ca"))
        }
        record.usesLegacyLimitField =
            reader.choice("limit-field", of: ["max_tokens", "max_completion_tokens"]) == "max_tokens"
        let options = reader.choice("stream-options", of: StreamOptions.allCases.map(\.rawValue))
        record.streamOptions = options.flatMap(StreamOptions.init) ?? .full
        let field = reader.choice("user-field", of: UserField.allCases.map(\.rawValue))
        record.userField = field.flatMap(UserField.init) ?? .safetyIdentifier
        let role = reader.choice("developer-role", of: DeveloperRole.allCases.map(\.rawValue))
        record.developerRole = role.flatMap(DeveloperRole.init) ?? .developer
        record.passthrough = reader.optional("passthrough", PassthroughMembers.parse) ?? PassthroughMembers.none
        record.maximumConnections = reader.number("max-connections", in: 1...65_535) ?? record.maximumConnections
        concurrency(&reader, &record)
        record.hasBreaker = reader.optional("breaker", ConfigurationValue.flag) ?? true
        let (least, most) = (Duration.milliseconds(1), Duration.seconds(600))
        record.connectTimeout = reader.time("connect-timeout", in: least ... .seconds(60)) ?? record.connectTimeout
        record.firstEventTimeout = reader.time("first-event-timeout", in: least...most) ?? record.firstEventTimeout
        record.idleTimeout = reader.time("idle-timeout", in: least...most) ?? record.idleTimeout
        record.drain = reader.optional("on-cancel", SnapshotReader.drain) ?? nil
        record.probe = reader.probe()
        snapshot.providers[record.name] = record
    }

    /// Lines of a node's number and what it may have.
    private static func shares(_ reader: inout SectionReader) -> [UInt32: Int] {
        let pairs = reader.list("node") { text throws(ValueProblem) -> (UInt32, Int) in
            let words = text.split(separator: " ")
            guard words.count == 2, let node = UInt32(words[0]), let share = Int(words[1]),
                (0...1_000_000_000).contains(share)
            else {
                throw ValueProblem("expected a node's number and a count, found '\(text)'")
            }
            return (node, share)
        }
        return Dictionary(pairs.map(\.0)) { $1 }
    }

    private func concurrency(_ reader: inout SectionReader, _ record: inout ProviderRecord) {
        let most = reader.number("max-concurrency", in: 1...65_535) ?? record.maximumConnections
        record.capacity = reader.number("capacity", in: 1...1_000_000)
        let least = reader.number("min-concurrency", in: 1...65_535) ?? most
        if most > record.maximumConnections {
            reader.report(
                "max-concurrency is more than max-connections (\(record.maximumConnections)): each call has a connection",
                at: reader.position(of: "max-concurrency"))
        } else if least > most {
            reader.report(
                "min-concurrency is more than max-concurrency (\(most))", at: reader.position(of: "min-concurrency"))
        } else {
            record.concurrency = least...most
        }
    }

    private mutating func route(_ reader: inout SectionReader) {
        var record = RouteRecord(name: reader.name(PlainText.alias) ?? "")
        if let most = reader.number("max-output", in: 1...1_000_000) { record.maximumOutputTokens = Int64(most) }
        record.attempts = reader.number("attempts", in: 1...5) ?? record.attempts
        let times: ClosedRange<Duration> = .milliseconds(1) ... .seconds(600)
        record.firstEventTimeout = reader.time("first-event-timeout", in: times)
        record.idleTimeout = reader.time("idle-timeout", in: times)
        record.affinity = reader.number("affinity", in: PromptPrefix.lengths)
        record.isHedged = reader.choice("hedge", of: ["off", "interactive"]) == "interactive"
        mirror(&reader, &record)
        for (target, position) in reader.list("target", SnapshotReader.target) {
            if record.targets.contains(where: { $0.provider == target.provider && $0.model == target.model }) {
                reader.report("'\(target.provider)/\(target.model)' is named twice", at: position)
            }
            if record.targets.count == RouteRecord.targetLimit {
                reader.report("a route has at most \(RouteRecord.targetLimit) targets", at: position)
                break
            }
            record.targets.append(target)
            targetPlaces.append(
                ClusterConfiguration.TargetPlace(route: record.name, target: target, position: position))
        }
        if !reader.section.entries.contains(where: { $0.key == "target" }) {
            reader.report("[route \(record.name)] needs at least one 'target'", at: reader.section.position)
        } else if !record.targets.isEmpty, record.targets.allSatisfy({ $0.weight == 0 || $0.isForOverload }) {
            let besides = record.targets.contains(where: \.isForOverload) ? " besides those of 'group overload'" : ""
            reader.report(
                "[route \(record.name)] has no target with a weight above 0\(besides)", at: reader.section.position)
        }
        snapshot.routes[record.name] = record
    }

    private mutating func mirror(_ reader: inout SectionReader, _ record: inout RouteRecord) {
        record.mirror = reader.optional("mirror", SnapshotReader.mirror)
        guard let mirror = record.mirror else { return }
        targetPlaces.append(
            ClusterConfiguration.TargetPlace(
                route: record.name, target: mirror.target, position: reader.position(of: "mirror")))
    }

    private mutating func tenant(_ reader: inout SectionReader) {
        let isTeam = reader.section.kind == "team"
        let parts = reader.section.name.split(separator: "/", omittingEmptySubsequences: false).map(String.init)
        guard parts.count == (isTeam ? 2 : 1), parts.allSatisfy({ (try? PlainText.name($0)) != nil }) else {
            let form = isTeam ? "[team org/team]" : "[org name]"
            reader.report("expected a heading such as \(form)", at: reader.section.position)
            return
        }
        var record = TenantRecord(org: parts[0], team: isTeam ? parts[1] : nil)
        record.limits = limits("limit", scope: isTeam ? .team : .org, &reader)
        record.keyLimits = limits("key-limit", scope: .key, &reader)
        if !isTeam {
            record.isClosedWithoutState = reader.choice("without-redis", of: ["share", "refuse"]) == "refuse"
        }
        if isTeam, let weight = reader.number("weight", in: 1...1_000) { record.weight = weight }
        if isTeam { snapshot.teams[reader.section.name] = record } else { snapshot.orgs[record.org] = record }
    }

    /// The limits of one key of the section; one that cannot stand beside those before it is reported at its place.
    private func limits(_ key: String, scope: LimitScope, _ reader: inout SectionReader) -> [Limit] {
        var limits: [Limit] = []
        let found = reader.list(key) { text throws(ValueProblem) in try Limit.parse(text, scope: scope) }
        for (limit, position) in found {
            do {
                _ = try LimitSet(version: 0, limits: limits + [limit])
                limits.append(limit)
            } catch {
                reader.report(error.description, at: position)
            }
        }
        return limits
    }

    /// Reports what sections say of each other and what is not so. Keys of Redis may outlive their team: they are then refused.
    mutating func checkReferences() {
        for place in targetPlaces {
            if snapshot.providers[place.target.provider] == nil {
                report("the provider '\(place.target.provider)' does not exist", at: place.position)
            }
            for case .team(let team) in place.target.conditions where snapshot.teams[team] == nil {
                report("the team '\(team)' does not exist", at: place.position)
            }
        }
        let used = Set(targetPlaces.map(\.target.model))
        for model in snapshot.prices.keys where !used.contains(model) {
            report(
                "no route has a target with the model '\(model)', so this price has no effect",
                atHeading: "price \(model)")
        }
        for (name, team) in snapshot.teams {
            guard let org = snapshot.orgs[team.org] else {
                report("the org '\(team.org)' does not exist", atHeading: "team \(name)")
                continue
            }
            do {
                let all = org.limits + team.limits + org.keyLimits + team.keyLimits
                _ = try LimitSet(version: 0, limits: all)
                let most = LimitSet.maximumCount - KeyRecord.limitLimit
                if all.count > most {
                    let text = "\(all.count) limits apply to a request; at most \(most), beside a key's own"
                    report(text, atHeading: "team \(name)")
                }
            } catch {
                report("together with the limits of [org \(team.org)]: \(error.description)", atHeading: "team \(name)")
            }
        }
        for (id, key) in snapshot.keys {
            for problem in snapshot.problems(of: key) { report(problem, atHeading: "key \(id)") }
        }
    }

    private mutating func report(_ message: String, atHeading heading: String) {
        report(message, at: headings[heading] ?? ConfigurationPosition(line: 1, column: 1))
    }

    private mutating func report(_ message: String, at position: ConfigurationPosition) {
        problems.append(
            ConfigurationProblem(file: file, line: position.line, column: position.column, message: message))
    }

    private static func kind(_ text: String) throws(ValueProblem) -> ProviderRecord.Kind {
        if let kind = ProviderRecord.Kind(rawValue: text) { return kind }
        let known = ProviderRecord.Kind.allCases.map(\.rawValue).joined(separator: ", ")
        throw ValueProblem("unknown kind of provider '\(text)'; known: \(known)")
    }

    private static func target(_ text: String) throws(ValueProblem) -> RouteTarget {
        let words = text.split(separator: " ").map(String.init)
        let path = (words.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        guard path.count == 2, words.count % 2 == 1 else {
            throw ValueProblem(
                "expected 'provider/model', and perhaps 'weight N', 'group N', conditions, found '\(text)'")
        }
        // REPORT frames carry `provider/model` in at most 128 bytes.
        guard words[0].utf8.count <= 128 else { throw ValueProblem("expected at most 128 bytes before 'weight'") }
        var (weight, group): (Int?, Int?)
        var conditions: [TargetCondition] = []
        for place in stride(from: 1, to: words.count, by: 2) {
            switch words[place] {
            case "weight" where weight == nil:
                weight = try ConfigurationValue.integer(words[place + 1], in: 0...1_000_000)
            case "group" where group == nil:
                group = try SnapshotReader.group(words[place + 1])
            case "team", "feature", "priority":
                let condition = try SnapshotReader.condition(words[place], words[place + 1])
                guard !conditions.contains(condition), conditions.count < RouteTarget.conditionLimit else {
                    throw ValueProblem("at most \(RouteTarget.conditionLimit) conditions, each once")
                }
                conditions.append(condition)
            default:
                throw ValueProblem(
                    "expected 'weight N' or 'group N', each once, 'team ORG/TEAM', 'feature NAME' or 'priority CLASS', "
                        + "found '\(words[place])'")
            }
        }
        return RouteTarget(
            provider: path[0], model: path[1], weight: weight ?? 100, group: group ?? 1, conditions: conditions)
    }

    private static func condition(_ kind: String, _ value: String) throws(ValueProblem) -> TargetCondition {
        switch kind {
        case "team":
            guard value.split(separator: "/", omittingEmptySubsequences: false).count == 2 else {
                throw ValueProblem("expected 'team ORG/TEAM', found 'team \(value)'")
            }
            return .team(value)
        case "feature":
            guard value.utf8.count <= 64 else { throw ValueProblem("a feature has at most 64 bytes") }
            return .feature(value)
        default:
            guard let priority = PriorityClass.allCases.first(where: { $0.description == value }) else {
                let known = PriorityClass.allCases.map(\.description).joined(separator: ", ")
                throw ValueProblem("expected a class (\(known)), found 'priority \(value)'")
            }
            return .priority(priority)
        }
    }
}
