// A key's rights: what they say, how they are written, and what each refusal names.
import Core
import Testing

@testable import Policy

struct NetworkTests {
    @Test(arguments: [
        ("10.0.0.0/8", "10.0.0.0/8"), ("192.168.1.7", "192.168.1.7/32"), ("0.0.0.0/0", "0.0.0.0/0"),
        ("2001:db8::/32", "2001:db8::/32"), ("2001:DB8:0:0:0:0:0:0/32", "2001:db8::/32"), ("::1", "::1/128"),
        ("::/0", "::/0"), ("fe80::1:0:0:1", "fe80::1:0:0:1/128"), ("1:0:0:2::3", "1:0:0:2::3/128"),
        ("1:0:2:3:4:5:6:7", "1:0:2:3:4:5:6:7/128"), ("1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0/128"),
        ("::ffff:10.1.0.0/112", "10.1.0.0/16"), ("64:ff9b::192.0.2.1", "64:ff9b::c000:201/128"),
    ])
    func `a network is written back in its shortest form`(_ text: String, _ canonical: String) throws {
        let network = try Network.parse(text)
        #expect(network.description == canonical)
        #expect(try Network.parse(network.description) == network)
    }

    @Test(arguments: [
        "", "/", "10.0.0.0/", "10.0.0/8", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/8/8", "256.0.0.0",
        "010.0.0.0", "1.2.3.4.5", "example.org", ":", ":::", "1::2::3", "1:2:3:4:5:6:7", "1:2:3:4:5:6:7:8:9",
        "12345::", "g::", "::/129", "1:2:3:4:5:6:7:8::", "fe80::1%eth0", "::1.2.3", "1.2.3.4::", "+1::", "::1/+8",
    ])
    func `what is no network is refused`(_ text: String) {
        #expect(throws: ValueProblem.self) { try Network.parse(text) }
    }

