// A cluster with a second simulator of a test's own, which fails as it is told.
import Core
import Foundation
import Testing

/// Runs `body` with a cluster and a second simulator on the port that `sections`, further lines of cluster.conf, are made for.
///
/// `body` changes the second simulator's settings by its second argument.
func withSecondProvider(
    _ sections: (Int) -> String, nodes: String = "lanes = 1",
    _ body: (TestCluster, (String) async throws -> Void) async throws -> Void
) async throws {
    let place = try Place()
    defer { place.leave() }
    try await withCluster(sections(place.base), nodes: nodes) { cluster in
        let file = cluster.path("second.log")
        let child = try await Child.start(
            [cluster.program("sluice-provider-sim"), "--listen", "127.0.0.1:\(place.base)"],
            in: cluster.place.folder.path, output: file, error: file)
        do {
            try await cluster.wait("the second provider") {
                await cluster.http(place.base, "/sim/stats").status == 200
            }
            try await body(cluster) { settings in
                let answer = try await cluster.run([
                    "/usr/bin/curl", "-sf", "-d", settings, "http://127.0.0.1:\(place.base)/sim/faults",
                ])
                #expect(answer.status == 0, "\(answer.output)")
            }
        } catch {
            await child.end()
            throw error
        }
        await child.end()
    }
}
