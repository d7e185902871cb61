// cluster.conf: the example is valid, every mistake is reported at its place, and what is published survives its journey.
import Core
import Foundation
import Policy
import Testing

@Suite struct ConfigurationTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    func example() throws -> String {
        try String(contentsOf: ConfigurationTests.root.appending(path: "cluster.conf"), encoding: .utf8)
    }

    /// The problems of the example after one replacement.
    func problems(replacing old: String, with new: String) throws -> [String] {
        let text = try example()
        #expect(text.contains(old))
        do {
            _ = try ClusterConfiguration.parse(text.replacingOccurrences(of: old, with: new), file: "c")
            return []
        } catch {
            return error.list.map(\.description)
        }
    }

    @Test func `the example at the root is valid`() throws {
        let configuration = try ClusterConfiguration.parse(try example(), file: "cluster.conf")
        #expect(configuration.published.routes["chat-default"]?.targets.map(\.model) == ["gpt-6-luna"])
        #expect(configuration.published.teams["acme/ads"]?.limits.count == 3)
        #expect(configuration.redis.commandTimeout == .milliseconds(50))
    }

    @Test func `Redis has one of three shapes`() throws {
        func redis(_ lines: String) throws -> ClusterConfiguration.Redis {
            let text = try example().replacingOccurrences(of: "address = unix:state/redis.sock", with: lines)
            return try ClusterConfiguration.parse(text, file: "c").redis
        }
        let single = try redis("address = redis.internal:6379")
        #expect(single.shape == .single && single.addresses == ["redis.internal:6379"])
        let cluster = try redis("shape = cluster\naddress = a:7000\naddress = b:7000")
        #expect(cluster.shape == .cluster && cluster.addresses == ["a:7000", "b:7000"])
        let sentinel = try redis("shape = sentinel\nprimary = quota\naddress = s:26379\nsentinel-password = env:S")
        #expect(sentinel.shape == .sentinel(primary: "quota") && sentinel.sentinelPassword == .environment("S"))
    }

    @Test func `coordinators may have a user of Redis of their own`() throws {
        let text = try example().replacingOccurrences(
            of: "[redis main]", with: "[redis main]\ncoordinator-user = c\ncoordinator-password = env:C")
        let redis = try ClusterConfiguration.parse(text, file: "c").redis
        #expect(redis.coordinatorUser == "c" && redis.coordinatorPassword == .environment("C"))
        #expect(redis.user == nil)
    }

    @Test func `the admin port speaks plain HTTP on loopback, or by word`() throws {
        func url(_ admin: String, _ word: String = "") throws -> String? {
            let text = try example().replacingOccurrences(
                of: "admin = 127.0.0.1:7401", with: "admin = \(admin)\n\(word)")
            return try ClusterConfiguration.parse(text, file: "c").coordinators.first?.adminURL
        }
        #expect(try url("127.0.0.1:7401") == "http://127.0.0.1:7401")
        #expect(try url("[::1]:7401") == "http://[::1]:7401")
        #expect(try url("10.0.0.1:7401") == "https://10.0.0.1:7401")
        #expect(try url("0.0.0.0:7401") == "https://0.0.0.0:7401")
        #expect(try url("127.0.0.1:7401", "admin-plain-http = no") == "https://127.0.0.1:7401")
        #expect(try url("10.0.0.1:7401", "admin-plain-http = yes") == "http://10.0.0.1:7401")
        let parsed = try ClusterConfiguration.parse(try example(), file: "c")
        let own = try #require(parsed.coordinators.first)
        #expect(own.problem(ofSecretWith: 32) == nil)
        #expect(own.problem(ofSecretWith: 31)?.contains("has 31 bytes, at least 32 are needed") == true)
    }

    static let mistakes: [(String, String, String)] = [
        ("[redis main]", "[redis main]\ncoordinator-user = c", "a user without a 'coordinator-password'"),
        ("[coordinator a]", "[coordinator a]\nadmin-plain-http = perhaps", "yes"),
        ("command-timeout = 50ms", "command-timeout = soon", "expected a duration"),
        ("command-timeout = 50ms", "comand-timeout = 50ms", "unknown key 'comand-timeout'"),
        ("[redis main]", "[redis main]\naddress = 127.0.0.1:1", "'address' is set twice"),
        ("[redis main]", "[redis main]\nshape = ring", "expected single, sentinel or cluster"),
        ("[redis main]", "[redis main]\nshape = cluster", "a Unix socket is an address of a single server only"),
        ("[redis main]", "[redis main]\nshape = sentinel", "shape = sentinel needs 'primary'"),
        ("[redis main]", "[redis main]\nprimary = main", "'primary' has a meaning with shape = sentinel only"),
        ("[redis main]", "[redis main]\nsentinel-user = a", "'sentinel-user' has a meaning with shape = sentinel only"),
        (
            "[redis main]\naddress = unix:state/redis.sock",
            "[redis main]\nshape = cluster\naddress = a:1\naddress = b:1\naddress = a:1", "'a:1' stands twice"
        ),
        (
            "[redis main]\naddress = unix:state/redis.sock",
            "[redis main]\nshape = sentinel\nprimary = p\naddress = a:1\nsentinel-user = u",
            "a user without a 'sentinel-password'"
        ),
        ("[redis main]\naddress = unix:state/redis.sock", "[redis main]", "[redis main] needs at least one 'address'"),
        ("[redis main]", "[radis main]", "unknown kind of section 'radis'"),
        ("target = sim/gpt-6-sol weight 100", "target = nobody/x", "the provider 'nobody' does not exist"),
        ("[team acme/ads]", "[team nobody/ads]", "the org 'nobody' does not exist"),
        ("[team acme/ads]", "[team acme/search]", "[team acme/search] stands twice; the other is in line"),
        ("[team acme/ads]", "[team ads]", "expected a heading such as [team org/team]"),
        ("admin-secret = file:state/admin.secret", "admin-secret = hunter2", "a secret is never written here"),
        ("allow-plain-http = yes", "allow-plain-http = no", "base-url must begin with https"),
        ("limit = 600 requests / minute burst 100", "limit = 600 requests / fortnight", "expected second, minute"),
        ("limit = $500 / month", "limit = $500 / month sliding-window", "cannot count"),
        ("limit = $500 / month", "limit = $500 / month warn", "expected percentages behind 'warn'"),
        ("limit = $500 / month", "limit = $500 / month warn 0%", "expected a percentage from 1% to 100%"),
        ("limit = $500 / month", "limit = $500 / month warn 90% 80%", "each above the one before"),
        ("limit = $500 / month", "limit = $500 / month firm", "expected 'soft' or 'warn N%', found 'firm'"),
        ("limit = 1M tokens / minute", "limit = 1M tokens / minute soft", "only money can"),
        ("records = 7d", "records = 59m", "expected a duration from 1h to 800d"),
        ("max-records = 1M", "max-records = 999", "expected a count from 1k to 1G"),
        ("rollups = 400d", "rollup = 400d", "unknown key 'rollup'"),
        ("lanes = 1 ", "lanes = 65 ", "expected a number from 0 to 64"),
        ("kind = openai\nbase-url = http:", "kind = oracle\nbase-url = http:", "expected openai, found 'oracle'"),
        ("[balancer main]\n", "[balancer main\n", "a heading ends with ']'"),
        ("command-timeout = 50ms", "command-timeout = 0ms", "expected a duration from 1ms to 10s, found '0ms'"),
        ("request-timeout = 120s", "request-timeout = 11m", "expected a duration from 1ms to 10m, found '11m'"),
        ("admin = 127.0.0.1:7401", "admin = 127.0.0.1:7400", "'127.0.0.1:7400' is taken by line"),
        ("admin = 127.0.0.1:7401", "admin = localhost:7401", "expected a numeric address"),
        ("listen = 127.0.0.1\n", "listen = 127.0.0.256\n", "expected a numeric host"),
        ("admin-base-port = 7600", "admin-base-port = 7500", "must differ"),
        ("[coordinator a]", "[coordinator ../a]", "expected a name of letters"),
        ("[provider sim]", "[provider s/im]", "expected a name of letters"),
        ("[route chat-large]", "[route chat large]", "expected an alias of letters"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol weight 0", "no target with a weight above 0"),
        ("target = sim/gpt-6-sol weight 100", "", "needs at least one 'target'"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol group 9", "a group from 1 to 8 or 'overload'"),
        (
            "target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol group overload",
            "no target with a weight above 0 besides those of 'group overload'"
        ),
        ("target = sim/gpt-6-sol weight 100", "target = sim", "expected 'provider/model'"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol team acme/x", "team 'acme/x' does not exist"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol team acme", "expected 'team ORG/TEAM'"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol priority low", "expected a class (interactive,"),
        ("target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol user me", "'feature NAME' or 'priority CLASS'"),
        (
            "target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol feature a feature a",
            "at most 16 conditions, each once"
        ),
        (
            "target = sim/gpt-6-sol weight 100", "affinity = 8\ntarget = sim/gpt-6-sol",
            "expected a number from 64 to 65536"
        ),
        (
            "target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol\nmirror = sim/gpt-6-luna 0%",
            "a share from 0.01% to 100%"
        ),
        (
            "target = sim/gpt-6-sol weight 100", "target = sim/gpt-6-sol\nmirror = none/gpt-6-luna 5.25%",
            "the provider 'none' does not exist"
        ),
        ("connect-timeout = 2s", "connect-timeout = 2s\non-cancel = drain", "such as 'drain 1000 tokens 10s'"),
        ("connect-timeout = 2s", "connect-timeout = 2s\non-cancel = drain 0 tokens 1s", "a number from 1 to 1000000"),
        ("key-limit = 32 concurrent", "key-limit = 32 concurrent\nkey-limit = 8 concurrent", "two limits on"),
        ("key-limit = 32 concurrent", "key-limit = 0 concurrent", "outside of 1"),
        (
            "[team acme/ads]", "[price gpt-7]\ninput = $1 / 1M tokens\noutput = $1 / 1M tokens\n[team acme/ads]",
            "no effect"
        ),
        ("[team acme/ads]", "[price gpt-6-sol]\ninput = $900 / 1M tokens\n[team acme/ads]", "cannot be believed"),
        ("[team acme/ads]", "[key a_b]\nhash = 0\n[team acme/ads]", "expected a key's id"),
        ("[team acme/ads]", "[confirmation routes]\nroutes = 1\n[team acme/ads]", "unknown kind of section"),
        ("http://127.0.0.1:7700/v1", "http:///v1", "expected a URL such as"),
    ]

    @Test(arguments: mistakes) func `a mistake is reported in words`(_ old: String, _ new: String, _ expected: String)
        throws
    {
        let found = try problems(replacing: old, with: new)
        #expect(found.contains { $0.contains(expected) }, "\(found)")
    }

    @Test func `limits that only clash between org and team are reported, because their keys would have no rights`()
        throws
    {
        let found = try problems(
            replacing: "limit = 4096 concurrent", with: "limit = 4096 concurrent\nkey-limit = 9 requests / minute")
        #expect(found.count == 1 && found[0].contains("together with the limits of [org acme]"), "\(found)")
    }

    @Test func `a key in the file must belong to a team and name routes`() throws {
        let hash = String(repeating: "0f", count: 32)
        let key = "[key k1]\nhash = \(hash)\norg = acme\nteam = TEAM\nmodel = MODEL\n[team acme/ads]"
        func found(_ team: String, _ model: String) throws -> [String] {
            let text = key.replacingOccurrences(of: "TEAM", with: team).replacingOccurrences(of: "MODEL", with: model)
            return try problems(replacing: "[team acme/ads]", with: text)
        }
        #expect(try found("ads", "chat-default") == [])
        #expect(try found("ads", "*") == [])
        #expect(try found("nobody", "*").allSatisfy { $0.contains("there is no team 'acme/nobody'") })
        #expect(try found("nobody", "*").count == 1)
        #expect(try found("ads", "gpt-9").allSatisfy { $0.contains("there is no route 'gpt-9'") })
        #expect(try found("ads", "gpt-9").count == 1)
    }

    /// Loads the example from a pretended folder `etc`, with this price list; nil for one that is not there.
    func load(_ list: String?, _ change: (String) -> String = { $0 }) throws -> Result<
        ClusterConfiguration, ClusterConfiguration.Problems
    > {
        let text = change(try example())
        do throws(ClusterConfiguration.Problems) {
            let loaded = try ClusterConfiguration.load("etc/cluster.conf") { path throws(ValueProblem) in
                switch (path, list) {
                case ("etc/cluster.conf", _): return Array(text.utf8)
                case ("etc/prices.csv", .some(let list)): return Array(list.utf8)
                default: throw ValueProblem("'\(path)' cannot be read")
                }
            }
            return .success(loaded)
        } catch {
            return .failure(error)
        }
    }

    static let columns = "model,input_usd_per_mtok,output_usd_per_mtok\n"

    @Test func `the prices of the list are published for models that routes use, unless the file says otherwise`()
        throws
    {
        let list = Self.columns + "gpt-6-luna,1,2\ngpt-6-sol,3,4\nother,5,6\n"
        let loaded = try load(list) { $0 + "\n[price gpt-6-sol]\ninput = $7 / 1M tokens\noutput = $8 / 1M tokens\n" }
            .get()
        #expect(loaded.published.prices.mapValues(\.rates.input) == ["gpt-6-luna": 1_000_000, "gpt-6-sol": 7_000_000])
    }

    @Test func `under a budget a target without a price is a mistake, at its line`() throws {
        guard case .failure(let problems) = try load(Self.columns + "gpt-6-luna,1,2\n") else {
            Issue.record("accepted")
            return
        }
        let lines = try example().split(separator: "\n", omittingEmptySubsequences: false)
        let line = try #require(lines.firstIndex { $0.hasPrefix("target = sim/gpt-6-sol") }) + 1
        #expect(problems.list.map(\.line) == [line])
        #expect(problems.list[0].column == 10)
        #expect(problems.list[0].message.contains("'gpt-6-sol' has no price"))
        let free = try load(Self.columns) { $0.replacingOccurrences(of: "limit = $", with: "# limit = $") }.get()
        #expect(free.published.prices == [:])
    }

    @Test func `mistakes of both files come together`() throws {
        func list(_ text: String?) throws -> [String] {
            guard
                case .failure(let problems) = try load(
                    text, { $0.replacingOccurrences(of: "lanes = 1 ", with: "lanes = x ") })
            else { return [] }
            return problems.list.map(\.description)
        }
        let missing = try list(nil)
        #expect(
            missing.contains { $0.contains("'etc/prices.csv' cannot be read") && $0.hasPrefix("etc/cluster.conf:") })
        #expect(missing.contains { $0.contains("expected a number from 0 to 64, found 'x'") })
        let bad = try list(Self.columns + "gpt-6-luna,1,2\ngpt-6-sol,x,4\n")
        #expect(bad.contains { $0.hasPrefix("prices.csv:3:1: expected dollars") })
        #expect(bad.contains { $0.contains("expected a number from 0 to 64, found 'x'") })
    }

    @Test func `all mistakes are reported at once, each at its line and column`() {
        let text = "x = 1\n[redis a]\n  address = nowhere\n  colour = blue\n[route r]\n"
        do {
            _ = try ClusterConfiguration.parse(text, file: "f.conf")
            Issue.record("accepted")
        } catch {
            let places = error.list.map { "\($0.line):\($0.column)" }
            #expect(
                places.contains("1:1") && places.contains("3:13") && places.contains("4:3") && places.contains("5:1"))
            #expect(error.description.contains("f.conf:3:13: expected an address"))
        }
    }

    @Test func `what is published arrives as it left`() throws {
        var snapshot = try ClusterConfiguration.parse(try example(), file: "cluster.conf").published
        var key = KeyRecord(id: "abc")
        key.secrets = [
            KeySecret(hash: String(repeating: "0f", count: 32)),
            KeySecret(hash: String(repeating: "a1", count: 32), validUntilSeconds: 1_800_000_000),
        ]
        key.identity = "spiffe://example.org/nightly"
        key.operations = [.embeddings]
        key.features = ["summary", "search/v2"]
        key.highestPriority = .background
        key.limits = [try Limit.parse("32 concurrent", scope: .key), try Limit.parse("$5 / day", scope: .key)]
        key.networks = try ["10.0.0.0/8", "2001:db8::/32"].map { try Network.parse($0) }
        key.org = "acme"
        key.team = "ads"
        key.label = "nightly job"
        key.models = ["chat-default", "*"]
        key.expiresAtSeconds = 1_900_000_000
        snapshot.keys["abc"] = key
        let long = ModelPrice.LongPrompt(
            threshold: 272_000, rates: .init(input: 200_000, output: 3, cachedInput: 17_500, cacheWrite: 9))
        snapshot.prices["m"] = ModelPrice(
            .init(input: 100_000, output: 1, cachedInput: 8_750, reasoning: 2), longPrompt: long)
        snapshot.orgs["acme"]?.limits += [
            try Limit.parse("$9 / day soft", scope: .org), try Limit.parse("$1 / hour warn off", scope: .org),
        ]
        snapshot.orgs["acme"]?.keyLimits = [try Limit.parse("$99 / month soft warn 50% 90%", scope: .key)]
        snapshot.confirmedRouteCount = 2
        let (decoded, problems) = ClusterSnapshot.decode(snapshot.records)
        #expect(problems == [])
        #expect(decoded == snapshot)
        #expect(KeyRecord.decode(id: "abc", key.encoded) == key)
    }

    @Test func `a snapshot that takes most routes away is suspicious`() throws {
        let current = try ClusterConfiguration.parse(try example(), file: "cluster.conf").published
        var fewer = current
        fewer.routes = [:]
        #expect(fewer.suspicion(replacing: current) != nil)
        #expect(current.suspicion(replacing: current) == nil)
        #expect(current.suspicion(replacing: ClusterSnapshot()) == nil)
        fewer.confirmedRouteCount = 1
        #expect(fewer.suspicion(replacing: current) != nil)
        fewer.confirmedRouteCount = 0
        #expect(fewer.suspicion(replacing: current) == nil)
    }

    @Test func `half of the routes may go, one more may not`() throws {
        func snapshot(_ names: ClosedRange<Int>) -> ClusterSnapshot {
            var snapshot = ClusterSnapshot()
            for name in names { snapshot.routes["r\(name)"] = RouteRecord(name: "r\(name)") }
            return snapshot
        }
        #expect(snapshot(1...5).suspicion(replacing: snapshot(1...10)) == nil)
        #expect(snapshot(1...4).suspicion(replacing: snapshot(1...10)) != nil)
        // New names do not make up for old ones.
        #expect(snapshot(7...40).suspicion(replacing: snapshot(1...10)) != nil)
    }

    @Test func `a snapshot may be larger than a file that people write`() {
        var snapshot = ClusterSnapshot()
        for number in 0..<500 {
            var key = KeyRecord(id: "k\(number)")
            key.secrets = [KeySecret(hash: String(repeating: "ab", count: 32))]
            (key.org, key.team) = ("acme", "search")
            key.models = (0..<128).map { "\(String(repeating: "m", count: 60))\($0)" }
            snapshot.keys[key.id] = key
        }
        let text = snapshot.text
        #expect(text.utf8.count > ConfigurationDocument.sizeLimit)
        let (read, problems) = ClusterSnapshot.read(text, file: "s")
        #expect(problems == [] && read == snapshot)
    }

    @Test func `an API key is split into its parts, and other texts are refused`() {
        #expect(APIKeyText(Array("slk_abc_0123456789abcdef".utf8))?.id == "abc")
        for text in ["", "slk_", "slk_abc", "slk_abc_short", "sk_abc_0123456789abcdef", "slk__0123456789abcdef"] {
            #expect(APIKeyText(Array(text.utf8)) == nil)
        }
    }
}
