// Reads [key …] sections, and says what does not fit the cluster.
import Core

extension SnapshotReader {
    /// True always: the section's kind is known. A published key that cannot be read has no rights; it does not hold back the others,
    /// for it may come from a newer coordinator.
    mutating func key(_ reader: inout SectionReader) -> Bool {
        var record = KeyRecord(id: reader.name(PlainText.keyID) ?? "")
        let secrets = reader.list("hash", SnapshotReader.secret)
        record.secrets = secrets.map(\.value)
        if secrets.count > KeyRecord.secretLimit {
            reader.report("at most \(KeyRecord.secretLimit) of 'hash'", at: secrets[KeyRecord.secretLimit].position)
        }
        for right in KeyRecord.Right.allCases { set(right, of: &record, &reader) }
        if record.secrets.isEmpty, !reader.section.entries.contains(where: { ["hash", "identity"].contains($0.key) }) {
            reader.report("[key \(record.id)] needs 'hash' or 'identity'", at: reader.section.position)
        }
        record.expiresAtSeconds = reader.number("expires", in: 0...KeyRecord.latestExpiry).map(Int64.init)
        record.revokedAtSeconds = reader.number("revoked-at", in: 0...KeyRecord.latestExpiry).map(Int64.init)
        record.isRevoked = reader.optional("revoked", ConfigurationValue.flag) ?? false
        reader.finish()
        if isPublished, let problem = reader.problems.first {
            snapshot.unreadableKeys[record.id] = problem.message
        } else {
            problems += reader.problems
            snapshot.keys[record.id] = record
        }
        return true
    }

    /// Sets one right to the values that the section has for it; a value that cannot be is reported at its place.
    private func set(_ right: KeyRecord.Right, of record: inout KeyRecord, _ reader: inout SectionReader) {
        var texts: [String] = []
        let base = record
        func take(_ text: String) throws(ValueProblem) {
            var trial = base
            try trial.set(right, to: texts + [text])
            texts.append(text)
        }
        if right.isList {
            _ = reader.list(right.rawValue, take)
        } else if right == .org || right == .team {
            _ = reader.required(right.rawValue, take)
        } else {
            _ = reader.optional(right.rawValue, take)
        }
        // Each value was accepted beside those before it.
        try? record.set(right, to: texts)
    }

    /// `<64 digits>` or `<64 digits> until <seconds since 1970>`.
    private static func secret(_ text: String) throws(ValueProblem) -> KeySecret {
        let words = text.split(separator: " ").map(String.init)
        guard let hash = words.first, hash.utf8.count == 64, hash.allSatisfy(\.isHexDigit),
            words.count == 1 || (words.count == 3 && words[1] == "until")
        else {
            throw ValueProblem(
                "expected the SHA-256 of the key's secret, 64 hexadecimal digits, and perhaps 'until SECONDS'")
        }
        let until = words.count == 3 ? try ConfigurationValue.integer(words[2], in: 0...KeyRecord.latestExpiry) : nil
        return KeySecret(hash: hash.lowercased(), validUntilSeconds: until.map(Int64.init))
    }
}

extension ClusterSnapshot {
    /// What a key names that the cluster does not have, one sentence each; and a certificate's identity that another key has.
    public func problems(of key: KeyRecord) -> [String] {
        var problems: [String] = []
        let team = teams["\(key.org)/\(key.team)"]
        if team == nil {
            let known = teams.keys.sorted().joined(separator: ", ")
            problems.append("there is no team '\(key.org)/\(key.team)'; known: \(known)")
        }
        for model in key.models where model != "*" && routes[model] == nil {
            let known = routes.keys.sorted().joined(separator: ", ")
            problems.append("there is no route '\(model)'; known: \(known), or * for all")
        }
        if let identity = key.identity,
            let other = keys.values.first(where: { $0.identity == identity && $0.id != key.id && !$0.isRevoked })
        {
            problems.append("the identity '\(identity)' belongs to the key '\(other.id)' already")
        }
        if let team, let org = orgs[key.org] {
            do {
                _ = try key.limitSet(version: 0, org: org, team: team)
            } catch {
                problems.append("together with the limits of its team: \(error.description)")
            }
        }
        return problems
    }
}
