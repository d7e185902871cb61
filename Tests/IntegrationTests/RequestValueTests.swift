// Values of a request that is well-formed and cannot be served: the node names the field, charges nothing and keeps the connection.
import Core
import Foundation
import Testing
import Wire

@Suite struct RequestValueTests {
    struct Case: Sendable {
        let field: String
        let edit: @Sendable (inout RequestHead) -> Void
    }

    static let cases: [Case] = [
        Case(field: "feature") { $0.feature = "\u{1B}[2K\u{1B}]0;pwned\u{7}" },
        Case(field: "feature") { $0.feature = "a\nTOTAL  9 9" },
        Case(field: "feature") { $0.feature = "a\u{9B}31m" },
        Case(field: "feature") { $0.feature = "a\u{2028}b" },
        Case(field: "feature") { $0.feature = "gnp\u{202E}.exe" },
        Case(field: "feature") { $0.feature = "sea\u{200B}rch" },
        Case(field: "feature") { $0.feature = "\u{FEFF}search" },
        Case(field: "model") { $0.model = "chat\r-default" },
        Case(field: "idempotency_key") { head in
            head = RequestHead(idempotencyKey: Identifier128(high: 0, low: 0), model: "chat-default")
        },
        Case(field: "timeout") { $0.timeoutMilliseconds = 600_001 },
        Case(field: "first_token") { $0.timeToFirstTokenMilliseconds = .max },
    ]

    @Test func `a value that cannot be served names its field and charges nothing`() async throws {
        try await withCluster { cluster in
            let caller = try Caller(cluster, node: 1)
            try await caller.connected()
            let before = try await cluster.quotaState()
            for (number, one) in RequestValueTests.cases.enumerated() {
                let refusal = await caller.ask("x", one.edit).refusal
                #expect(refusal?.code == .invalidRequest && refusal?.field == one.field, "\(number): \(one.field)")
                #expect(refusal?.retry == .never)
            }
            #expect(try await cluster.quotaState() == before)
            #expect(await caller.readyConnections() == 1, "the connection goes on")
            // What lies at the limits is served, other scripts are names too.
            let most = await caller.ask("x") {
                ($0.timeoutMilliseconds, $0.timeToFirstTokenMilliseconds) = (600_000, 600_000)
                $0.feature = "Suche für Köln 検索"
            }
            #expect(most.end != nil, "\(most.result)")
            #expect(most.end?.reasoningTokens == 0, "the provider said that it did not think")
            try await cluster.waitForLine(with: "Suche für Köln 検索", of: "node-1")
            // What was refused stands in the log in a form that no terminal obeys.
            try await cluster.waitForLine(with: "\\u202e", of: "node-1")
            let log = cluster.log("node-1")
            #expect(!log.unicodeScalars.contains { $0.isControl && $0 != "\n" })
        }
    }
}
