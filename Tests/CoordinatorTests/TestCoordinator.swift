// A real coordinator process, or two of them, with a real Redis, in a folder of its own, and the calls that operators make.
import Core
import Foundation
import TestSupport
import Testing

struct CoordinatorFailure: Error, CustomStringConvertible { let description: String }

/// Processes that must not outlive the tests.
private enum Children {
    nonisolated(unsafe) private static var pids: [Int32] = []
    private static let lock = NSLock()
    private static let registration: Void = { _ = atexit { for pid in Children.pids { kill(pid, SIGKILL) } } }()

    static func add(_ pid: Int32) {
        _ = registration
        lock.withLock { pids.append(pid) }
    }
}

/// One coordinator, or the pair `a` and `b`, and its Redis; everything ends with `stop`.
final class TestCoordinator: @unchecked Sendable {
    let folder: URL
    let listen: UInt16
    let admin: UInt16
    /// Where `b` listens; nil when `a` is alone.
    let second: (listen: UInt16, admin: UInt16)?
    static let secret = "admin-secret-5e1b-0123456789abcdef"
    private var processes: [String: Process] = [:]
    /// How the admin port is spoken to.
    var adminScheme = "http"

    /// The size of the file system that holds the state of `a`, as mount takes it; nil: it is on the disk of the test.
    private let disk: String?

    init(pair: Bool = false, disk: String? = nil) throws {
        self.disk = disk
        second = pair ? (HeldPort.next(), HeldPort.next()) : nil
        folder = URL(fileURLWithPath: NSTemporaryDirectory()).appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        listen = HeldPort.next()
        admin = HeldPort.next()
        let scripts = folder.appending(path: "Scripts/lib")
        try FileManager.default.createDirectory(at: scripts, withIntermediateDirectories: true)
        try FileManager.default.createDirectory(
            at: folder.appending(path: "state"), withIntermediateDirectories: true)
        try write("state/admin.secret", TestCoordinator.secret + "\n")
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let make = scripts.appending(path: "certificates")
        try FileManager.default.copyItem(at: root.appending(path: "Scripts/lib/certificates"), to: make)
        _ = try run("/bin/bash", [make.path])
        try write("cluster.conf", configuration(routes: 4))
        try startRedis()
        try start()
        guard pair else { return }
        try wait("a leader", seconds: 20) { self.leader() == "a" }
        try start("b")
    }

    deinit { stop() }

    /// A cluster with `count` routes.
    func configuration(routes count: Int, more: String = "") -> String {
        let routes = (1...count).map { "[route chat-\($0)]\ntarget = sim/gpt-6-luna\n" }.joined()
        return """
            [cluster test]
            state-directory = \(disk == nil ? "state" : "disk")
            [redis main]
            address = unix:state/redis.sock
            [tls cluster]
            ca = state/pki/ca.pem
            certificate = state/pki/node.pem
            key = state/pki/node.key
            [coordinator a]
            listen = 127.0.0.1:\(listen)
            admin = 127.0.0.1:\(admin)
            admin-secret = file:state/admin.secret
            certificate = state/pki/coordinator.pem
            key = state/pki/coordinator.key
            \(secondSection)
            [nodes edge]
            [provider sim]
            kind = openai
            base-url = http://127.0.0.1:9/v1
            allow-plain-http = yes
            [org acme]
            [team acme/search]
            key-limit = 600 requests / minute
            \(routes)
            \(more)
            """
    }

    private var secondSection: String {
        guard let second else { return "" }
        return """
            [coordinator b]
            listen = 127.0.0.1:\(second.listen)
            admin = 127.0.0.1:\(second.admin)
            admin-secret = file:state/admin.secret
            certificate = state/pki/coordinator.pem
            key = state/pki/coordinator.key
            """
    }

    /// The process of a coordinator, and its log's name.
    static func name(_ coordinator: String) -> String { coordinator == "a" ? "coordinator" : "coordinator-b" }

    /// Who says to lead; nil while nobody or more than one does.
    func leader() -> String? {
        let leading = (second == nil ? ["a"] : ["a", "b"]).filter {
            http("GET", "/readyz", secret: nil, of: $0).json["leads"]?.bool == true
        }
        return leading.count == 1 ? leading[0] : nil
    }

