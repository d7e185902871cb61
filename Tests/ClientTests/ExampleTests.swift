// The page for users of the library is true: its example runs, and its figures are the code's.
import Client
import Foundation
import Net
import TestSupport
import Testing
import Wire

@Suite struct ExampleTests {
    static let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
        .deletingLastPathComponent()

    static func text(_ path: String) throws -> String {
        try String(contentsOf: root.appending(path: path), encoding: .utf8)
    }

    @Test func thePageShowsTheCodeThatIsCompiledHere() throws {
        let source = try ExampleTests.text("Tests/ClientTests/Example.swift")
        let code = source.components(separatedBy: "// example begins\n").last?.components(
            separatedBy: "// example ends"
        )
        .first
        let page = try ExampleTests.text("Docs/client.md")
        #expect(page.contains("```swift\nimport Client\nimport Net\nimport Wire\n\n\(code ?? "?")```"))
    }

    @Test func theExampleRuns() async throws {
        let server = try ScriptedServer { request in
            switch request.head.feature {
            case "search":
                request.text("Because ")
                request.text("of the air.")
                request.end(End(costMicroUSD: 42))
            default: request.fail(StreamError(code: .quotaTokens, retryAfterMilliseconds: 3_000))
            }
        }
        let client = try makeClient(
            address: "127.0.0.1:\(server.port)", ca: "\(try TestAuthority.shared.get().folder)/ca.pem",
            key: "slk_k1_0123456789abcdef")
        let heard = Gathered()
        let cost = try await explain("Why is the sky blue?", with: client) { await heard.add($0) }
        #expect(await heard.text == "Because of the air." && cost == 42)
        #expect(await summary(of: "long", with: client) == "busy, again in 3.0 seconds")
        #expect(server.seen.hellos.first?.client == "search-service 1.4")
        await client.close()
    }

    @Test func optionsThatCannotWorkAreTold() {
        #expect(throws: ClientFailure.unreachable("'nowhere' is not an address such as 10.0.0.1:7443")) {
            try makeClient(address: "nowhere", ca: "ca.pem", key: "slk_a_b")
        }
        #expect(throws: ClientFailure.self) { try makeClient(address: "h:1", ca: "missing.pem", key: "slk_a_b") }
    }

    @Test func thePageNamesEveryOptionWithItsValue() throws {
        let page = try ExampleTests.text("Docs/client.md")
        let access = try options(port: 1)
        let standard = ClientOptions(endpoint: access.endpoint, tls: access.tls, serverName: "", apiKey: [])
        let budget = standard.retryBudget
        let share = "\(budget.thousandthsPerRequest / 10) % + \(budget.perSecond)/s, at most \(budget.limit)"
        let deadline = ChatRequest(model: "m", prompt: "").deadline
        let rows = [
            "| `connections` | \(standard.connections) |", "| `attempts` | \(standard.attempts) |",
            "| `retryBudget` | \(share) |", "| `longestPause` | \(standard.longestPause.components.seconds) s |",
            "| `patience` | \(standard.patience.components.seconds) s |", "| `waiting` | 65,536 |",
            "| `waitingBytes` | \(standard.waitingBytes >> 20) MiB |",
            "| `continuesStreams` | \(standard.continuesStreams ? "on" : "off") |",
            "| `searches` | \(standard.searches) |",
            "| `deadline` | \(deadline.components.seconds) s |",
        ]
        #expect(standard.waiting == 65_536)
        for row in rows { #expect(page.contains(row), "\(row)") }
        for code in ErrorCode.allCases where code != .unrecognized && code.scope == .stream {
            #expect(page.contains("`\(code.name)`"), "\(code.name) stands in the table of retry classes")
        }
    }

    actor Gathered {
        private(set) var text = ""
        func add(_ more: String) { text += more }
    }
}
