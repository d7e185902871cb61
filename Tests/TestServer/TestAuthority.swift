// Certificates for tests over real TLS.
import Foundation
package import Net

/// A certificate authority with a server's certificate in a temporary folder, made once for all tests.
package struct TestAuthority {
    package static let shared = Result { try TestAuthority() }

    package let folder: String

    package init() throws {
        folder = NSTemporaryDirectory() + "sluice-client-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"
        try openssl("req -x509 \(newKey) -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem")
        try openssl("req -x509 \(newKey) -days 2 -subj /CN=other-ca -keyout other.key -out other.pem")
        try openssl("req \(newKey) -subj /CN=server -keyout server.key -out server.csr")
        try Data("subjectAltName=DNS:localhost\n".utf8).write(to: URL(fileURLWithPath: "\(folder)/server.ext"))
        try openssl(
            "x509 -req -in server.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile server.ext -out server.pem"
        )
    }

    private func openssl(_ arguments: String) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        process.arguments = arguments.split(separator: " ").map(String.init)
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        process.standardError = FileHandle.nullDevice
        process.standardOutput = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw TestFailure(description: "openssl \(arguments)") }
    }

    package func server() throws -> TLSContext {
        try .server(certificate: "\(folder)/server.pem", key: "\(folder)/server.key", protocols: ["sluice/1"])
    }

    /// Trusts the authority that signed the server's certificate, or another one.
    package func client(trusting ca: String = "ca") throws -> TLSContext {
        try .client(trust: .file("\(folder)/\(ca).pem"), protocols: ["sluice/1"])
    }
}

extension Result where Success == TestAuthority {
    package func server() throws -> TLSContext { try get().server() }
    package func client(trusting ca: String = "ca") throws -> TLSContext { try get().client(trusting: ca) }
}
