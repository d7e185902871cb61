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

    static let mistakes: [(String, String, String)] = [
        ("command-timeout = 50ms", "command-timeout = soon", "expected a duration"),
        ("command-timeout = 50ms", "comand-timeout = 50ms", "unknown key 'comand-timeout'"),
        ("[redis main]", "[redis main]\naddress = 127.0.0.1:1", "'address' is set twice"),
        ("[redis main]", "[radis main]", "unknown kind of section 'radis'"),
        ("target = sim/gpt-6-sol weight 100", "target = nobody/x", "provider 'nobody', which does not exist"),
        ("[team acme/ads]", "[team nobody/ads]", "org 'nobody', which does not exist"),
        ("[team acme/ads]", "[team acme/search]", "stands twice"),
        ("admin-secret = file:state/admin.secret", "admin-secret = hunter2", "a secret is never written here"),
        ("allow-plain-http = yes", "allow-plain-http = no", "base-url must begin with https"),
        ("limit = 600 requests / minute burst 100", "limit = 600 requests / fortnight", "expected second, minute"),
        ("limit = $500 / month", "limit = $500 / month sliding-window", "cannot count"),
        ("lanes = 1 ", "lanes = 65 ", "expected a number from 0 to 64"),
        ("kind = openai\nbase-url = http:", "kind = oracle\nbase-url = http:", "unknown kind of provider"),
        ("[balancer main]\n", "[balancer main\n", "a heading ends with ']'"),
    ]

    @Test(arguments: mistakes) func `a mistake is reported in words`(_ old: String, _ new: String, _ expected: String)
        throws
    {
        let found = try problems(replacing: old, with: new)
        #expect(found.contains { $0.contains(expected) }, "\(found)")
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
        key.hash = String(repeating: "0f", count: 32)
        key.org = "acme"
        key.team = "ads"
        key.label = "nightly job"
        key.models = ["chat-default", "*"]
        key.expiresAtSeconds = 1_900_000_000
        snapshot.keys["abc"] = key
        snapshot.prices["m"] = ModelPrice(input: 100_000, output: 1, cachedInput: 8_750)
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
    }

    @Test func `prices are exact, rounded once, and a missing one is not free`() throws {
        let text = try String(contentsOf: ConfigurationTests.root.appending(path: "prices.csv"), encoding: .utf8)
        let (prices, problems) = PriceList.parse(text, file: "prices.csv")
        #expect(problems == [])
        let luna = try #require(prices["gpt-6-luna"])
        #expect(luna == ModelPrice(input: 100_000, output: 500_000, cachedInput: 10_000, cacheWrite: 125_000))
        #expect(luna.cost(inputTokens: 1_000, outputTokens: 500).amount == 350)
        #expect(luna.cost(inputTokens: 1_000, outputTokens: 0, cachedTokens: 1_000).amount == 10)
        // 5 tokens at 100,000 pico-USD are exactly half a micro-USD: to even, so 0; 15 tokens are one and a half: 2.
        #expect(luna.cost(inputTokens: 5, outputTokens: 0).amount == 0)
        #expect(luna.cost(inputTokens: 15, outputTokens: 0).amount == 2)
        let (odd, complaints) = PriceList.parse(
            "model,input_usd_per_mtok,output_usd_per_mtok\na,,\nb,300,1\nc,1,2\n", file: "p")
        #expect(odd.keys.sorted() == ["c"])
        #expect(complaints.map(\.line) == [3])
    }

    @Test func `an API key is split into its parts, and other texts are refused`() {
        #expect(APIKeyText(Array("slk_abc_0123456789abcdef".utf8))?.id == "abc")
        for text in ["", "slk_", "slk_abc", "slk_abc_short", "sk_abc_0123456789abcdef", "slk__0123456789abcdef"] {
            #expect(APIKeyText(Array(text.utf8)) == nil)
        }
    }
}
