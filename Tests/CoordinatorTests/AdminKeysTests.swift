// Keys at the admin interface: what is refused, what survives, and that a revocation waits for nothing.
import Core
import Foundation
import Testing

@Suite(.serialized) struct AdminKeysTests {
    private let coordinator: TestCoordinator

    init() throws { coordinator = try TestCoordinator() }

    private func create(_ more: String = "") throws -> (id: String, text: String) {
        let body = #"{"org":"acme","team":"search","models":["chat-1"]"# + more + "}"
        var answer = coordinator.http("POST", "/v1/keys", body: body)
        // Redis may not be connected in the very first moment.
        try coordinator.wait("a key") {
            if answer.status != 201 { answer = coordinator.http("POST", "/v1/keys", body: body) }
            return answer.status == 201
        }
        return (answer.json["id"]?.text ?? "", answer.json["key"]?.text ?? "")
    }

    private func record(_ id: String) -> JSONValue { coordinator.http("GET", "/v1/keys/\(id)").json }

    /// What was written by hand is read when the version is gone.
    private func touch() throws {
        _ = try coordinator.run(
            "/usr/bin/redis-cli", ["-s", coordinator.path("state/redis.sock"), "del", "meta:{keys}:version"])
    }

    private func inRedis(_ id: String) -> String {
        (try? coordinator.run(
            "/usr/bin/redis-cli", ["-s", coordinator.path("state/redis.sock"), "hget", "meta:{keys}:keys", id]))?.output
            ?? ""
    }

    @Test func `a revocation reaches nodes while Redis is away, and Redis when it is back`() throws {
        let (id, _) = try create()
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        _ = try coordinator.run(
            "/usr/bin/redis-cli", ["-s", coordinator.path("state/redis.sock"), "config", "set", "appendonly", "yes"])
        coordinator.signal("redis", SIGKILL)
        try coordinator.wait("the loss of Redis") {
            coordinator.http("GET", "/readyz", secret: nil).text.contains("Redis cannot be reached")
        }
        let revoked = coordinator.http("POST", "/v1/keys/\(id)/revoke")
        #expect(revoked.status == 200 && revoked.json["stored"]?.bool == false, "\(revoked.text)")
        #expect(revoked.text.contains("Redis will hear of it"))
        try coordinator.wait("the update", seconds: 1) { node.news.last { !$0.isWhole }?.names == ["5 \(id)"] }
        // A coordinator that starts meanwhile knows it, too.
        coordinator.signal("coordinator", SIGTERM)
        try coordinator.start()
        #expect(record(id)["state"]?.text == "revoked")
        try coordinator.startRedis()
        try coordinator.wait("the record in Redis", seconds: 12) { inRedis(id).contains("revoked = yes") }
        #expect(record(id)["state"]?.text == "revoked")
    }

    @Test func `a key that Redis was restored with stays revoked`() throws {
        let (id, _) = try create()
        let old = inRedis(id).trimmingCharacters(in: .newlines)
        #expect(coordinator.http("POST", "/v1/keys/\(id)/revoke").json["stored"]?.bool == true)
        #expect(inRedis(id).contains("revoked = yes"))
        _ = try coordinator.run(
            "/usr/bin/redis-cli", ["-s", coordinator.path("state/redis.sock"), "hset", "meta:{keys}:keys", id, old])
        try touch()
        #expect(!inRedis(id).contains("revoked"))
        try coordinator.wait("the record revoked again", seconds: 12) { inRedis(id).contains("revoked = yes") }
        for change in ["change", "rotate"] {
            let answer = coordinator.http("POST", "/v1/keys/\(id)/\(change)", body: "{}")
            #expect(answer.status == 409 && answer.text.contains("stays so"), "\(answer.text)")
        }
    }

    @Test func `records of keys that ended long ago are removed, and no other`() throws {
        let (valid, _) = try create()
        let (revoked, _) = try create()
        #expect(coordinator.http("POST", "/v1/keys/\(revoked)/revoke").json["stored"]?.bool == true)
        let now = Int64(Date().timeIntervalSince1970)
        let ninetyDays: Int64 = 90 * 86_400
        let record = "hash = \(String(repeating: "a", count: 64))\norg = acme\nteam = search\nmodel = chat-1"
        let old = (0..<70).map { "old-\($0)" }
        var commands: [[String]] = old.map { [$0, record + "\nexpires = \(now - ninetyDays - 10)"] }
        commands.append(["old-revoked", record + "\nrevoked = yes\nrevoked-at = \(now - ninetyDays - 10)"])
        commands.append(["kept-expired", record + "\nexpires = \(now - ninetyDays + 3_600)"])
        commands.append(["kept-untimed", record + "\nexpires = \(now - ninetyDays - 10)\nrevoked = yes"])
        for command in commands {
            let set = ["-s", coordinator.path("state/redis.sock"), "hset", "meta:{keys}:keys"] + command
            _ = try coordinator.run("/usr/bin/redis-cli", set)
        }
        try touch()
        // More than one refresh removes at once.
        try coordinator.wait("the end of old records", seconds: 60) {
            (old + ["old-revoked"]).allSatisfy { inRedis($0) == "\n" }
        }
        try coordinator.wait("the time of a revocation", seconds: 30) {
            inRedis("kept-untimed").contains("revoked-at = ")
        }
        try coordinator.wait("the list without them", seconds: 30) {
            (coordinator.http("GET", "/v1/keys").json["keys"]?.elements ?? []).compactMap { $0["id"]?.text }.sorted()
                == ["kept-expired", "kept-untimed", valid, revoked].sorted()
        }
        #expect(inRedis(valid).contains("hash = ") && inRedis(revoked).contains("revoked-at = "))
        #expect(coordinator.log().contains("key_removed"))
    }

