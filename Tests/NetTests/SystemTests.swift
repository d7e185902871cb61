// What the engine takes from the system: randomness that cannot be had ends the process, secrets are read by one rule.
import Core
import Foundation
import Testing

@testable import Net

@Suite struct SystemTests {
    @Test func `a random source that gives too little ends the process`() async {
        await #expect(processExitsWith: .failure) { Host.fillRandom(16) { 15 } }
        await #expect(processExitsWith: .failure) {
            Host.fillRandom(16) {
                errno = ENOSYS
                return -1
            }
        }
    }

    @Test func `a random source that a signal interrupts is asked again`() {
        var calls = 0
        Host.fillRandom(16) {
            calls += 1
            if calls == 1 {
                errno = EINTR
                return -1
            }
            return 16
        }
        #expect(calls == 2)
        #expect(Host.randomBytes(32) != Host.randomBytes(32))
        #expect(Host.randomSeed() != Host.randomSeed())
    }

    private func secret(_ content: String) throws(SecretProblem) -> String {
        let file = NSTemporaryDirectory() + "secret-\(UUID().uuidString)"
        defer { unlink(file) }
        try? Data(content.utf8).write(to: URL(fileURLWithPath: file))
        let folder = FileAccess.folder(of: file)
        let name = String(file.dropFirst(folder.count + 1))
        return try SecretFile.read(.file(name), in: folder).withBytes { String(decoding: $0, as: UTF8.self) }
    }

    @Test(arguments: [
        ("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n\r\n", "s3cret"), (" s 3\tcret \n", " s 3\tcret "),
        ("{\n\"a\": 1\n}\n", "{\n\"a\": 1\n}"),
    ])
    func `line ends behind a secret do not count, all else does`(content: String, expected: String) throws {
        #expect(try secret(content) == expected)
    }

    @Test(arguments: ["", "\n", "\r\n\n"]) func `an empty secret is an error that names the file`(content: String) {
        let problem = #expect(throws: SecretProblem.self) { try secret(content) }
        #expect(problem?.description.hasSuffix("is empty") == true)
    }

    @Test func `a secret that is not there is an error that says where it was looked for`() {
        let file = #expect(throws: SecretProblem.self) { try SecretFile.read(.file("none"), in: "/nowhere") }
        #expect(file?.description.contains("/nowhere/none") == true)
        let variable = #expect(throws: SecretProblem.self) {
            try SecretFile.read(.environment("SLUICE_NO_SUCH"), in: ".")
        }
        #expect(variable?.description == "the environment variable SLUICE_NO_SUCH is not set")
    }

    @Test(arguments: [
        ("/etc/sluice/cluster.conf", "/etc/sluice"), ("cluster.conf", "."), ("/cluster.conf", "/"), ("a/b.conf", "a"),
    ])
    func `relative paths begin at the folder of their file`(file: String, folder: String) {
        #expect(FileAccess.folder(of: file) == folder)
        #expect(FileAccess.path("x", in: folder) == ["/": "/x", ".": "x"][folder, default: "\(folder)/x"])
        #expect(FileAccess.path("/x", in: folder) == "/x")
    }
}
