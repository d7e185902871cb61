// A kind of section: its settings, in the order in which they are read, written and documented, and what they say about each other.
import Core

/// A kind of section that is read into a `Record` of its own.
struct SectionSchema<Record: Sendable>: Sendable {
    /// The first word of the heading.
    let kind: String
    /// The heading as people write it.
    let form: String
    /// What a section without a line stands for: each setting's default is what it has here.
    let initial: Record
    /// Its settings. A setting that depends on another one stands behind it.
    let settings: [Setting<Record>]
    private let heading: @Sendable (String, inout Record) throws(ValueProblem) -> Void
    private let rules: @Sendable (inout Record, inout SectionReader) -> Void
    private let initialTexts: [[String]]
    private let isAlwaysPublished: [Bool]

    /// `heading` takes the section's name; `rules` see the record when all lines were read, and report what does not fit together.
    init(
        _ kind: String, form: String, initial: Record,
        heading: @escaping @Sendable (String, inout Record) throws(ValueProblem) -> Void = {
            _, _ throws(ValueProblem) in
        }, _ settings: [Setting<Record>],
        rules: @escaping @Sendable (inout Record, inout SectionReader) -> Void = { _, _ in }
    ) {
        self.kind = kind
        self.form = form
        self.initial = initial
        self.heading = heading
        self.settings = settings
        self.rules = rules
        initialTexts = settings.map { $0.texts(initial) }
        isAlwaysPublished = settings.map { $0.standard == .needed || $0.standard == .shown }
    }

    /// Reads a section. Mistakes are reported to `reader`, all of them; the record then has what could be read.
    func read(_ reader: inout SectionReader, into record: inout Record) {
        do {
            try heading(reader.section.name, &record)
        } catch {
            reader.report(error.message, at: reader.section.position)
        }
        // By index: a setting is large to copy, and a snapshot has many sections.
        for index in settings.indices {
            guard reader.read(settings[index], into: &record) == 0, settings[index].standard == .needed else {
                continue
            }
            let setting = settings[index]
            let what = setting.isList ? "at least one '\(setting.key)'" : "'\(setting.key)'"
            reader.report("[\(kind) \(reader.section.name)] needs \(what)", at: reader.section.position)
        }
        // A setting that nothing enforces is a mistake.
        for entry in reader.section.entries where !settings.contains(where: { $0.key == entry.key }) {
            let known = settings.map(\.key).sorted().joined(separator: ", ")
            reader.report("unknown key '\(entry.key)' in [\(kind) …]; known: \(known)", at: entry.keyPosition)
        }
        rules(&record, &reader)
    }

    /// A section as it is published: what is not as initially, and what is shown in any case.
    func lines(of record: Record) -> [String] {
        var lines: [String] = []
        for index in settings.indices {
            let texts = settings[index].texts(record)
            guard texts != initialTexts[index] || isAlwaysPublished[index] else { continue }
            for text in texts { lines.append(settings[index].key + " = " + text) }
        }
        return lines
    }

    /// Each setting's value in a record, by its name in `sluice config get`; a list's values with blanks between them.
    func values(of record: Record, named name: String) -> [(name: String, value: String)] {
        settings.map { ("\(name).\($0.key)", $0.texts(record).joined(separator: " ")) }
    }

    /// The setting with a key of this schema.
    func setting(_ key: String) -> Setting<Record> {
        guard let setting = settings.first(where: { $0.key == key }) else {
            preconditionFailure("[\(kind)] declares no setting '\(key)'")
        }
        return setting
    }
}

/// What is said about a kind of section without its record's type.
protocol SectionDescription: Sendable {
    /// The first word of the heading.
    var kind: String { get }
    /// The heading as people write it.
    var form: String { get }
    /// The settings as a table of Docs/configuration.md.
    var table: String { get }
    /// Keys of addresses that programs listen on.
    var listenedKeys: [String] { get }
    /// Keys whose published lines a node of level 0 does not know.
    var levels: [(key: String, level: UInt16)] { get }
}

extension SectionSchema: SectionDescription {
    var listenedKeys: [String] { settings.filter(\.isListened).map(\.key) }
    var levels: [(key: String, level: UInt16)] { settings.filter { $0.level > 0 }.map { ($0.key, $0.level) } }

    var table: String {
        let rows = zip(settings, initialTexts).map { setting, texts in
            let standard =
                switch setting.standard {
                case .needed: "needed"
                case .words(let words): words
                case .initial, .shown: texts.isEmpty ? "none" : texts.map { "`\($0)`" }.joined(separator: ", ")
                }
            let cells = ["`\(setting.key)`", setting.range, standard, setting.meaning, setting.readers.words]
            return "| \(cells.joined(separator: " | ")) |\n"
        }
        return "| Key | Value | Default | Meaning | Read by |\n|---|---|---|---|---|\n" + rows.joined()
    }
}
