// A peer of another make and language, written from PROTOCOL.md alone: against the golden vectors, and against a real node.
import Foundation
import Testing

@Suite struct PeerTests {
    private static let program = TestCluster.root.appending(path: "Scripts/lib/peer.py").path

    @Test func `a second reader of the page decodes every vector and finds every mistake`() async throws {
        try await withCluster { cluster in
            let vectors = TestCluster.root.appending(path: "Tests/WireTests/Vectors").path
            let run = try await cluster.run(["/usr/bin/env", "python3", PeerTests.program, "vectors", vectors])
            #expect(run.status == 0 && run.output.hasSuffix(" vectors, 0 wrong\n"), "\(run.output)\(run.error)")
        }
    }

    @Test func `a second reader's client talks to a node`() async throws {
        try await withCluster { cluster in
            let place = ["127.0.0.1", "\(cluster.at("node") + 1)", cluster.path("state/pki/ca.pem")]
            let run = try await cluster.run(["/usr/bin/env", "python3", PeerTests.program, "talk"] + place)
            #expect(run.status == 0, "\(run.output)\(run.error)")
            #expect(run.output.split(separator: "\n").count == 17, "\(run.output)")
        }
    }
}
