// Settings are declared once: the documents say what the declarations say, and each one is read as it is written.
import Core
import Foundation
import Testing

@testable import Policy

@Suite struct SettingTests {
    static let document = ConfigurationTests.root.appending(path: "Docs/configuration.md")

    /// The tables of settings in the document, by the line in bold above each.
    static func tables() throws -> [String: String] {
        let lines = try String(contentsOf: document, encoding: .utf8).split(separator: "\n").map(String.init)
        var tables: [String: String] = [:]
        var form: String?
        for line in lines {
            if line.hasPrefix("**`["), let end = line.range(of: "`**") {
                form = String(line[line.index(line.startIndex, offsetBy: 3)..<end.lowerBound])
            } else if line.hasPrefix("|"), let form {
                tables[form, default: ""] += line + "\n"
            } else if line.hasPrefix("#") {
                form = nil
            }
        }
        return tables
    }

    @Test(arguments: SettingTable.all.map(\.form)) func `the document has the table of each section`(_ form: String)
        throws
    {
        let table = try #require(SettingTable.all.first { $0.form == form })
        let found = try SettingTests.tables()[form] ?? ""
        let (written, declared) = (found.split(separator: "\n"), table.text.split(separator: "\n"))
        for line in declared where !written.contains(line) {
            Issue.record(
                "Docs/configuration.md lacks in \(form):\n\(line)\nall of it: sluice config settings \(table.kind)")
        }
        for line in written where !declared.contains(line) {
            Issue.record("Docs/configuration.md has in \(form) what is not declared:\n\(line)")
        }
        #expect(found == table.text, "the order of \(form)")
    }

    @Test func `the document has no other tables of settings`() throws {
        #expect(try SettingTests.tables().keys.sorted() == SettingTable.all.map(\.form).sorted())
    }

    @Test func `a cell of a table has at most twenty words`() {
        for table in SettingTable.all {
            for row in table.text.split(separator: "\n").dropFirst(2) {
                for cell in row.split(separator: "|") {
                    #expect(cell.split(separator: " ").count <= 20, "\(table.form): \(cell)")
                }
            }
        }
    }

    @Test func `kinds have the numbers that nodes know, and each has another name`() {
        let names = [
            "provider", "route", "org", "team", "price", "key", "confirmation", "fleet", "share", "canary", "spread",
        ]
        #expect(RecordKind.all.map(\.name) == names)
        #expect(RecordKind.all[Int(RecordKind.key)].name == "key")
        #expect(Set(names + StartupSection.all.map(\.section.kind)).count == names.count + StartupSection.all.count)
        #expect(RecordKind.numbered(UInt8(names.count)) == nil)
    }

    @Test func `what an older node cannot read is left out while it is usual`() {
        var cluster = ClusterSnapshot()
        cluster.providers["p"] = ProviderRecord(name: "p")
        cluster.routes["r"] = RouteRecord(name: "r")
        cluster.orgs["o"] = TenantRecord(org: "o")
        cluster.teams["o/t"] = TenantRecord(org: "o", team: "t")
        cluster.keys["k"] = KeyRecord(id: "k")
        cluster.prices["m"] = ModelPrice(ModelPrice.Rates(input: 1, output: 1))
        for kind in RecordKind.all {
            let lines = kind.list(cluster).flatMap(\.lines)
            for (key, level) in kind.section.levels {
                #expect(level <= RecordLevel.own)
                #expect(!lines.contains { $0.hasPrefix("\(key) = ") }, "\(kind.name): \(key)")
            }
        }
    }

    @Test func `each right is declared, and the rights of the key are its lines`() {
        for right in KeyRecord.Right.allCases {
            #expect(KeyRecord.schema.setting(right.rawValue).isList == right.isList)
        }
    }

    /// What each setting of a section has when nothing is said, read again from its own text.
    private static func rereads<Record>(_ schema: SectionSchema<Record>) {
        for setting in schema.settings where !setting.isList {
            for text in setting.texts(schema.initial) {
                var record = schema.initial
                do {
                    try setting.take(text, &record)
                    #expect(setting.texts(record) == [text])
                } catch {
                    Issue.record("[\(schema.kind)] \(setting.key) does not read its default '\(text)': \(error)")
                }
            }
        }
    }

