// Certificates for tests over real TLS.
import Foundation
package import Net

/// A certificate authority in a temporary folder, with a certificate for a server at localhost and one for a client, and another authority,
/// `other`, that signed nothing.
package struct TestAuthority: Sendable {
    /// Made once for tests that change nothing of it.
    package static let shared = Result { try TestAuthority() }

    package let folder: String
    private let newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

    package init() throws {
        folder = NSTemporaryDirectory() + "sluice-authority-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        for name in ["ca", "other"] {
            try openssl("req -x509 \(newKey) -days 2 -subj /CN=\(name) -keyout \(name).key -out \(name).pem")
        }
        try issue("server", names: "DNS:localhost,IP:127.0.0.1")
        try issue("client", names: "URI:spiffe://sluice/node/7")
    }

    /// A file of its folder.
    package func path(_ name: String) -> String { "\(folder)/\(name)" }

    /// Makes `NAME.pem` and `NAME.key`.
    package func issue(_ name: String, names: String, days: Int = 2) throws {
        try openssl("req \(newKey) -subj /CN=\(name) -keyout \(name).key -out \(name).csr")
        try Data("subjectAltName=\(names)\n".utf8).write(to: URL(fileURLWithPath: path("\(name).ext")))
        let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -days \(days)"
        try openssl("x509 -req -in \(name).csr \(authority) -extfile \(name).ext -out \(name).pem")
    }

    /// Runs the command in its folder.
    package func openssl(_ arguments: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestFailure("openssl \(arguments)") }
    }

    package func server(
        clients: ClientCertificates = .off, protocols: [String] = ["sluice/1"]
    ) throws -> TLSContext {
        try .server(
            certificate: path("server.pem"), key: path("server.key"), clientCA: path("ca.pem"), clients: clients,
            protocols: protocols)
    }

    /// Trusts the authority that signed the server's certificate, or another one.
    package func client(
        trusting ca: String = "ca", withCertificate: Bool = false, protocols: [String] = ["sluice/1"]
    ) throws -> TLSContext {
        try .client(
            trust: .file(path("\(ca).pem")), certificate: withCertificate ? path("client.pem") : nil,
            key: withCertificate ? path("client.key") : nil, protocols: protocols)
    }
}

extension Result where Success == TestAuthority {
    package func server() throws -> TLSContext { try get().server() }
    package func client(trusting ca: String = "ca") throws -> TLSContext { try get().client(trusting: ca) }
}