    @Test func `bits behind the prefix are a mistake, and the message says what was meant`() {
        #expect(throws: ValueProblem("'10.1.2.3/8' has bits behind its prefix; expected 10.0.0.0/8")) {
            try Network.parse("10.1.2.3/8")
        }
        #expect(throws: ValueProblem("'2001:db8::1/32' has bits behind its prefix; expected 2001:db8::/32")) {
            try Network.parse("2001:db8::1/32")
        }
    }

    @Test(arguments: [
        ("10.0.0.0/8", "10.255.255.255", true), ("10.0.0.0/8", "11.0.0.0", false),
        ("10.0.0.0/8", "9.255.255.255", false),
        ("10.0.0.4/31", "10.0.0.5", true), ("10.0.0.4/31", "10.0.0.6", false), ("10.0.0.4", "10.0.0.4", true),
        ("0.0.0.0/0", "203.0.113.9", true), ("0.0.0.0/0", "2001:db8::1", false), ("::/0", "2001:db8::1", true),
        ("::/0", "203.0.113.9", false), ("10.0.0.0/8", "::ffff:10.9.8.7", true),
        ("2001:db8::/33", "2001:db8:8000::", false),
        ("2001:db8::/33", "2001:db8:7fff::1", true), ("::1", "::1", true), ("::1", "::2", false),
        ("::ffff:0:0/96", "1.2.3.4", true),
    ])
    func `an address lies in a network or it does not`(_ network: String, _ address: String, _ isIn: Bool) throws {
        let number = try #require(Network.address(of: address))
        #expect(try Network.parse(network).contains(number) == isIn)
    }

    @Test func `every prefix length holds exactly the addresses that share its bits`() throws {
        var state: UInt64 = 7
        func next() -> UInt64 {
            state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            return state >> 11 ^ state << 9
        }
        for length in 0...128 {
            let bits = UInt128(next()) << 64 | UInt128(next()) | 1 << 127
            let mask: UInt128 = length == 0 ? 0 : ~0 << UInt128(128 - length)
            let groups = (0..<8).map {
                String(UInt16(truncatingIfNeeded: (bits & mask) >> UInt128(112 - 16 * $0)), radix: 16)
            }
            let network = try Network.parse(groups.joined(separator: ":") + "/\(length)")
            #expect(network.contains(bits))
            if length > 0 { #expect(!network.contains(bits ^ 1 << UInt128(128 - length))) }
            if length < 128 { #expect(network.contains(bits ^ 1)) }
        }
    }
}

struct KeyRecordTests {
    private func key() -> KeyRecord {
        var key = KeyRecord(id: "k1")
        (key.org, key.team) = ("acme", "search")
        key.secrets = [KeySecret(hash: String(repeating: "0f", count: 32))]
        return key
    }

    private func ask(
        _ model: String = "chat", _ operation: KeyOperation = .chat, _ feature: String = "",
        _ priority: PriorityClass = .interactive
    ) -> KeyQuestion {
        KeyQuestion(model: model, operation: operation, feature: feature, priority: priority)
    }

    @Test func `nothing is allowed unless it is listed`() {
        var key = key()
        #expect(key.refusal(of: ask()) == .model("chat"))
        key.models = ["chat"]
        #expect(key.refusal(of: ask()) == .operation(.chat))
        key.operations = [.embeddings]
        #expect(key.refusal(of: ask()) == .operation(.chat))
        key.operations = [.chat]
        #expect(key.refusal(of: ask()) == nil)
        #expect(key.refusal(of: ask("chat-large")) == .model("chat-large"))
        key.models = ["*"]
        #expect(key.refusal(of: ask("chat-large")) == nil)
    }

    @Test func `features and priority narrow when they are set`() {
        var key = key()
        (key.models, key.operations) = (["*"], [.chat])
        #expect(key.refusal(of: ask("chat", .chat, "anything", .interactive)) == nil)
        key.features = ["summary"]
        #expect(key.refusal(of: ask("chat", .chat, "summary")) == nil)
        #expect(key.refusal(of: ask("chat", .chat, "other")) == .feature("other"))
        #expect(key.refusal(of: ask()) == .feature(""))
        key.features = []
        key.highestPriority = .background
        #expect(key.refusal(of: ask()) == .priority(.interactive, highest: .background))
        #expect(key.refusal(of: ask("chat", .chat, "", .background)) == nil)
        #expect(key.refusal(of: ask("chat", .chat, "", .batch)) == nil)
    }

    @Test func `a key ends with its last second, and so does a secret that was replaced`() {
        var key = key()
        key.expiresAtSeconds = 100
        #expect(key.refusal(atSeconds: 99) == nil && key.refusal(atSeconds: 100) == .expired)
        key.isRevoked = true
        #expect(key.refusal(atSeconds: 99) == .revoked)
        let old = KeySecret(hash: "", validUntilSeconds: 50)
        #expect(old.isValid(atSeconds: 49) && !old.isValid(atSeconds: 50))
        key.secrets.append(old)
        #expect(key.nextChange(afterSeconds: 10) == 50)
        #expect(key.nextChange(afterSeconds: 50) == 100)
        #expect(key.nextChange(afterSeconds: 100) == nil)
    }

    @Test func `a record is old so long after the key's end, which is its revocation or else its expiry`() {
        var key = key()
        #expect(!key.ended(secondsAgo: 0, atSeconds: .max), "it has no end")
        key.expiresAtSeconds = 100
        #expect(!key.ended(secondsAgo: 50, atSeconds: 149) && key.ended(secondsAgo: 50, atSeconds: 150))
        key.isRevoked = true
        #expect(!key.ended(secondsAgo: 50, atSeconds: .max), "nobody knows since when")
        key.revokedAtSeconds = 900
        #expect(!key.ended(secondsAgo: 50, atSeconds: 949) && key.ended(secondsAgo: 50, atSeconds: 950))
        #expect(KeyRecord.decode(id: key.id, key.encoded) == key)
    }

    @Test func `networks are asked only when there are any`() throws {
        var key = key()
        #expect(key.refusal(from: nil) == nil)
        key.networks = [try Network.parse("10.0.0.0/8"), try Network.parse("::1")]
        #expect(key.refusal(from: Network.address(of: "10.1.1.1")) == nil)
        #expect(key.refusal(from: Network.address(of: "::1")) == nil)
        #expect(key.refusal(from: Network.address(of: "192.0.2.1")) == .network)
        #expect(key.refusal(from: nil) == .network)
    }

    @Test func `own limits stand beside those of the team, and tighten one that shares its counter`() throws {
        var org = TenantRecord(org: "acme", team: nil)
        org.limits = [try Limit.parse("900 requests / minute", scope: .org)]
        var team = TenantRecord(org: "acme", team: "search")
        team.keyLimits = [try Limit.parse("600 requests / minute burst 50", scope: .key)]
        var key = key()
        key.limits = [
            try Limit.parse("60 requests / minute burst 90", scope: .key), try Limit.parse("4 concurrent", scope: .key),
        ]
        let set = try key.limitSet(version: 1, org: org, team: team)
        #expect(set.limits.map(\.amount) == [900, 60, 4])
        #expect(set.limits[1].burst == 50)
        key.limits = [try Limit.parse("6k requests / minute", scope: .key)]
        #expect(try key.limitSet(version: 1, org: org, team: team).limits.map(\.amount) == [900, 600], "never wider")
    }

    @Test func `each right is written and read back by its word`() throws {
        var key = key()
        let given: [(KeyRecord.Right, [String])] = [
            (.org, ["acme"]), (.team, ["ads"]), (.label, ["nightly job, 3"]), (.identity, ["spiffe://example.org/a"]),
            (.model, ["chat-default", "gpt/large:2"]), (.operation, ["embeddings"]), (.feature, ["a", "b/c"]),
            (.priority, ["batch"]), (.passthrough, ["yes"]), (.limit, ["5 concurrent", "$5.00 / day"]),
            (.network, ["10.0.0.0/8"]),
        ]
        for (right, values) in given {
            try key.set(right, to: values)
            #expect(key.values(of: right) == values, "\(right)")
        }
        #expect(KeyRecord.decode(id: "k1", key.encoded) == key)
        try key.set(.operation, to: ["*"])
        #expect(key.values(of: .operation) == ["*"] && key.operations == KeyOperation.allCases)
        for right in KeyRecord.Right.allCases { try key.set(right, to: []) }
        #expect(key.models.isEmpty && key.identity == nil && key.networks.isEmpty && key.limits.isEmpty)
    }

    @Test(arguments: [
        (KeyRecord.Right.org, ["a b"]), (.team, ["a", "b"]), (.label, ["two\nlines"]), (.label, ["a # comment"]),
        (.identity, ["search"]), (.identity, ["spiffe://sluice/node/1"]), (.model, ["a b"]), (.operation, ["talk"]),
        (.feature, ["a b"]), (.priority, ["urgent"]), (.passthrough, ["top_k"]), (.limit, ["many"]),
        (.network, ["10.1.0.0/8"]),
        (.limit, ["5 concurrent", "6 concurrent"]), (.model, [String](repeating: "m", count: 129)),
        (.limit, (1...9).map { "\($0) requests / second" }),
    ])
    func `a right that cannot be is refused and changes nothing`(_ right: KeyRecord.Right, _ values: [String]) {
        var key = key()
        let before = key
        #expect(throws: ValueProblem.self) { try key.set(right, to: values) }
        if right != .limit { #expect(key == before) }
    }

    @Test func `members for a provider need a right of their own, whose line is written only where it is given`() throws
    {
        var key = key()
        let plain = KeyQuestion(model: "m", operation: .chat, feature: "", priority: .interactive)
        let adding = KeyQuestion(
            model: "m", operation: .chat, feature: "", priority: .interactive, usesPassthrough: true)
        try key.set(.model, to: ["*"])
        try key.set(.operation, to: ["*"])
        #expect(key.refusal(of: plain) == nil && key.refusal(of: adding) == .passthrough)
        #expect(!String(decoding: key.encoded, as: UTF8.self).contains("passthrough"))
        try key.set(.passthrough, to: ["yes"])
        #expect(key.refusal(of: adding) == nil)
        try key.set(.passthrough, to: ["no"])
        #expect(key.refusal(of: adding) == .passthrough)
    }

    @Test func `each refusal names the field that is refused`() {
        let refusals: [(KeyRefusal, String)] = [
            (.revoked, "key"), (.expired, "key"), (.secretRetired, "key"), (.tenantGone, "key"), (.network, "address"),
            (.model("m"), "model"), (.operation(.chat), "operation"), (.feature("f"), "feature"),
            (.priority(.interactive, highest: .batch), "priority"), (.passthrough, "passthrough"),
        ]
        for (refusal, field) in refusals {
            #expect(refusal.field == field)
            #expect(refusal.description.contains("API key"))
        }
    }

    @Test func `a key in the file is read with every right, and each mistake is found at its place`() throws {
        let hash = String(repeating: "ab", count: 32)
        let lines = """
            hash = \(hash)
            hash = \(hash) until 1900000000
            org = acme
            team = search
            model = *
            operation = chat
            feature = summary
            priority = batch
            limit = 3 concurrent
            network = 2001:db8::/32
            expires = 1900000001
            """
        let key = try #require(KeyRecord.decode(id: "k1", Array(lines.utf8)))
        #expect(key.secrets.count == 2 && key.secrets[1].validUntilSeconds == 1_900_000_000)
        #expect(key.highestPriority == .batch && key.limits.count == 1 && key.networks.count == 1)
        for (line, expected) in [
            ("hash = 12", "64 hexadecimal"), ("hash = \(hash) until soon", "number"),
            ("priority = high", "twice"),
            ("operation = sing", "chat"), ("network = 10.0.0.1/8", "10.0.0.0/8"),
            ("limit = 4 concurrent", "same algorithm"),
            ("colour = red", "unknown key"), ("label = x\nlabel = y", "twice"),
        ] {
            let text = "[org acme]\n[team acme/search]\n[key k1]\n\(lines)\n\(line)\n"
            var reader = SnapshotReader(file: "f", isPublished: false)
            for section in ConfigurationDocument.parse(text, file: "f").0.sections { reader.read(section) }
            #expect(reader.problems.count == 1, "\(line): \(reader.problems)")
            #expect(reader.problems.first?.message.contains(expected) == true, "\(line): \(reader.problems)")
            #expect((reader.problems.first?.line ?? 0) >= 3)
        }
    }
}
