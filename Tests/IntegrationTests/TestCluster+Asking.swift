// What a test asks of its cluster: the tool, HTTP, Redis, figures of a node.
import Core
import Foundation

extension TestCluster {
    struct Answer {
        let status: Int32
        let output: String
        let error: String
        var json: JSONValue { (try? JSONValue.parse(Array(output.utf8))) ?? .null }
    }

    /// A command whose end is waited for later.
    struct Running {
        let child: Child
        let output: String
        let error: String

        func answer() async throws -> Answer {
            let status = await child.exit()
            return Answer(
                status: status, output: try String(contentsOfFile: output, encoding: .utf8),
                error: try String(contentsOfFile: error, encoding: .utf8))
        }
    }

    func begin(_ command: [String], key: String? = nil, node: Int? = nil) async throws -> Running {
        let (output, error) = (fresh("output"), fresh("error"))
        let port = node.map { at("node") + $0 } ?? at("balancer")
        let child = try await Child.start(
            command, in: place.folder.path, output: output, error: error,
            environment: [
                "SLUICE_KEY": key ?? self.key, "SLUICE_ADDRESS": "127.0.0.1:\(port)",
                "SLUICE_CONFIG": path("cluster.conf"), "SLUICE_BIN": TestCluster.products.path,
            ])
        return Running(child: child, output: output, error: error)
    }

    func run(_ command: [String], key: String? = nil, node: Int? = nil) async throws -> Answer {
        try await begin(command, key: key, node: node).answer()
    }

    func tool(_ arguments: [String], key: String? = nil) async throws -> Answer {
        try await run([program("sluice")] + arguments, key: key)
    }

    func beginTool(_ arguments: [String], node: Int? = nil) async throws -> Running {
        try await begin([program("sluice")] + arguments, node: node)
    }

    /// One question through the balancer, or straight to a node.
    func chat(
        _ prompt: String, _ options: [String] = [], key: String? = nil, node: Int? = nil
    ) async throws -> Answer {
        try await run([program("sluice"), "chat"] + options + [prompt], key: key, node: node)
    }

    func createKey(org: String = "acme", team: String) async throws -> String {
        var last = ""
        for _ in 0..<100 {
            let made = try await tool(["keys", "create", "--org", org, "--team", team, "--model", "*", "--json"])
            if let text = made.json["key"]?.text { return text }
            last = made.error
            try await Task.sleep(for: .milliseconds(100))
        }
        throw ClusterFailure(description: "no key: \(last)")
    }

    func http(_ port: Int, _ path: String, header: String? = nil) async -> (status: Int, body: String) {
        let headers = header.map { ["-H", $0] } ?? []
        let answer = try? await run(
            ["/usr/bin/curl", "-s", "--max-time", "3", "-w", "\n%{http_code}"] + headers
                + ["http://127.0.0.1:\(port)\(path)"])
        let lines = (answer?.output ?? "").split(separator: "\n", omittingEmptySubsequences: false)
        return (Int(lines.last ?? "") ?? 0, lines.dropLast().joined(separator: "\n"))
    }

    /// The snapshot that a node uses, for who has the secret.
    func configuration(node: Int) async -> String {
        await http(at("nodeAdmin") + node, "/config", header: "Authorization: Bearer node-canary-31c0aa52").body
    }

    /// Waits for a word in a program's log, which is written some milliseconds after what it tells of.
    func waitForLine(with word: String, of name: String) async throws {
        try await wait("'\(word)' in the log of \(name)") { log(name).contains(word) }
    }

    /// The simulator's own counts.
    func simulator() async -> JSONValue {
        (try? JSONValue.parse(Array(await http(at("sim"), "/sim/stats").body.utf8))) ?? .null
    }

    /// A figure of a node's metrics page that has no labels.
    func metric(_ name: String, node: Int) async throws -> Double {
        let page = await http(at("nodeAdmin") + node, "/metrics").body
        for line in page.split(separator: "\n") where line.hasPrefix("\(name) ") {
            if let value = Double(line.dropFirst(name.count + 1)) { return value }
        }
        throw ClusterFailure(description: "node \(node) has no metric '\(name)'")
    }

    // MARK: - Redis

    /// Every key of the limits with its content: equal before and after means that nothing was charged.
    func quotaState() async throws -> String {
        try await redis([
            "eval",
            """
            local all = redis.call('keys', 'q:*')
            table.sort(all)
            for i, key in ipairs(all) do all[i] = key .. ' ' .. redis.sha1hex(redis.call('dump', key)) end
            return all
            """, "0",
        ])
    }

    /// Requests and millionths of a dollar that are held on a scope, such as `q:{acme}`.
    func held(_ scope: String) async throws -> (requests: Int, money: Int) {
        let lines = try await redis([
            "eval",
            """
            local m = redis.call('hget', KEYS[1], 'm')
            if not m then return {0, 0} end
            local _, _, requests, money = struct.unpack('<dddd', m)
            return {requests, money}
            """, "1", scope,
        ]).split(separator: "\n").compactMap { Int($0) }
        guard lines.count == 2 else { throw ClusterFailure(description: "\(scope) has no counters") }
        return (lines[0], lines[1])
    }

    /// Millionths of a dollar booked in the calendar month on a scope that has a monthly budget.
    func spent(_ scope: String) async throws -> Int {
        let text = try await redis([
            "eval",
            """
            for _, field in ipairs(redis.call('hkeys', KEYS[1])) do
              if string.sub(field, 1, 2) == 'fu' then
                local _, used = struct.unpack('<dd', redis.call('hget', KEYS[1], field))
                return used
              end
            end
            return -1
            """, "1", scope,
        ])
        return Int(text.trimmingCharacters(in: .whitespacesAndNewlines)) ?? -1
    }
}
