// Reads cluster.conf and the price list beside it; every mistake is told at once.
import Core
import Net
import Policy

/// Where the configuration comes from.
struct ConfigurationSource: Sendable {
    let path: String

    /// What cannot be used, one line a mistake.
    struct Problems: Error, CustomStringConvertible {
        let list: [String]
        var description: String { list.joined(separator: "\n") }
    }

    /// The folder of the file; relative paths begin here.
    var folder: String { FileAccess.folder(of: path) }

    func resolve(_ text: String) -> String { FileAccess.path(text, in: folder) }

    /// The configuration with the prices of every model that a route uses, and the texts that it was read from.
    func read() throws(Problems) -> (ClusterConfiguration, ConfigurationText) {
        var text = ConfigurationText()
        let configuration = try load { name throws(ValueProblem) in
            do {
                let bytes = try FileAccess.read(name, limit: ConfigurationDocument.sizeLimit)
                if name == path { text.file = bytes } else { text.prices = bytes }
                return bytes
            } catch {
                throw ValueProblem("\(error)")
            }
        }
        return (configuration, text)
    }

    /// A configuration of before.
    func parse(_ text: ConfigurationText) throws(Problems) -> ClusterConfiguration {
        try load { name throws(ValueProblem) in name == path ? text.file : text.prices }
    }

    private func load(
        reading read: (String) throws(ValueProblem) -> [UInt8]
    ) throws(Problems) -> ClusterConfiguration {
        do {
            return try ClusterConfiguration.load(path, reading: read)
        } catch {
            throw Problems(list: error.list.map(\.description))
        }
    }

    /// What a reference to a secret stands for.
    func secret(_ reference: SecretReference) throws(SecretProblem) -> Secret {
        try SecretFile.read(reference, in: folder)
    }
}