    @Test func `each default is a value that its setting takes`() {
        SettingTests.rereads(ClusterConfiguration.schema)
        SettingTests.rereads(ClusterConfiguration.Redis.schema)
        SettingTests.rereads(ClusterConfiguration.TLS.schema)
        SettingTests.rereads(ClusterConfiguration.Coordinator.schema)
        SettingTests.rereads(ClusterConfiguration.Nodes.schema)
        SettingTests.rereads(LedgerRetention.schema)
        SettingTests.rereads(ProviderRecord.schema)
        SettingTests.rereads(RouteRecord.schema)
        SettingTests.rereads(TenantRecord.orgSchema)
        SettingTests.rereads(TenantRecord.teamSchema)
        SettingTests.rereads(KeyRecord.schema)
    }

    @Test func `a setting is asked for by its name`() throws {
        let text = try String(contentsOf: ConfigurationTests.root.appending(path: "cluster.conf"), encoding: .utf8)
        let cluster = try ClusterConfiguration.parse(text, file: "c")
        let cases: [(String, String?)] = [
            ("cluster.state-directory", "state"), ("nodes.lanes", "1"), ("nodes.max-age", "30m"),
            ("nodes.memory-limit", ""), ("nodes.balancer-addresses", "127.0.0.2/32"),
            ("nodes.class-floors", "60 30 10"),
            ("redis.shape", "single"), ("redis.address", "unix:state/redis.sock"), ("ledger.max-records", "1M"),
            ("balancer.listen", "127.0.0.1:7443"), ("prices.file", "prices.csv"),
            ("coordinator.b.listen", "127.0.0.1:7402"), ("coordinator.a.admin-secret", "file:state/admin.secret"),
            ("provider.sim.max-connections", "2048"), ("provider.sim.probe", "off"),
            ("route.chat-default.attempts", "3"),
            ("team.acme/ads.key-limit", "32 concurrent"), ("org.acme.without-redis", "share"),
            ("nodes.lane", nil), ("coordinator.c.listen", nil), ("route.none.attempts", nil), ("fleet.count", nil),
            ("nodes", nil), ("", nil),
        ]
        for (name, value) in cases { #expect(cluster.setting(name) == value, "\(name)") }
    }

    @Test func `a list is full at its limit, and each value beyond it is reported`() {
        let hash = (0..<6).map { "hash = \(String(repeating: "\($0)", count: 64))" }.joined(separator: "\n")
        let text = "[org a]\n[team a/b]\n[key k]\norg = a\nteam = b\n\(hash)\n"
        var reader = SnapshotReader(file: "f", isPublished: false)
        for section in ConfigurationDocument.parse(text, file: "f").0.sections { reader.read(section) }
        #expect(reader.problems.map(\.message) == ["at most 4 of 'hash'", "at most 4 of 'hash'"])
        #expect(reader.problems.map(\.line) == [10, 11])
    }

    @Test func `what is published twice refuses itself alone where it is a key, all else the state`() {
        let key = "[key k]\nhash = \(String(repeating: "0f", count: 32))\norg = a\nteam = b\n"
        let (keys, none) = ClusterSnapshot.read("[org a]\n[team a/b]\n\(key)\(key)", file: "f")
        #expect(none.isEmpty && keys.keys.isEmpty && keys.unreadableKeys["k"] != nil)
        #expect(!ClusterSnapshot.read("[org a]\n[org a]\n", file: "f").1.isEmpty)
    }

    @Test func `nothing of a list of networks is dropped without a word`() throws {
        let text = try String(contentsOf: ConfigurationTests.root.appending(path: "cluster.conf"), encoding: .utf8)
        let line = "balancer-addresses = 127.0.0.2 "
        #expect(text.contains(line))
        for broken in ["10.0.0.1 10.0.0.2", "10.0.0.5 /24", "10.0.0.1,"] {
            let changed = text.replacing(line, with: "balancer-addresses = \(broken) ")
            #expect(throws: ClusterConfiguration.Problems.self, "\(broken)") {
                try ClusterConfiguration.parse(changed, file: "c")
            }
        }
        let two = text.replacing(line, with: "balancer-addresses = 10.0.0.1 , 10.0.0.0/24 ")
        let cluster = try ClusterConfiguration.parse(two, file: "c")
        #expect(cluster.setting("nodes.balancer-addresses") == "10.0.0.1/32, 10.0.0.0/24")
    }
}
