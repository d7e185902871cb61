// The settings of [key ID]: its secrets, its rights, its end.
import Core

extension KeyRecord {
    static let schema = SectionSchema(
        "key", form: "[key ID]", initial: KeyRecord(id: ""),
        heading: { name, record throws(ValueProblem) in record.id = try PlainText.keyID(name) },
        secrets + rights + ends,
        rules: { record, reader in
            if record.secrets.isEmpty, !reader.has("hash"), !reader.has("identity") {
                reader.report("[key \(record.id)] needs 'hash' or 'identity'", at: reader.section.position)
            }
        })

    private static let secrets: [Setting<KeyRecord>] = [
        Setting(
            "hash", list: \.secrets, .hash, most: secretLimit, .words("this or `identity`"), by: .node,
            "SHA-256 of a secret, hexadecimal; one that is being replaced is valid until then")
    ]

    private static let rights: [Setting<KeyRecord>] = [
        Setting(Right.org.rawValue, \.org, .text("name", read: PlainText.name), .needed, by: .node, "whose it is"),
        Setting(
            Right.team.rawValue, \.team, .text("name", read: PlainText.name), .needed, by: .node,
            "whom its requests are counted on"),
        Setting(
            Right.label.rawValue, \.label, .text("one line, at most 64 bytes", read: PlainText.label), by: .tool,
            "what people call it"),
        Setting(
            Right.identity.rawValue, optional: \.identity, .text("URI", read: PlainText.identity), by: .node,
            "of a client certificate that opens it without a secret"),
        Setting(
            Right.model.rawValue, list: \.models, .text("alias of a route, `*`", read: PlainText.aliasOrAll),
            most: listLimit, by: .node, "a route that it may name, `*` for all; without any it may name none"),
        operation,
        Setting(
            Right.feature.rawValue, list: \.features, .text("name", read: PlainText.alias), most: listLimit,
            .words("any"), by: .node, "a feature tag that it may name; it must name one of them"),
        Setting(
            Right.priority.rawValue, \.highestPriority, .priority, by: .node, "the most urgent class that it may use"),
        Setting(
            Right.passthrough.rawValue, \.mayPassThrough, .flag, by: .node,
            "whether its requests may add members that a provider's section lists"),
        Setting(
            Right.limit.rawValue, list: \.limits, .limit(.key), most: limitLimit, by: .node,
            "a limit of its own; it tightens a `key-limit` that has the same counter", fits: ValueForm.fitsBeside),
        Setting(
            Right.network.rawValue, list: \.networks, .network, most: listLimit, .words("anywhere"), by: .node,
            "where it may come from"),
    ]

    private static let ends: [Setting<KeyRecord>] = [
        Setting(
            "expires", optional: \.expiresAtSeconds, .second, .words("never"), by: .node, "when it stops working"),
        Setting("revoked", \.isRevoked, .flag, by: .node, "`yes` ends also what is under way"),
        Setting(
            "revoked-at", optional: \.revokedAtSeconds, .second, by: .coordinator,
            "90 days later a coordinator removes the record"),
    ]

    /// A line may name all operations, so it is not a plain list.
    private static let operation = Setting<KeyRecord>(
        key: Right.operation.rawValue, most: listLimit, standard: .initial, level: 0,
        range: "\(ValueForm<String>.choice(KeyOperation.allCases.map(\.description) + ["*"])); list", isListened: false,
        readers: .node, meaning: "what it may ask for; without any it may ask for nothing",
        take: { text, record throws(ValueProblem) in
            let named: [KeyOperation]
            if let one = KeyOperation.allCases.first(where: { $0.description == text }) {
                named = record.operations + [one]
            } else if text == "*" {
                named = KeyOperation.allCases
            } else {
                let known = KeyOperation.allCases.map(\.description).joined(separator: ", ")
                throw ValueProblem("expected \(known) or *, found '\(text)'")
            }
            record.operations = KeyOperation.allCases.filter(named.contains)
        },
        texts: { record in
            Set(record.operations) == Set(KeyOperation.allCases) ? ["*"] : record.operations.map(\.description)
        }, copy: { from, to in to.operations = from.operations })
}

// MARK: - Forms

extension ValueForm where Value == KeySecret {
    /// `<64 digits>` or `<64 digits> until <seconds since 1970>`.
    fileprivate static var hash: ValueForm {
        ValueForm(
            words: "64 digits, or with `until SECONDS`",
            read: { text throws(ValueProblem) in
                let words = text.split(separator: " ").map(String.init)
                guard let hash = words.first, hash.utf8.count == 64,
                    hash.utf8.allSatisfy({ $0 &- 0x30 < 10 || ($0 | 0x20) &- 0x61 < 6 }),
                    words.count == 1 || (words.count == 3 && words[1] == "until")
                else {
                    throw ValueProblem(
                        "expected the SHA-256 of the key's secret, 64 hexadecimal digits, and perhaps 'until SECONDS'")
                }
                let until = words.count == 3 ? try ValueForm<Int64>.second.read(words[2]) : nil
                return KeySecret(hash: hash.lowercased(), validUntilSeconds: until)
            }, write: { $0.hash + ($0.validUntilSeconds.map { " until \($0)" } ?? "") })
    }
}

extension ValueForm where Value == Int64 {
    /// Seconds since 1970.
    fileprivate static var second: ValueForm {
        let form = ValueForm.number(0...KeyRecord.latestExpiry)
        return ValueForm(words: "seconds since 1970", read: form.read, write: form.write)
    }
}

extension ValueForm where Value == PriorityClass {
    fileprivate static var priority: ValueForm {
        let words = PriorityClass.allCases.map(\.description)
        return ValueForm(
            words: ValueForm<String>.choice(words),
            read: { text throws(ValueProblem) in
                if let priority = PriorityClass.allCases.first(where: { $0.description == text }) { return priority }
                throw ValueProblem("expected \(ConfigurationValue.choice(of: words)), found '\(text)'")
            }, write: \.description)
    }
}

extension ValueForm where Value == Network {
    /// `10.0.0.0/8` or an address alone.
    static var network: ValueForm {
        ValueForm(
            words: "network", read: { text throws(ValueProblem) in try Network.parse(text) }, write: \.description)
    }
}