    func write(_ name: String, _ text: String) throws { try Data(text.utf8).write(to: folder.appending(path: name)) }
    func path(_ name: String) -> String { folder.appending(path: name).path }
    func log(_ coordinator: String = "a") -> String {
        (try? String(contentsOfFile: path("\(TestCoordinator.name(coordinator)).log"), encoding: .utf8)) ?? ""
    }

    // MARK: - Processes

    private static var products: URL {
        Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL.deletingLastPathComponent()
            ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    }

    /// A built program.
    static func program(_ name: String) -> String { products.appending(path: name).path }

    func start(_ name: String = "a", configuration file: String = "cluster.conf") throws {
        let program = TestCoordinator.program("sluice-coordinator")
        let arguments = ["--config", path(file), "--name", name]
        if let disk {
            try FileManager.default.createDirectory(atPath: path("disk"), withIntermediateDirectories: true)
            let mount = "mount -t tmpfs -o size=\(disk) tmpfs \"$0\" && exec \"$@\""
            let words = ["-m", "/bin/sh", "-c", mount, path("disk"), program]
            try launch(TestCoordinator.name(name), "/usr/bin/unshare", words + arguments)
        } else {
            try launch(TestCoordinator.name(name), program, arguments)
        }
        try wait("the coordinator") { self.http("GET", "/livez", secret: nil, of: name).status == 200 }
        if second == nil { try wait("its lead", seconds: 60) { self.leader() == name } }
    }

    func startRedis() throws {
        let words = RedisCommand.words(socket: path("state/redis.sock"), folder: folder.path)
        try launch("redis", words[0], Array(words.dropFirst()))
        try wait("Redis") {
            (try? self.run("/usr/bin/redis-cli", ["-s", self.path("state/redis.sock"), "ping"]).output)
                == "PONG\n"
        }
    }

    /// A provider's simulator on a port of its own.
    func startSimulator(_ name: String, port: UInt16, _ arguments: [String] = []) throws {
        let program = TestCoordinator.program("sluice-provider-sim")
        try launch(name, program, ["--listen", "127.0.0.1:\(port)"] + arguments)
        try wait("the simulator \(name)") { self.simulator(port) != .null }
    }

    /// A simulator's counters.
    func simulator(_ port: UInt16) -> JSONValue {
        let answer = try? run("/usr/bin/curl", ["-s", "--max-time", "2", "http://127.0.0.1:\(port)/sim/stats"])
        return (try? JSONValue.parse(Array((answer?.output ?? "").utf8))) ?? .null
    }

