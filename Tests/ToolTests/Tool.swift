// The built program as a process: what it printed, what it complained about, how it ended.
import Foundation

struct ToolFailure: Error, CustomStringConvertible { let description: String }

/// The end of one run.
struct ToolRun: Sendable {
    var status: Int32
    /// Ended by a signal instead of by itself.
    var wasKilled: Bool
    var output: String
    var error: String
}

/// One run of `sluice` that is under way.
final class RunningTool: @unchecked Sendable {
    private let process = Process()
    private let output = Pipe()
    private let error = Pipe()

    /// Where the built programs are: beside the tests themselves.
    static let program =
        (Bundle.allBundles.first { $0.bundlePath.hasSuffix(".xctest") }?.bundleURL.deletingLastPathComponent()
        ?? URL(fileURLWithPath: CommandLine.arguments[0]).deletingLastPathComponent()).appending(path: "sluice")

    init(_ arguments: [String], in folder: String, input: String = "", environment: [String: String] = [:]) throws {
        process.executableURL = RunningTool.program
        process.arguments = arguments
        process.currentDirectoryURL = URL(fileURLWithPath: folder)
        // Nothing of the developer's own settings.
        process.environment = environment
        process.standardOutput = output
        process.standardError = error
        let file = URL(fileURLWithPath: "\(folder)/input-\(UUID().uuidString)")
        try Data(input.utf8).write(to: file)
        process.standardInput = try FileHandle(forReadingFrom: file)
        try process.run()
    }

    func signal(_ number: Int32) { kill(process.processIdentifier, number) }

    /// Ends the reading of the program's output while it runs.
    func closeOutput() throws { try output.fileHandleForReading.close() }

    /// Reads output until it holds `text`.
    func wait(for text: String) throws {
        var found = Data()
        while !String(decoding: found, as: UTF8.self).contains(text) {
            let more = output.fileHandleForReading.availableData
            guard !more.isEmpty else { throw ToolFailure(description: "'\(text)' never came") }
            found += more
        }
    }

    func end(readsOutput: Bool = true) -> ToolRun {
        let errors = Gathered(error.fileHandleForReading)
        let text = readsOutput ? output.fileHandleForReading.readDataToEndOfFile() : Data()
        process.waitUntilExit()
        return ToolRun(
            status: process.terminationStatus, wasKilled: process.terminationReason == .uncaughtSignal,
            output: String(decoding: text, as: UTF8.self), error: errors.text())
    }

    /// Reads one pipe while another is read.
    private final class Gathered: @unchecked Sendable {
        private let done = DispatchSemaphore(value: 0)
        private var bytes = Data()

        init(_ handle: FileHandle) {
            Thread.detachNewThread { [self] in
                bytes = handle.readDataToEndOfFile()
                done.signal()
            }
        }

        func text() -> String {
            done.wait()
            return String(decoding: bytes, as: UTF8.self)
        }
    }
}

/// A folder of one test.
struct ToolFolder {
    let path: String

    init() throws {
        path = NSTemporaryDirectory() + "sluice-tool-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
    }

    func write(_ name: String, _ text: String) throws {
        let file = URL(fileURLWithPath: "\(path)/\(name)")
        try FileManager.default.createDirectory(
            at: file.deletingLastPathComponent(), withIntermediateDirectories: true)
        try Data(text.utf8).write(to: file)
    }

    func run(
        _ arguments: String..., input: String = "", environment: [String: String] = [:]
    ) throws -> ToolRun {
        try RunningTool(arguments, in: path, input: input, environment: environment).end()
    }

    /// A certificate authority and a key, as the local cluster has them.
    func writeAccess() throws {
        try write("state/demo.key", "slk_k1_0123456789abcdef\n")
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/openssl")
        try FileManager.default.createDirectory(atPath: "\(path)/state/pki", withIntermediateDirectories: true)
        process.arguments = [
            "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
            "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-keyout", "\(path)/state/pki/ca.key", "-out",
            "\(path)/state/pki/ca.pem",
        ]
        process.standardError = FileHandle.nullDevice
        try process.run()
        process.waitUntilExit()
        guard process.terminationStatus == 0 else { throw ToolFailure(description: "openssl") }
    }
}
