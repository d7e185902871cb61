// The tool as people meet it: help for everything, and for each mistake what happened and what to do.
import Foundation
import Testing

@testable import Tool

@Suite struct CommandLineTests {
    static let commands = Program.commands.map(\.name)

    @Test func theListNamesEveryCommandAndEveryExitCode() async throws {
        let folder = try ToolFolder()
        for words in [[], ["help"], ["--help"], ["-h"]] {
            let run = try await RunningTool(words, in: folder.path).end()
            #expect(run.status == 0 && run.error.isEmpty)
            for name in CommandLineTests.commands { #expect(run.output.contains("\n  \(name) "), "\(name)") }
            for code in ["0 done", "1 failed", "64 ", "69 ", "75 ", "77 ", "130 "] {
                #expect(run.output.contains(code))
            }
        }
    }

    @Test(arguments: commands) func everyCommandHasAPageOfHelp(_ name: String) async throws {
        let folder = try ToolFolder()
        var pages: [ToolRun] = []
        for words in [["help", name], [name, "--help"], [name, "-h"]] {
            pages.append(try await RunningTool(words, in: folder.path).end())
        }
        #expect(Set(pages.map(\.output)).count == 1)
        for page in pages {
            #expect(page.status == 0 && page.error.isEmpty)
            #expect(page.output.hasPrefix("usage: sluice \(name)"))
            #expect(page.output.hasSuffix("\n"))
            let wide = page.output.split(separator: "\n").filter { $0.count > 120 }
            #expect(wide.isEmpty, "fits a terminal: \(wide)")
        }
    }

    @Test func thePageShowsEveryCommandAndItsExamplesAreTrue() async throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let page = try String(contentsOf: root.appending(path: "Docs/tool.md"), encoding: .utf8)
        for name in CommandLineTests.commands { #expect(page.contains("\n## \(name)\n\n```\n$ "), "\(name)") }
        let folder = try ToolFolder()
        let dump = try await folder.run("dump", input: "0008030000000000 0102030405060708\n")
        #expect(page.contains("| sluice dump\n\(dump.output)```"))
        let version = try await folder.run("version")
        #expect(page.contains("$ sluice version\n\(version.output)```"))
        // Every option that the page shows exists.
        let shown = page.split(separator: "\n").filter { $0.contains("sluice ") && $0.contains(" --") }
        for line in shown where line.hasPrefix("$ ") {
            let words = line.split(separator: " ").map(String.init)
            guard let place = words.lastIndex(of: "sluice"), place + 1 < words.count else { continue }
            let help = try await folder.run("help", words[place + 1]).output
            for option in words[place...] where option.hasPrefix("--") { #expect(help.contains(option), "\(line)") }
        }
    }

    struct Mistake: Sendable {
        let words: [String]
        let says: String
        var hint = "  "
    }

    static let mistakes: [Mistake] = [
        Mistake(words: ["chta", "hi"], says: "unknown command 'chta'", hint: "did you mean: sluice chat"),
        Mistake(words: ["nonsense"], says: "unknown command 'nonsense'", hint: "see: sluice help"),
        Mistake(words: ["help", "nonsense"], says: "unknown command 'nonsense'", hint: "see: sluice help"),
        Mistake(
            words: ["chat", "--modle", "x", "hi"], says: "unknown option '--modle'", hint: "see: sluice help chat"),
        Mistake(words: ["chat", "--model"], says: "--model needs a value", hint: "see: sluice help chat"),
        Mistake(words: ["chat", "--model", "--json", "hi"], says: "--model needs a value"),
        Mistake(words: ["chat", "--json=yes", "hi"], says: "--json takes no value"),
        Mistake(words: ["chat", "--deadline=0", "hi"], says: "--deadline takes a number from 1 to 600, found '0'"),
        Mistake(words: ["chat", "--max-output", "many", "hi"], says: "--max-output takes a number from 0 to 1000000"),
        Mistake(words: ["chat", "--priority", "high", "hi"], says: "--priority is interactive, background or batch"),
        Mistake(words: ["chat", "--model=", "hi"], says: "--model takes 1 to 128 bytes"),
        Mistake(
            words: ["chat", "--address", "nowhere", "hi"], says: "'nowhere' is not an address", hint: "SLUICE_ADDRESS"),
        Mistake(words: ["chat", "--ca", "missing.pem", "hi"], says: "missing.pem", hint: "--ca or SLUICE_CA"),
        Mistake(words: ["chat", "--key-file", "missing", "hi"], says: "'missing' cannot be read", hint: "--key-file"),
        Mistake(
            words: ["chat", "--key-file", "empty", "hi"], says: "'empty' is empty", hint: "--key-file"),
        Mistake(words: ["chat", "--key-file", "long", "hi"], says: "1 to 128 bytes, found 600"),
        Mistake(words: ["chat"], says: "no prompt"),
        Mistake(words: ["keys"], says: "expected: sluice keys create, change, rotate", hint: "see: sluice help keys"),
        Mistake(words: ["keys", "create"], says: "a key belongs to somebody"),
        Mistake(words: ["keys", "create", "--org", "a", "--team", "b"], says: "a key without --model may ask nothing"),
        Mistake(words: ["keys", "revoke"], says: "name one key"),
        Mistake(words: ["keys", "show", "slk_a_b"], says: "name the key by its id alone"),
        Mistake(words: ["keys", "change", "a1"], says: "nothing to change"),
        Mistake(words: ["keys", "rotate", "a1", "--overlap", "91d"], says: "--overlap takes a time"),
        Mistake(words: ["keys", "list"], says: "cluster.conf", hint: "name the file of your cluster"),
        Mistake(words: ["explain", "--key", "k1"], says: "name the route with --model", hint: "sluice help explain"),
        Mistake(words: ["explain", "--model", "m"], says: "name the key with --key or --key-file"),
        Mistake(words: ["explain", "--key", "slk_x", "--model", "m"], says: "a key such as slk_<id>_<secret>"),
        Mistake(words: ["explain", "--key-file", "gone", "--model", "m"], says: "'gone' cannot be read"),
        Mistake(words: ["explain", "--key", "k", "--model", "m", "--max-output", "-1"], says: "takes a number from 0"),
        Mistake(words: ["explain", "now"], says: "unexpected word 'now'"),
        Mistake(words: ["status", "now"], says: "unexpected word 'now'", hint: "see: sluice help status"),
        Mistake(words: ["status", "--config", "missing.conf"], says: "there is no file 'missing.conf'"),
        Mistake(words: ["apply", "--confirm-routes", "x"], says: "--confirm-routes takes a number"),
        Mistake(words: ["check", "a", "b"], says: "unexpected word 'b'"),
        Mistake(words: ["check", "--nodes", "0"], says: "--nodes takes a number from 1 to 1000"),
        Mistake(words: ["check", "missing.conf"], says: "there is no file 'missing.conf'", hint: "name the file"),
        Mistake(words: ["config"], says: "expected: sluice config get NAME"),
        Mistake(words: ["config", "settings", "node"], says: "no kind of section 'node'; known: cluster, redis"),
        Mistake(words: ["config", "rollback", "last"], says: "the number of a version", hint: "sluice config history"),
        Mistake(words: ["config", "diff", "1", "x"], says: "found 'x'"),
        Mistake(words: ["apply", "--reason", "two\nlines"], says: "--reason takes at most"),
        Mistake(words: ["config", "get", "x"], says: "cluster.conf"),
        Mistake(words: ["canary", "start", "r"], says: "expected: sluice canary start ROUTE TARGET"),
        Mistake(words: ["canary", "stop"], says: "expected start, status, promote or abort, found 'stop'"),
        Mistake(words: ["canary", "abort"], says: "name one route", hint: "sluice canary status"),
        Mistake(words: ["canary", "start", "r", "p/m", "--steps", "5,1"], says: "--steps: expected rising shares"),
        Mistake(words: ["canary", "start", "r", "p/m", "--hold", "x"], says: "--hold: "),
        Mistake(words: ["migrate", "r", "p/m"], says: "expected: sluice migrate ROUTE FROM TO"),
        Mistake(words: ["migrate", "r", "p/m", "q/m", "--max-cost", "0"], says: "--max-cost: expected whole per cent"),
        Mistake(words: ["bench", "--concurrency", "0"], says: "--concurrency takes a number from 1 to 20000"),
        Mistake(words: ["bench", "--target", "ftp://x"], says: "--target takes a URL"),
        Mistake(words: ["bench", "--pid", "me"], says: "--pid takes a number"),
        Mistake(words: ["bench", "--pid", "999999999"], says: "no process 999999999"),
        Mistake(words: ["bench", "again"], says: "unexpected word 'again'"),
        Mistake(words: ["dump", "missing.hex"], says: "missing.hex: No such file or directory"),
        Mistake(words: ["dump"], says: "found none"),
        Mistake(words: ["version", "now"], says: "unexpected word 'now'"),
    ]

    @Test(arguments: mistakes.indices) func everyMistakeIsToldWithWhatToDo(_ index: Int) async throws {
        let folder = try ToolFolder()
        try folder.writeAccess()
        try folder.write("empty", "\n")
        try folder.write("long", String(repeating: "k", count: 600))
        let mistake = CommandLineTests.mistakes[index]
        let run = try await RunningTool(mistake.words, in: folder.path).end()
        #expect(run.status == 64 && run.output.isEmpty)
        #expect(run.error.hasPrefix("sluice: ") && run.error.contains(mistake.says), "\(run.error)")
        let lines = run.error.split(separator: "\n")
        #expect(lines.count == 2 && lines[1].hasPrefix("  ") && lines[1].contains(mistake.hint), "\(run.error)")
    }

    @Test func whatStandsBehindTwoDashesIsThePrompt() async throws {
        let folder = try ToolFolder()
        let run = try await folder.run("chat", "--", "--help")
        #expect(run.status == 64 && run.error.contains("state/pki/ca.pem"), "it went on to connect: \(run.error)")
    }

    // MARK: - check

    static let good = """
        [cluster t]
        state-directory = state
        [redis main]
        address = unix:redis.sock
        [tls cluster]
        ca = ca.pem
        certificate = node.pem
        key = node.key
        [coordinator a]
        listen = 127.0.0.1:7400
        admin = 127.0.0.1:7401
        admin-secret = file:admin.secret
        certificate = c.pem
        key = c.key
        [nodes edge]
        base-port = 7500
        admin-base-port = 7600
        [provider sim]
        kind = openai
        base-url = http://127.0.0.1:7700/v1
        allow-plain-http = yes
        api-key = file:provider.key
        [price m]
        input = $1 / 1M tokens
        output = $2 / 1M tokens
        [route chat-default]
        target = sim/m
        [org acme]
        limit = 100 requests / minute
        [team acme/search]

        """

    @Test func checkTellsEveryMistakeWithItsPlaceAndOtherwiseWhatItFound() async throws {
        let folder = try ToolFolder()
        try folder.write("cluster.conf", CommandLineTests.good)
        let fine = try await folder.run("check")
        #expect(fine.status == 0, "\(fine.error)")
        #expect(fine.output.hasPrefix("cluster.conf is valid: 1 routes, 1 providers, 1 orgs, 1 teams, prices "))
        let bad = CommandLineTests.good.replacingOccurrences(of: "base-port = 7500", with: "base-prot = 7500")
            .replacingOccurrences(of: "target = sim/m", with: "target = nobody/m")
        try folder.write("bad.conf", bad)
        let run = try await folder.run("check", "bad.conf")
        #expect(run.status == 64 && run.output.isEmpty)
        let lines = run.error.split(separator: "\n")
        #expect(lines.contains { $0.hasPrefix("bad.conf:16:1: ") && $0.contains("base-prot") }, "\(run.error)")
        #expect(lines.contains { $0.hasPrefix("bad.conf:27:") && $0.contains("nobody") }, "\(run.error)")
    }

    @Test func checkTellsWhereTheCapacityOfAProviderIsLessThanItsLanes() async throws {
        let folder = try ToolFolder()
        let shared = CommandLineTests.good
            .replacingOccurrences(of: "kind = openai\n", with: "kind = openai\ncapacity = 8\n")
            .replacingOccurrences(of: "base-port = 7500\n", with: "base-port = 7500\nlanes = 4\n")
        try folder.write("cluster.conf", shared)
        let enough = try await folder.run("check", "--nodes", "2")
        #expect(enough.status == 0 && enough.error.isEmpty, "\(enough.error)")
        let small = try await folder.run("check", "--nodes", "3")
        #expect(small.status == 0 && small.output.hasPrefix("cluster.conf is valid"), "\(small.error)")
        #expect(small.error.contains("[provider sim] capacity = 8 is less than nodes × lanes, 3 × 4 = 12"))
    }

    @Test func configPrintsOneSettingForScripts() async throws {
        let folder = try ToolFolder()
        try folder.write("other.conf", CommandLineTests.good)
        let environment = ["SLUICE_CONFIG": "other.conf"]
        #expect(try await folder.run("config", "get", "nodes.base-port", environment: environment).output == "7500\n")
        #expect(
            try await folder.run("config", "get", "redis.address", "--config=other.conf").output == "unix:redis.sock\n")
        let run = try await folder.run("config", "get", "nodes.colour", environment: environment)
        #expect(run.status == 64 && run.error.contains("no setting 'nodes.colour'"))
    }

    // MARK: - dump

    @Test func dumpNamesEveryGoldenFrame() async throws {
        let file = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .appending(path: "WireTests/Vectors/frames.txt")
        let blocks = try String(contentsOf: file, encoding: .utf8).components(separatedBy: "\n\n")
        var hex = ""
        var wanted: [String] = []
        var offset = 0
        for block in blocks {
            func value(_ key: String) -> String? {
                block.split(separator: "\n").first { $0.hasPrefix("\(key): ") }.map {
                    String($0.dropFirst(key.count + 2))
                }
            }
            guard let means = value("means"), let bytes = value("hex") else { continue }
            wanted.append("\(offset): \(means)")
            hex += bytes + "\n"
            offset += bytes.count / 2
        }
        #expect(wanted.count > 20)
        let folder = try ToolFolder()
        let run = try await folder.run("dump", input: hex)
        #expect(run.status == 0)
        #expect(run.output.split(separator: "\n").map(String.init) == wanted)
        try folder.write("frames.hex", hex)
        #expect(try await folder.run("dump", "frames.hex").output == run.output)
    }

    @Test func dumpTellsWhereTheTextIsNoHexadecimal() async throws {
        let folder = try ToolFolder()
        #expect(try await folder.run("dump", input: "00 0x").error.contains("byte 5 is none"))
        #expect(try await folder.run("dump", input: "000").error.contains("the last one is half"))
    }

    // MARK: - Ends

    @Test func aReaderThatGoesAwayIsNoCrash() async throws {
        let folder = try ToolFolder()
        let frame = "0008030000000000" + "0102030405060708"
        let tool = try RunningTool(["dump"], in: folder.path, input: String(repeating: frame, count: 20_000))
        try tool.closeOutput()
        let run = await tool.end(readsOutput: false)
        #expect(!run.wasKilled && run.status == 0 && run.error.isEmpty)
    }
}
