// The golden vectors: files that any language can read, held against this implementation in both directions.

import Core
import Foundation
import Testing

@testable import Wire

@Suite struct VectorTests {
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Vectors")

    /// Blocks of `key: value` lines, parted by empty lines; `#` begins a comment.
    static func blocks(_ file: String) throws -> [[String: String]] {
        let text = try String(contentsOf: folder.appendingPathComponent(file), encoding: .utf8)
        return text.components(separatedBy: "\n\n").compactMap { block in
            var entries: [String: String] = [:]
            for line in block.split(separator: "\n") where !line.hasPrefix("#") {
                guard let colon = line.firstIndex(of: ":") else { continue }
                let value = line[line.index(after: colon)...].trimmingCharacters(in: .whitespaces)
                entries[String(line[..<colon])] = value
            }
            return entries.isEmpty ? nil : entries
        }
    }

    static func hex(_ bytes: [UInt8]) -> String { bytes.map { String(format: "%02x", $0) }.joined() }

    static func unhex(_ text: String?) throws -> [UInt8] {
        guard let text, let bytes = FrameDump.bytes(hex: text).bytes else { throw WireFault(.fieldValue) }
        return bytes
    }

    @Test func framesEncodeToTheGoldenBytesAndDecodeFromThem() throws {
        try Self.writeIfAsked()
        let blocks = try Self.blocks("frames.txt")
        let samples = Dictionary(uniqueKeysWithValues: Samples.all.map { ($0.name, $0) })
        #expect(blocks.count == samples.count)
        for block in blocks {
            let golden = try Self.unhex(block["hex"])
            let name = block["name"] ?? "?"
            #expect(samples[name]?.bytes == golden, "\(name) encodes")
            #expect(try Samples.reencode(golden) == golden, "\(name) decodes")
            #expect(FrameDump.describe(golden).first == "0: " + (block["means"] ?? ""), "\(name) means")
        }
    }

    @Test func goldenMistakesEndTheConnectionWithTheGoldenReason() throws {
        let blocks = try Self.blocks("errors.txt")
        #expect(blocks.count >= 40)
        for block in blocks {
            let name = block["name"] ?? "?"
            let bytes = try Self.unhex(block["hex"])
            let pair =
                switch block["state"] {
                case "new": Pair()
                case "resume": ResumeTests.pair()
                default: Pair.open(hello: Self.hello(block["state"]))
                }
            if block["state"] == "request" {
                pair.ask()
                pair.run()
            }
            if block["to"] == "client" {
                pair.toClient.append(bytes)
                while let event = pair.client.receive(&pair.toClient, at: pair.now) { pair.note(event) }
                #expect(pair.seen.last == "failed \(block["fails"] ?? "?"), found by local", "\(name)")
            } else {
                pair.inject(bytes)
                #expect(pair.served.last == "failed \(block["fails"] ?? "?"), found by local", "\(name)")
            }
        }
    }

    @Test func bodiesEncodeToTheGoldenBytesAndDecodeFromThem() throws {
        for block in try Self.blocks("bodies.txt") {
            let name = block["name"] ?? "?"
            let golden = try Self.unhex(block["hex"])
            if let fails = block["fails"] {
                #expect(Bodies.describe(golden) == fails, "\(name)")
            } else {
                #expect(Bodies.samples[name] == golden, "\(name) encodes")
                #expect(Bodies.describe(golden) == block["means"], "\(name) decodes")
            }
        }
    }

    @Test func thePageHasEachRuleWithItsNumberAndCode() throws {
        let page = try String(
            contentsOf: Self.folder.appendingPathComponent("../../../Sources/Wire/PROTOCOL.md"), encoding: .utf8)
        for rule in Violation.allCases where rule != .none {
            #expect(page.contains("\n| \(rule.rawValue) | \(rule) | \(rule.code.name) | "), "\(rule)")
        }
    }

    static func hello(_ state: String?) -> Hello {
        state == "node" ? Hello(role: .node, authentication: .certificate) : Hello(apiKey: Pair.key)
    }

    /// With SLUICE_WRITE_VECTORS set the frames are written anew: only for a new version, whose file gets a new name.
    static func writeIfAsked() throws {
        guard ProcessInfo.processInfo.environment["SLUICE_WRITE_VECTORS"] != nil else { return }
        var text = header
        for sample in Samples.all {
            let means = FrameDump.describe(sample.bytes).first?.dropFirst(3) ?? ""
            text += "name: \(sample.name)\nfrom: \(sample.from)\nmeans: \(means)\nhex: \(hex(sample.bytes))\n\n"
        }
        try text.write(to: folder.appendingPathComponent("frames.txt"), atomically: true, encoding: .utf8)
        // The refusals stand in front and are kept; what is read is written behind them.
        var bodies = try String(contentsOf: folder.appendingPathComponent("bodies.txt"), encoding: .utf8)
        if let first = bodies.range(of: "\nname: chat") { bodies = String(bodies[..<first.lowerBound]) }
        for (name, body) in Bodies.samples.sorted(by: { $0.key < $1.key }) {
            bodies += "\nname: \(name)\nmeans: \(Bodies.describe(body))\nhex: \(hex(body))\n"
        }
        try bodies.write(to: folder.appendingPathComponent("bodies.txt"), atomically: true, encoding: .utf8)
    }

    static let header = """
        # sluice/1 golden frames. Blocks of `key: value` lines, parted by an empty line; lines with # are comments.
        #   name   of the vector
        #   from   which side sends it: client or server
        #   means  what it says, for people
        #   hex    the whole frame, header included
        # An implementation encodes the message to exactly these bytes and decodes them to the same message.


        """
}
