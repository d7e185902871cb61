// The table of routes that operators read is the one that answers.
import Foundation
import HTTP
import Testing

@testable import Coordinator

@Suite struct AdminRoutesTests {
    @Test func `the documents have each route, and no other`() throws {
        let root = URL(fileURLWithPath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "Docs/operating.md"), encoding: .utf8)
        let lines = text.split(separator: "\n").map(String.init)
        let documented = lines.filter {
            ($0.hasPrefix("| `GET ") || $0.hasPrefix("| `POST ")) && $0.split(separator: "|").count == 3
        }
        let rows = AdminServer.routes.routes.map {
            "| `\($0.method) \($0.pattern)` | \($0.action.needs.rawValue) | \($0.text) |"
        }
        #expect(documented == rows)
    }
}
