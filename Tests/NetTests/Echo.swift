// Machines and certificates for the tests of the engine.
import Core
import Foundation
import Net

/// Sends back what it receives, no more than `window` bytes at a time, and says how much it saw.
struct EchoMachine: Machine, ~Copyable {
    var pending = ByteBuffer()
    var received = 0
    var isFinished = false
    var deadline: Instant?
    var wantsInput: Bool { pending.count < 1 << 20 }

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Int? {
        guard input.count > 0 else { return nil }
        let count = input.count
        received += count
        pending.append(draining: &input)
        return count
    }

    mutating func inputEnded(at now: Instant) -> Int? { nil }
    mutating func advance(to now: Instant) -> Int? {
        deadline = nil
        return -1
    }
    mutating func transmit(into output: inout ByteBuffer, at now: Instant) { output.append(draining: &pending) }
}

/// Gathers what arrives and sends what the test gives it.
struct CollectMachine: Machine, ~Copyable {
    var toSend = ByteBuffer()
    var collected: [UInt8] = []
    var isFinished = false
    var deadline: Instant?
    var wantsInput = true

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Int? {
        guard input.count > 0 else { return nil }
        collected += input.array()
        input.removeAll()
        return collected.count
    }

    mutating func inputEnded(at now: Instant) -> Int? { nil }
    mutating func advance(to now: Instant) -> Int? { nil }
    mutating func transmit(into output: inout ByteBuffer, at now: Instant) { output.append(draining: &toSend) }
}

/// A lane's object that a test carries between threads; it is touched on its lane only.
struct OnLane<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
}

/// Runs `body` on the lane and waits for what it hands over.
func on<T>(_ lane: Lane, _ body: @escaping (@escaping (T) -> Void) -> Void) async -> T {
    let carried = OnLane(body)
    let result: OnLane<T> = await withCheckedContinuation { continuation in
        lane.execute { carried.value { continuation.resume(returning: OnLane($0)) } }
    }
    return result.value
}

/// A certificate authority with server and client certificates in a temporary folder.
struct TestAuthority {
    let folder: String
    private let newKey = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes"

    init() throws {
        folder = NSTemporaryDirectory() + "sluice-net-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        try openssl("req -x509 \(newKey) -days 2 -subj /CN=test-ca -keyout ca.key -out ca.pem")
        try issue("server", names: "DNS:localhost,IP:127.0.0.1")
        try issue("client", names: "URI:spiffe://sluice/node/7")
    }

    func path(_ name: String) -> String { "\(folder)/\(name)" }

    func issue(_ name: String, names: String, days: Int = 2) throws {
        try openssl("req \(newKey) -subj /CN=\(name) -keyout \(name).key -out \(name).csr")
        try Data("subjectAltName=\(names)\n".utf8).write(to: URL(fileURLWithPath: path("\(name).ext")))
        let authority = "-CA ca.pem -CAkey ca.key -CAcreateserial -days \(days)"
        try openssl("x509 -req -in \(name).csr \(authority) -extfile \(name).ext -out \(name).pem")
    }

    func openssl(_ arguments: String) throws {
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

    func server(clients: ClientCertificates = .off, protocols: [String] = ["sluice/1"]) throws -> TLSContext {
        try .server(
            certificate: path("server.pem"), key: path("server.key"), clientCA: path("ca.pem"), clients: clients,
            protocols: protocols)
    }

    func client(withCertificate: Bool = false, protocols: [String] = ["sluice/1"]) throws -> TLSContext {
        try .client(
            trust: .file(path("ca.pem")), certificate: withCertificate ? path("client.pem") : nil,
            key: withCertificate ? path("client.key") : nil, protocols: protocols)
    }
}

struct TestFailure: Error { let text: String; init(_ text: String) { self.text = text } }
