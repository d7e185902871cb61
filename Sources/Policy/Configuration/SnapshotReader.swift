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

    /// True when the section is of a kind that is published.
    @discardableResult mutating func read(_ section: ConfigurationDocument.Section) -> Bool {
        guard let kind = RecordKind.all.first(where: { $0.name == section.kind }), isPublished || kind.isWritten else {
            return false
        }
        var reader = SectionReader(section, file: file)
        let heading = "\(section.kind) \(section.name)"
        if let other = headings[heading] {
            reader.report("[\(heading)] stands twice; the other is in line \(other.line)", at: section.position)
        }
        headings[heading] = section.position
        kind.read(&reader, &snapshot)
        if isPublished, let refused = kind.refused, let problem = reader.problems.first {
            kind.remove(&snapshot, section.name)
            snapshot[keyPath: refused][section.name] = problem.message
        } else {
            problems += reader.problems
        }
        targetPlaces += reader.targets
        return true
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
}
