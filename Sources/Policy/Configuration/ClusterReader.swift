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
        guard let kind = StartupSection.all.first(where: { $0.section.kind == section.kind }) else {
            let written = StartupSection.all.map(\.section.kind) + RecordKind.all.filter(\.isWritten).map(\.name)
            let known = written.joined(separator: ", ")
            reader.report("unknown kind of section '\(section.kind)'; known: \(known)", at: section.position)
            return problems += reader.problems
        }
        if !seen.insert(section.kind).inserted, !kind.isRepeated {
            reader.report("only one [\(section.kind) …] may stand in a file", at: section.position)
        }
        kind.read(&reader, &configuration)
        for entry in reader.accepted where kind.section.listenedKeys.contains(entry.key) { listen(entry, &reader) }
        problems += reader.problems
    }

    /// An address that a program listens on; the same one twice is reported.
    private mutating func listen(_ entry: ConfigurationDocument.Entry, _ reader: inout SectionReader) {
        if let other = addresses.first(where: { $0.text == entry.value }) {
            reader.report("'\(entry.value)' is taken by line \(other.position.line)", at: entry.valuePosition)
        }
        addresses.append((entry.value, entry.valuePosition))
    }

    mutating func finish() {
        published.checkReferences()
        problems += published.problems
        configuration.published = published.snapshot
        configuration.targetPlaces = published.targetPlaces
        for kind in StartupSection.all where kind.isNeeded && !seen.contains(kind.section.kind) {
            let message = "a section [\(kind.section.kind) …] is missing"
            problems.append(ConfigurationProblem(file: file, line: 1, column: 1, message: message))
        }
    }
}
