// The program as a process: how it starts, says what is wrong, and ends.
import Foundation
import Testing

@testable import ProviderSim

@Suite struct ProgramTests {
    /// The program stands beside the test bundle.
    private static let program = URL(fileURLWithPath: CommandLine.arguments[0]).resolvingSymlinksInPath()
        .deletingLastPathComponent().appendingPathComponent("sluice-provider-sim")

    private func start(_ arguments: [String]) throws -> (Process, Pipe, Pipe) {
        let process = Process()
        let output = Pipe()
        let errors = Pipe()
        process.executableURL = Self.program
        process.arguments = arguments
        process.standardOutput = output
        process.standardError = errors
        try process.run()
        return (process, output, errors)
    }

    @Test(arguments: [
        (["--lanes", "0"], Int32(64), "--lanes: expected a number from 1 to 64, found '0'"),
        (["--error", "whatever"], 64, "--error: expected none, a status from 400 to 599"),
        (["--nonsense", "1"], 64, "expected a known option"),
        (["--listen", "somewhere"], 69, "expected an address such as 127.0.0.1:7700"),
        (["--certificate", "/nowhere", "--key", "/nowhere"], 69, "/nowhere"),
    ])
    func aWrongStartSaysWhyAndHasItsExitCode(_ arguments: [String], _ code: Int32, _ message: String) throws {
        let (process, _, errors) = try start(arguments)
        process.waitUntilExit()
        #expect(process.terminationStatus == code)
        let text = String(decoding: errors.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        #expect(text.contains(message), "\(text)")
    }

    @Test func helpIsForReading() throws {
        let (process, output, _) = try start(["--help"])
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(text == SimulatorOptions.help + "\n")
    }

    @Test(arguments: [SIGTERM, SIGINT])
    func aSignalEndsItInGoodOrder(_ signal: Int32) throws {
        let (process, output, _) = try start(["--listen", "127.0.0.1:0"])
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        #expect(line.hasPrefix("sluice-provider-sim: listening on http://127.0.0.1:"))
        kill(process.processIdentifier, signal)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0)
        #expect(process.terminationReason == .exit)
    }

    @Test func itSpeaksTLSWithTheGivenCertificate() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("sluice-sim-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let certificate = folder.appendingPathComponent("certificate.pem").path
        let key = folder.appendingPathComponent("key.pem").path
        try run([
            "openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout",
            key,
            "-out", certificate, "-days", "2", "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost",
        ])
        let (process, output, _) = try start([
            "--listen", "127.0.0.1:0", "--certificate", certificate, "--key", key,
        ])
        defer {
            process.terminate()
            process.waitUntilExit()
        }
        let line = String(decoding: output.fileHandleForReading.availableData, as: UTF8.self)
        let port = try #require(line.split(separator: ":").last).filter(\.isNumber)
        #expect(line.contains("https://"))
        let answer = try run([
            "curl", "-sS", "--max-time", "10", "--cacert", certificate, "--resolve", "localhost:\(port):127.0.0.1",
            "https://localhost:\(port)/v1/models",
        ])
        #expect(answer.contains("\"object\":\"list\""))
    }

    @discardableResult
    private func run(_ command: [String]) throws -> String {
        let process = Process()
        let output = Pipe()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = command
        process.standardOutput = output
        process.standardError = FileHandle.nullDevice
        try process.run()
        let text = String(decoding: output.fileHandleForReading.readDataToEndOfFile(), as: UTF8.self)
        process.waitUntilExit()
        #expect(process.terminationStatus == 0, "\(command.prefix(2))")
        return text
    }
}
