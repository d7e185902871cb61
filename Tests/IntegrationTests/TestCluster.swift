// A real cluster of real processes for one suite: Redis, coordinator, simulator, two nodes, HAProxy, on free ports.
import Core
import Foundation

/// Why a cluster did not come up; names the log.
struct ClusterFailure: Error, CustomStringConvertible {
    let description: String
}

/// Children of this process, killed when it ends: a suite's cluster lives as long as the suite's process.
private enum Children {
    nonisolated(unsafe) private static var pids: [Int32] = []
    private static let lock = NSLock()
    private static let registration: Void = { _ = atexit { for pid in Children.pids { kill(pid, SIGKILL) } } }()

    static func add(_ pid: Int32) {
        _ = registration
        lock.withLock { pids.append(pid) }
    }
}

/// Processes and files in a temporary folder; everything ends with `stop`.
final class TestCluster: @unchecked Sendable {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()
    let folder: URL
    let port: [String: Int]
    private var processes: [String: Process] = [:]
    private(set) var key = ""

    /// Where the built programs are: beside the tests themselves.
    static var products: URL {
        Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL.deletingLastPathComponent()
            ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()
    }

    init(teamLimits: String = "") throws {
        folder = URL(fileURLWithPath: NSTemporaryDirectory()).appending(path: "sluice-\(UUID().uuidString.prefix(8))")
        try FileManager.default.createDirectory(
            at: folder.appending(path: "state/pki"), withIntermediateDirectories: true)
        let base = try TestCluster.freeBase()
        port = [
            "balancer": base, "coordinator": base + 1, "admin": base + 2, "sim": base + 3, "node": base + 10,
            "nodeAdmin": base + 20,
        ]
        try writeFiles(teamLimits)
        try start()
    }

    deinit { stop() }

    // MARK: - Files

    private func writeFiles(_ teamLimits: String) throws {
        try write(
            "cluster.conf",
            """
            [cluster test]
            state-directory = state
            [redis main]
            address = unix:state/redis.sock
            [tls cluster]
            ca = state/pki/ca.pem
            certificate = state/pki/node.pem
            key = state/pki/node.key
            [coordinator a]
            listen = 127.0.0.1:\(at("coordinator"))
            admin = 127.0.0.1:\(at("admin"))
            admin-secret = file:state/admin.secret
            certificate = state/pki/coordinator.pem
            key = state/pki/coordinator.key
            [nodes edge]
            base-port = \(at("node"))
            admin-base-port = \(at("nodeAdmin"))
            lanes = 1
            drain-notice = 2s
            drain-limit = 10s
            [provider sim]
            kind = openai
            base-url = http://127.0.0.1:\(at("sim"))/v1
            allow-plain-http = yes
            api-key = file:state/provider.key
            [price gpt-6-luna]
            input = $0.10 / 1M tokens
            output = $0.50 / 1M tokens
            [route chat-default]
            target = sim/gpt-6-luna
            [org acme]
            limit = 1M requests / minute
            [team acme/search]
            [team acme/narrow]
            limit = 2 requests / hour burst 2
            \(teamLimits)
            """)
        try write("state/admin.secret", "admin-canary-7f3a9c\n")
        try write("state/provider.key", "provider-canary-51be20\n")
        let make = TestCluster.root.appending(path: "Scripts/lib/certificates")
        let scripts = folder.appending(path: "Scripts/lib")
        try FileManager.default.createDirectory(at: scripts, withIntermediateDirectories: true)
        try FileManager.default.copyItem(at: make, to: scripts.appending(path: "certificates"))
        try run("/bin/bash", [scripts.appending(path: "certificates").path])
        let servers = [1, 2].map {
            "server node\($0) 127.0.0.1:\(at("node") + $0) check port \(at("nodeAdmin") + $0) inter 200ms fall 2 rise 1"
        }
        try write(
            "haproxy.cfg",
            """
            defaults
                mode tcp
                timeout connect 2s
                timeout client 1h
                timeout server 1h
                timeout check 500ms
            listen nodes
                bind 127.0.0.1:\(at("balancer"))
                balance roundrobin
                option httpchk GET /readyz
                \(servers.joined(separator: "\n    "))

            """)
    }

    private func write(_ name: String, _ text: String) throws {
        try Data(text.utf8).write(to: folder.appending(path: name))
    }

    func at(_ name: String) -> Int { port[name] ?? 0 }
    func path(_ name: String) -> String { folder.appending(path: name).path }
    func log(_ name: String) -> String { (try? String(contentsOfFile: path("\(name).log"), encoding: .utf8)) ?? "" }

    // MARK: - Processes

    private func start() throws {
        try launch(
            "redis", "/usr/bin/redis-server",
            ["--port", "0", "--unixsocket", path("state/redis.sock"), "--save", "", "--dir", folder.path])
        try wait("Redis") { FileManager.default.fileExists(atPath: self.path("state/redis.sock")) }
        try launch("sim", program("sluice-provider-sim"), ["--listen", "127.0.0.1:\(at("sim"))"])
        try launch("coordinator", program("sluice-coordinator"), ["--config", path("cluster.conf")])
        for node in [1, 2] { try startNode(node) }
        try launch("haproxy", "/usr/sbin/haproxy", ["-db", "-f", path("haproxy.cfg")])
        for node in [1, 2] { try waitReady(node) }
        key = try createKey(team: "search")
        try wait("a first answer") { (try? self.chat("hi"))?.status == 0 }
    }