    private func launch(_ name: String, _ executable: String, _ arguments: [String]) throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        let file = path("\(name).log")
        if !FileManager.default.fileExists(atPath: file) {
            _ = FileManager.default.createFile(atPath: file, contents: nil)
        }
        let handle = FileHandle(forWritingAtPath: file)
        _ = try handle?.seekToEnd()
        process.standardOutput = handle
        process.standardError = handle
        process.standardInput = FileHandle.nullDevice
        try process.run()
        Children.add(process.processIdentifier)
        processes[name] = process
    }

    /// Sends a signal; waits for the end when it is one that ends.
    func signal(_ name: String, _ number: Int32) {
        guard let process = processes[name] else { return }
        kill(process.processIdentifier, number)
        if number == SIGKILL || number == SIGTERM { process.waitUntilExit() }
    }

    /// True where a test may mount a file system that only its program sees: as root, mostly.
    static let canMount: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/unshare")
        process.arguments = ["-m", "mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", "/mnt"]
        process.standardError = FileHandle.nullDevice
        guard (try? process.run()) != nil else { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()

    /// A file on the file system of `a` alone, as this process sees it.
    func pathOnDisk(_ name: String) -> String { "/proc/\(pid() ?? 0)/root\(path("disk/\(name)"))" }

    /// The exit code of a coordinator that ends.
    func exitCode(_ coordinator: String = "a") -> Int32? {
        guard let process = processes[TestCoordinator.name(coordinator)] else { return nil }
        process.waitUntilExit()
        return process.terminationStatus
    }

    /// The process of a coordinator.
    func pid(_ coordinator: String = "a") -> Int32? {
        processes[TestCoordinator.name(coordinator)]?.processIdentifier
    }

    func stop() {
        for process in processes.values where process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        // Only programs that were built with a sanitizer say so.
        for name in processes.isEmpty ? [] : ["a", "b"] where log(name).contains("WARNING: ThreadSanitizer") {
            Issue.record("\(name): \(log(name).components(separatedBy: "WARNING: ThreadSanitizer")[1].prefix(3_000))")
        }
        processes = [:]
        try? FileManager.default.removeItem(at: folder)
    }

    func wait(_ what: String, seconds: Double = 15, _ condition: () -> Bool) throws {
        try waitOnThread(
            what, seconds: seconds, pause: .milliseconds(20), condition, otherwise: { "; log: \(log().suffix(800))" })
    }

    // MARK: - Asking

    @discardableResult func run(_ executable: String, _ arguments: [String]) throws -> (status: Int32, output: String) {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        let output = Pipe()
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return (process.terminationStatus, String(decoding: text, as: UTF8.self))
    }

    struct Answer {
        let status: Int
        let text: String
        var json: JSONValue { (try? JSONValue.parse(Array(text.utf8))) ?? .null }
    }

    func http(
        _ method: String, _ path: String, body: String? = nil, secret: String? = TestCoordinator.secret,
        of coordinator: String = "a"
    ) -> Answer {
        let admin = coordinator == "a" ? admin : second?.admin ?? 1
        var arguments = ["-s", "-X", method, "--max-time", "5", "-w", "\n%{http_code}", "-H", "Expect:"]
        if let secret { arguments += ["-H", "Authorization: Bearer \(secret)"] }
        if let body {
            try? write("body", body)
            arguments += ["--data-binary", "@\(self.path("body"))"]
        }
        if adminScheme == "https" { arguments += ["--cacert", self.path("state/pki/ca.pem")] }
        let answer = try? run("/usr/bin/curl", arguments + ["\(adminScheme)://127.0.0.1:\(admin)\(path)"])
        let lines = (answer?.output ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        return Answer(status: Int(lines.last ?? "") ?? 0, text: lines.dropLast().joined(separator: "\n"))
    }

    func url(_ path: String) -> String { "\(adminScheme)://127.0.0.1:\(admin)\(path)" }

    /// Writes the CA's list of revoked certificates, `state/pki/crl.pem`, with one more on it.
    func revoke(_ name: String?) throws {
        let made = try run(
            "/bin/bash",
            [
                "-c",
                """
                set -e
                cd state/pki
                touch crl.txt
                printf '[ca]\ndefault_ca=it\n[it]\ndatabase=crl.txt\ndefault_md=sha256\ndefault_crl_days=2\n' >crl.conf
                [ -z "$0" ] || openssl ca -config crl.conf -cert ca.pem -keyfile ca.key -revoke "$0.pem"
                openssl ca -config crl.conf -cert ca.pem -keyfile ca.key -gencrl -out crl.pem
                """, name ?? "",
            ])
        guard made.status == 0 else { throw CoordinatorFailure(description: "no list: \(made.output)") }
    }

    /// Makes `state/pki/NAME.pem` and `.key`, signed by the cluster's CA, with this URI.
    func certify(_ name: String, uri: String) throws {
        try write(
            "\(name).ext",
            "subjectAltName=DNS:localhost,IP:127.0.0.1,URI:\(uri)\nextendedKeyUsage=serverAuth,clientAuth\n")
        let made = try run(
            "/bin/bash",
            [
                "-c",
                """
                set -e
                cd state/pki
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=\(name) -keyout \(name).key \\
                    -out \(name).csr
                openssl x509 -req -in \(name).csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 \\
                    -extfile ../../\(name).ext -out \(name).pem
                """,
            ])
        guard made.status == 0 else { throw CoordinatorFailure(description: "no certificate: \(made.output)") }
    }

    func apply(_ body: String? = nil, of coordinator: String = "a") -> Answer {
        http("POST", "/v1/apply", body: body, of: coordinator)
    }
}
