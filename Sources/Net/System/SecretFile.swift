// Reads what a reference to a secret stands for: one rule for every program.
import Core

/// Why a secret cannot be used; never carries any of it.
public struct SecretProblem: Error, CustomStringConvertible, Sendable, Equatable {
    /// One sentence for an operator.
    public let description: String
}

/// Secrets in files and in the environment.
public enum SecretFile {
    /// The longest secret in a file, in bytes.
    public static let limit = 64 * 1024

    /// What `reference` stands for. A relative path begins at `folder`. Line ends behind the last character do not count; nothing else is cut.
    ///
    /// - Throws: when it cannot be read, is longer than `limit`, or is empty.
    public static func read(_ reference: SecretReference, in folder: String) throws(SecretProblem) -> Secret {
        switch reference {
        case .environment(let name):
            guard let text = Host.environment(name) else {
                throw SecretProblem(description: "the environment variable \(name) is not set")
            }
            return try secret(Array(text.utf8), "the environment variable \(name)")
        case .file(let file):
            let path = FileAccess.path(file, in: folder)
            let bytes: [UInt8]
            do throws(SystemFailure) {
                bytes = try FileAccess.read(path, limit: limit)
            } catch {
                throw SecretProblem(description: "\(error)")
            }
            return try secret(bytes, "'\(path)'")
        }
    }

    private static func secret(_ bytes: [UInt8], _ place: String) throws(SecretProblem) -> Secret {
        let kept = bytes.count - bytes.reversed().prefix { $0 == 10 || $0 == 13 }.count
        guard kept > 0 else { throw SecretProblem(description: "\(place) is empty") }
        return Secret(Array(bytes[..<kept]))
    }
}
