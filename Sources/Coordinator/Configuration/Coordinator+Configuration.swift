// Which configuration is in use: the file when it is applied, or a version of before when it is brought back.
import Core
import Net
import Policy
import Telemetry

/// Who changes the configuration, and why.
struct ConfigurationChange {
    var who: String
    var reason: String
    /// How many routes are to be left, when most of them are taken away on purpose: it is refused otherwise, here and by every node.
    var confirmedRoutes: Int?
}

/// What became of a change.
enum ConfigurationOutcome {
    /// It is published, as this version; without a number it is none, for the reason told.
    case published(version: Int64?, warning: String?)
    /// The old configuration stays.
    case refused([String])
}

extension Coordinator {
    /// Reads the file again; keeps the old configuration and tells every mistake when there is one.
    func apply(_ change: ConfigurationChange, then: @escaping (ConfigurationOutcome) -> Void) {
        do throws(ConfigurationSource.Problems) {
            let (fresh, text) = try source.read()
            take(fresh, text, change, holding: nil, then: then)
        } catch {
            refuse(error.list, then)
        }
    }

    /// Brings a version back. The file stays as it is, and differs from then on.
    func rollBack(to number: Int64, _ change: ConfigurationChange, then: @escaping (ConfigurationOutcome) -> Void) {
        guard let version = versions.history?.version(number) else {
            return then(.refused(["there is no version \(number); sluice config history lists those that are kept"]))
        }
        versions.texts(of: [number]) { [self] texts in
            guard let found = texts?.first, let text = found, text.digest == version.digest else {
                let reason = texts == nil ? "Redis cannot be reached" : "its text is not what it was"
                return refuse(["version \(number) cannot be read: \(reason)"], then)
            }
            do throws(ConfigurationSource.Problems) {
                let old = try source.parse(text)
                let holding =
                    "version \(number) was brought back; the file of coordinator \(own.name) is another: "
                    + "sluice apply takes it"
                var named = change
                let reason = change.reason.isEmpty ? "" : ": \(change.reason)"
                named.reason = "rollback to \(number)\(reason)".shortened(to: ConfigurationHistory.reasonLimit)
                var fresh = configuration
                fresh.published = old.published
                take(fresh, text, named, holding: text == fileText ? nil : holding, then: then)
            } catch {
                refuse(error.list, then)
            }
        }
    }

    private func take(
        _ fresh: ClusterConfiguration, _ text: ConfigurationText, _ change: ConfigurationChange,
        holding reason: String?,
        then: @escaping (ConfigurationOutcome) -> Void
    ) {
        var fresh = fresh
        if let notLeading { return refuse([notLeading], then) }
        if let problem = tooOldNodes(for: fresh.published) { return refuse([problem], then) }
        if versions.isRecording { return refuse(["another change is just being kept: try again"], then) }
        if let problem = fresh.published.follow(published, confirming: change.confirmedRoutes) {
            return refuse([problem], then)
        }
        configuration = fresh
        if reason == nil { fileText = text }
        holding = nil
        publishChange()
        // What is too large for nodes was not published.
        if let holding { return then(.refused([holding])) }
        holding = reason
        versions.record(
            text, who: change.who, reason: change.reason, epoch: epoch,
            atSeconds: lane.wallClockMicroseconds / 1_000_000
        ) { [self] number, problem in
            let name = number.map { "version \($0)" } ?? problem ?? "no version"
            note(problem == nil ? .info : .warning, "applied", "\(name), by \(change.who): \(change.reason)")
            then(.published(version: number, warning: problem))
        }
    }

    /// Nodes that would not obey a configuration, by name; nil when all subscribed ones can.
    private func tooOldNodes(for cluster: ClusterSnapshot) -> String? {
        guard let needed = RecordLevel.needed(by: cluster) else { return nil }
        let old = members.nodes.values.filter { $0.isConnected && $0.level < needed.level }
            .sorted { $0.number < $1.number }
        guard !old.isEmpty else { return nil }
        let names = old.prefix(8).map { "\($0.name) (version \($0.version), level \($0.level))" }
        return "\(needed.reason) needs nodes that read records of level \(needed.level); too old: "
            + names.joined(separator: ", ")
    }

    private func refuse(_ problems: [String], _ then: (ConfigurationOutcome) -> Void) {
        for problem in problems { note(.error, "configuration_kept", problem) }
        then(.refused(problems))
    }

    /// Keeps what a term began with as a version, where it is the file and the cluster has no other.
    func recordBeginning() {
        guard holding == nil, let history = versions.history, !versions.isRecording else { return }
        guard history.last == nil || !isOneOfSeveral else { return }
        versions.record(
            fileText, who: "coordinator \(own.name)".shortened(to: ConfigurationHistory.whoLimit), reason: "start",
            epoch: epoch, atSeconds: lane.wallClockMicroseconds / 1_000_000
        ) { [self] _, problem in
            if let problem { note(.warning, "configuration", problem) }
        }
    }
}

extension String {
    /// At most so many bytes, whole characters.
    func shortened(to limit: Int) -> String {
        var text = self
        while text.utf8.count > limit { text.removeLast() }
        return text
    }
}
