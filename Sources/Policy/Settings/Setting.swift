// One setting of cluster.conf, declared once: reading, mistakes, published text, `sluice config` and the documents come from it.
import Core

/// Where a record keeps a value.
typealias FieldPath<Record, Value> = any WritableKeyPath<Record, Value> & Sendable

/// Who reads a setting.
struct SettingReaders: OptionSet, Sendable {
    let rawValue: UInt8

    /// Nodes.
    static let node = SettingReaders(rawValue: 1)
    /// Coordinators.
    static let coordinator = SettingReaders(rawValue: 2)
    /// The balancer, whose configuration `Scripts/lib/haproxy` writes.
    static let balancer = SettingReaders(rawValue: 4)
    /// The tool `sluice`.
    static let tool = SettingReaders(rawValue: 8)
    /// The scripts that start and stop a local cluster.
    static let scripts = SettingReaders(rawValue: 16)

    /// As documents name them.
    var words: String {
        let names = ["node", "coordinator", "balancer", "tool", "`Scripts`"]
        return names.indices.filter { rawValue & 1 << UInt8($0) != 0 }.map { names[$0] }.joined(separator: ", ")
    }
}

/// What holds where a setting is left out.
enum SettingDefault: Sendable, Equatable {
    /// It must stand.
    case needed
    /// The record's initial value, which is not published: records stay short, and nodes that do not know the line are not troubled by it.
    case initial
    /// The record's initial value, which is published all the same: people who read what nodes have see it.
    case shown
    /// What these words say. The record's initial value stands for it, and is not published.
    case words(String)
}

/// One setting of a section that is read into a `Record`.
struct Setting<Record: Sendable>: Sendable {
    /// The word before `=`.
    let key: String
    /// How often it may stand: more than once for a list, each value in a line of its own.
    let most: Int
    /// What holds where it is left out.
    let standard: SettingDefault
    /// The level of records (`RecordLevel`) that a node needs to read its published line.
    let level: UInt16
    /// What is accepted, in words.
    let range: String
    /// True for an address that a program listens on.
    let isListened: Bool
    /// Who reads it.
    let readers: SettingReaders
    /// What it is for: a sentence, in Markdown.
    let meaning: String
    /// Puts a value into the record. A list gets one more, beside those before.
    let take: @Sendable (String, inout Record) throws(ValueProblem) -> Void
    /// The values that the record has, as `take` reads them.
    let texts: @Sendable (Record) -> [String]
    /// Gives the second record the value of the first.
    let copy: @Sendable (Record, inout Record) -> Void
}

extension Setting {
    /// True when it may be repeated.
    var isList: Bool { most > 1 }

    /// A value that the record always has.
    init<Value>(
        _ key: String, _ path: FieldPath<Record, Value>, _ form: ValueForm<Value>,
        _ standard: SettingDefault = .initial, level: UInt16 = 0, by readers: SettingReaders, _ meaning: String
    ) {
        self.init(
            key: key, most: 1, standard: standard, level: level, range: form.words, isListened: form.isListened,
            readers: readers, meaning: meaning,
            take: { text, record throws(ValueProblem) in record[keyPath: path] = try form.read(text) },
            texts: { record in
                let text = form.write(record[keyPath: path])
                return text.isEmpty ? [] : [text]
            },
            copy: { from, to in to[keyPath: path] = from[keyPath: path] })
    }

    /// A value that the record may lack.
    init<Value>(
        _ key: String, optional path: FieldPath<Record, Value?>, _ form: ValueForm<Value>,
        _ standard: SettingDefault = .initial, level: UInt16 = 0, by readers: SettingReaders, _ meaning: String
    ) {
        self.init(
            key: key, most: 1, standard: standard, level: level, range: form.words, isListened: form.isListened,
            readers: readers, meaning: meaning,
            take: { text, record throws(ValueProblem) in record[keyPath: path] = try form.read(text) },
            texts: { record in record[keyPath: path].map { [form.write($0)] } ?? [] },
            copy: { from, to in to[keyPath: path] = from[keyPath: path] })
    }

    /// A list: each value has a line of its own. `fits` says why a value cannot stand beside those before it.
    init<Value>(
        _ key: String, list path: FieldPath<Record, [Value]>, _ form: ValueForm<Value>, most: Int,
        _ standard: SettingDefault = .initial, level: UInt16 = 0, by readers: SettingReaders, _ meaning: String,
        fits: @escaping @Sendable (Value, [Value]) throws(ValueProblem) -> Void = { _, _ throws(ValueProblem) in }
    ) {
        self.init(
            key: key, most: most, standard: standard, level: level, range: "\(form.words); list, at most \(most)",
            isListened: false, readers: readers, meaning: meaning,
            take: { text, record throws(ValueProblem) in
                let value = try form.read(text)
                let others = record[keyPath: path]
                guard others.count < most else { throw ValueProblem("at most \(most) of '\(key)'") }
                try fits(value, others)
                record[keyPath: path].append(value)
            }, texts: { record in record[keyPath: path].map(form.write) },
            copy: { from, to in to[keyPath: path] = from[keyPath: path] })
    }
}