    func startNode(_ node: Int) throws {
        try launch("node-\(node)", program("sluice-node"), ["--config", path("cluster.conf"), "--index", "\(node)"])
    }

    func startCoordinator() throws {
        try launch("coordinator", program("sluice-coordinator"), ["--config", path("cluster.conf")])
    }

    func waitReady(_ node: Int) throws {
        try wait("node \(node)") { self.http(self.at("nodeAdmin") + node, "/readyz").status == 200 }
    }

    private func program(_ name: String) -> String { TestCluster.products.appending(path: name).path }

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

    /// Sends a signal; waits for the end when asked to, and returns the exit code then.
    @discardableResult func signal(_ name: String, _ number: Int32, wait: Bool = true) -> Int32 {
        guard let process = processes[name] else { return -1 }
        kill(process.processIdentifier, number)
        guard wait else { return 0 }
        process.waitUntilExit()
        return process.terminationStatus
    }

    func stop() {
        for process in processes.values where process.isRunning { kill(process.processIdentifier, SIGKILL) }
        for process in processes.values { process.waitUntilExit() }
        processes = [:]
        try? FileManager.default.removeItem(at: folder)
    }

    func wait(_ what: String, seconds: Double = 15, _ condition: () -> Bool) throws {
        let end = Date().addingTimeInterval(seconds)
        while Date() < end {
            if condition() { return }
            Thread.sleep(forTimeInterval: 0.05)
        }
        throw ClusterFailure(
            description: "\(what) is not there after \(seconds) s; node 1 said: \(log("node-1").suffix(600))")
    }

    // MARK: - Asking

    struct Answer {
        let status: Int32
        let output: String
        let error: String
        var json: JSONValue { (try? JSONValue.parse(Array(output.utf8))) ?? .null }
    }

    @discardableResult func run(_ executable: String, _ arguments: [String], key: String? = nil) throws -> Answer {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: executable)
        process.arguments = arguments
        process.currentDirectoryURL = folder
        var environment = ProcessInfo.processInfo.environment
        environment["SLUICE_KEY"] = key ?? self.key
        environment["SLUICE_ADDRESS"] = "127.0.0.1:\(at("balancer"))"
        process.environment = environment
        let (output, error) = (Pipe(), Pipe())
        process.standardOutput = output
        process.standardError = error
        process.standardInput = FileHandle.nullDevice
        try process.run()
        let text = output.fileHandleForReading.readDataToEndOfFile()
        let complaint = error.fileHandleForReading.readDataToEndOfFile()
        process.waitUntilExit()
        return Answer(
            status: process.terminationStatus, output: String(decoding: text, as: UTF8.self),
            error: String(decoding: complaint, as: UTF8.self))
    }

    func tool(_ arguments: [String], key: String? = nil) throws -> Answer {
        try run(program("sluice"), arguments, key: key)
    }

    func chat(_ prompt: String, _ options: [String] = [], key: String? = nil) throws -> Answer {
        try tool(["chat"] + options + [prompt], key: key)
    }

    /// A running `sluice` whose end is waited for later.
    func startTool(_ arguments: [String]) throws -> Process {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: program("sluice"))
        process.arguments = arguments
        process.currentDirectoryURL = folder
        var environment = ProcessInfo.processInfo.environment
        environment["SLUICE_KEY"] = key
        environment["SLUICE_ADDRESS"] = "127.0.0.1:\(at("balancer"))"
        process.environment = environment
        process.standardOutput = Pipe()
        process.standardError = Pipe()
        process.standardInput = FileHandle.nullDevice
        try process.run()
        return process
    }

    func createKey(team: String) throws -> String {
        let made = try tool(["keys", "create", "--org", "acme", "--team", team, "--model", "*", "--json"])
        guard let text = made.json["key"]?.text else { throw ClusterFailure(description: "no key: \(made.error)") }
        return text
    }

    func http(_ port: Int, _ path: String, method: String = "GET") -> (status: Int, body: String) {
        let answer = try? run(
            "/usr/bin/curl",
            ["-s", "-X", method, "--max-time", "3", "-w", "\n%{http_code}", "http://127.0.0.1:\(port)\(path)"])
        let lines = (answer?.output ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    /// The simulator's own counts.
    var simulator: JSONValue {
        (try? JSONValue.parse(Array(http(at("sim"), "/sim/stats").body.utf8))) ?? .null
    }

    func redis(_ command: [String]) throws -> String {
        try run("/usr/bin/redis-cli", ["-s", path("state/redis.sock")] + command).output
    }

    /// The first of thirty ports in a row that nobody uses.
    private static func freeBase() throws -> Int {
        for _ in 0..<50 {
            let base = Int.random(in: 200...600) * 50
            let isFree = (0..<30).allSatisfy { offset in
                let socket = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
                defer { close(socket) }
                var address = sockaddr_in()
                address.sin_family = sa_family_t(AF_INET)
                address.sin_port = UInt16(base + offset).bigEndian
                address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
                return withUnsafePointer(to: &address) {
                    $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                        bind(socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size)) == 0
                    }
                }
            }
            if isFree { return base }
        }
        throw ClusterFailure(description: "no free ports")
    }
}
