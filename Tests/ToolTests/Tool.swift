// The built program as a process: what it printed, what it complained about, how it ended.
import Foundation
import TestSupport

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
    func wait(for text: String) async throws {
        let handle = output.fileHandleForReading
        let found = await onThread { () -> Bool in
            var found = Data()
            while !String(decoding: found, as: UTF8.self).contains(text) {
                let more = handle.availableData
                if more.isEmpty { return false }
                found += more
            }
            return true
        }
        guard found else { throw ToolFailure(description: "'\(text)' never came") }
    }

    /// Reads what is left to read, and waits for the program's end.
    func end(readsOutput: Bool = true) async -> ToolRun {
        let (output, error) = (output.fileHandleForReading, error.fileHandleForReading)
        async let errors = onThread { error.readDataToEndOfFile() }
        async let text = onThread { readsOutput ? output.readDataToEndOfFile() : Data() }
        let run = await ToolRun(
            status: 0, wasKilled: false, output: String(decoding: text, as: UTF8.self),
            error: String(decoding: errors, as: UTF8.self))
        return await onThread { [process] in
            process.waitUntilExit()
            var ended = run
            ended.status = process.terminationStatus
            ended.wasKilled = process.terminationReason == .uncaughtSignal
            return ended
        }
    }
}

/// Runs what blocks on a thread of its own: the few threads of the concurrency runtime belong to all tests.
private func onThread<T: Sendable>(_ body: @escaping @Sendable () -> T) async -> T {
    await withCheckedContinuation { continuation in
        Thread.detachNewThread { continuation.resume(returning: body()) }
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
    ) async throws -> ToolRun {
        try await RunningTool(arguments, in: path, input: input, environment: environment).end()
    }

    /// A certificate authority and a key, as the local cluster has them.
    func writeAccess() throws {
        try write("state/demo.key", "slk_k1_0123456789abcdef\n")
        let authority = try TestAuthority.shared.get().folder
        try write("state/pki/ca.pem", try String(contentsOfFile: "\(authority)/ca.pem", encoding: .utf8))
    }
}
