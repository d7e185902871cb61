// A coordinator whose disk is really full: a small file system of its own, filled to the last byte.
import Core
import Foundation
import Testing

@Suite(.enabled(if: TestCoordinator.canMount, "a small file system needs the right to mount: run it as root"))
struct FullDiskTests {
    private let coordinator: TestCoordinator

    init() throws { coordinator = try TestCoordinator(disk: "6m") }

    private var file: String { coordinator.pathOnDisk("coordinator-a.keys") }
    private var filler: String { coordinator.pathOnDisk("filler") }

    /// Takes all room that is left; how many bytes that was.
    private func fill() -> Int {
        let descriptor = open(filler, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        defer { close(descriptor) }
        let block = [UInt8](repeating: 1, count: 4_096)
        var count = 0
        while true {
            let written = write(descriptor, block, block.count)
            guard written > 0 else { return count }
            count += written
        }
    }

    private func makeKey() throws -> String {
        let body = #"{"org":"acme","team":"search","models":["chat-1"]}"#
        return try #require(coordinator.http("POST", "/v1/keys", body: body).json["id"]?.text)
    }

    /// Whether the disk has the key as revoked.
    private func isRevokedOnDisk(_ id: String) -> Bool {
        let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
        guard let start = text.range(of: "[key \(id)]")?.upperBound else { return false }
        return text[start...].prefix { $0 != "[" }.contains("revoked = yes")
    }

    @Test func `a revocation is on disk though the disk is full; without room it is told and tried again`() throws {
        try coordinator.wait("Redis") { coordinator.http("GET", "/v1/status").json["redis"]?.bool == true }
        let ids = [try makeKey(), try makeKey(), try makeKey()]
        try coordinator.wait("the keys on disk") {
            let text = (try? String(contentsOfFile: file, encoding: .utf8)) ?? ""
            return ids.allSatisfy { text.contains($0) }
        }
        #expect(fill() > 0)
        for id in ids.prefix(2) {
            let revoked = coordinator.http("POST", "/v1/keys/\(id)/revoke")
            #expect(revoked.status == 200 && revoked.json["saved"]?.bool == true, "\(revoked.text)")
            #expect(isRevokedOnDisk(id))
            _ = fill()
        }
        // Somebody takes the room that was kept.
        unlink(file + ".new")
        #expect(fill() >= 1 << 20)
        let revoked = coordinator.http("POST", "/v1/keys/\(ids[2])/revoke")
        #expect(revoked.status == 200 && revoked.json["saved"]?.bool == false, "\(revoked.text)")
        #expect(revoked.json["warning"]?.text?.contains("is not saved") == true, "\(revoked.text)")
        #expect(coordinator.http("GET", "/readyz", secret: nil).text.contains("No space left on device"))
        #expect(coordinator.log().contains("state_not_saved"))
        #expect(!isRevokedOnDisk(ids[2]))
        unlink(filler)
        try coordinator.wait("the revocation on disk", seconds: 30) { isRevokedOnDisk(ids[2]) }
        try coordinator.wait("all is well", seconds: 30) {
            let text = coordinator.http("GET", "/readyz", secret: nil).text
            return !text.contains("is not saved") && !text.contains("no room is kept")
        }
    }
}