    @Test func `all mistakes of a draft are told at once, each with its member`() throws {
        let body = """
            {"org":"a b","team":"search","models":"chat-1","networks":["10.0.0.1/8"],"limits":["much"],"colour":"red",
            "operations":["sing"],"priority":"high","expires":5,"secret":"yes","identity":"x"}
            """
        let answer = coordinator.http("POST", "/v1/keys", body: body)
        #expect(answer.status == 422)
        let problems = (answer.json["problems"]?.elements ?? []).compactMap(\.text)
        for member in [
            "org", "models", "networks", "limits", "'colour'", "operations", "priority", "expires", "secret",
            "identity",
        ] {
            #expect(problems.contains { $0.contains(member) }, "\(member): \(problems)")
        }
        #expect(coordinator.http("POST", "/v1/keys", body: "[]").status == 422)
        #expect(coordinator.http("POST", "/v1/keys", body: "{").status == 400)
        let none = coordinator.http("POST", "/v1/keys", body: #"{"org":"acme","team":"search"}"#)
        #expect(none.status == 422 && none.text.contains("names no route"))
        #expect(coordinator.http("GET", "/v1/keys").json["keys"]?.elements?.isEmpty == true, "nothing was made")
    }

    @Test func `a limit that cannot be checked beside the team's is refused`() throws {
        let limits = (1...9).map { "\"\($0) concurrent\"" }.joined(separator: ",")
        let body = #"{"org":"acme","team":"search","models":["*"],"limits":[\#(limits)]}"#
        let answer = coordinator.http("POST", "/v1/keys", body: body)
        #expect(answer.status == 422 && answer.text.contains("at most 8"), "\(answer.text)")
    }

    @Test func `rotation keeps at most four secrets, and never lengthens the time of an old one`() throws {
        let (id, first) = try create()
        var texts = [first]
        for overlap in [100, 86_400, 86_400, 86_400] {
            let answer = coordinator.http("POST", "/v1/keys/\(id)/rotate", body: "{\"overlap_seconds\":\(overlap)}")
            #expect(answer.status == 200)
            texts.append(try #require(answer.json["key"]?.text))
        }
        #expect(Set(texts).count == 5)
        let secrets = record(id)["secrets"]?.elements ?? []
        #expect(secrets.count == 4 && secrets[0]["valid_until"] == .null)
        let answer = coordinator.http("POST", "/v1/keys/\(id)/rotate", body: #"{"overlap_seconds":9000000}"#)
        #expect(answer.status == 422)
        let now = Int64(Date().timeIntervalSince1970)
        let (other, _) = try create()
        _ = coordinator.http("POST", "/v1/keys/\(other)/rotate", body: #"{"overlap_seconds":60}"#)
        _ = coordinator.http("POST", "/v1/keys/\(other)/rotate", body: #"{"overlap_seconds":86400}"#)
        let ends = (record(other)["secrets"]?.elements ?? []).compactMap { $0["valid_until"]?.integer }
        #expect(ends.count == 2 && ends[0] > now + 80_000 && ends[1] <= now + 70, "\(ends)")
    }

    @Test func `a key in the file is shown, and changed only there`() throws {
        let hash = String(repeating: "ab", count: 32)
        let key = "[key filed]\nhash = \(hash)\norg = acme\nteam = search\nmodel = *\noperation = chat\n"
        try coordinator.write("cluster.conf", coordinator.configuration(routes: 4, more: key))
        #expect(coordinator.apply().status == 200)
        #expect(record("filed")["in_file"]?.bool == true)
        #expect(!record("filed").json.contains(hash), "not even the hash is shown")
        for change in ["change", "rotate", "revoke"] {
            let answer = coordinator.http("POST", "/v1/keys/filed/\(change)", body: "{}")
            #expect(answer.status == 409 && answer.text.contains("configuration file"), "\(answer.text)")
        }
    }

    @Test func `many changes at once reach nodes together, not one by one`() throws {
        _ = try create()
        let node = try ListeningNode(coordinator)
        defer { node.stop() }
        try coordinator.wait("a first state") { !node.news.isEmpty }
        let body = #"{"org":"acme","team":"search","models":["chat-1"]}"#
        try coordinator.write("many", body)
        let url = "http://127.0.0.1:\(coordinator.admin)/v1/keys"
        let script = """
            for i in $(seq 40); do curl -s -o /dev/null -H 'Authorization: Bearer \(TestCoordinator.secret)' \
            --data-binary @many \(url) & done; wait
            """
        _ = try coordinator.run("/bin/bash", ["-c", script])
        try coordinator.wait("all of them") {
            node.news.filter { !$0.isWhole }.reduce(0) { $0 + $1.names.count } >= 40
        }
        let updates = node.news.filter { !$0.isWhole }
        // How far apart they arrive is the machine's affair; that they carry many changes each is not.
        #expect(updates.count <= 20, "\(updates.count) updates")
    }
}
