// A plain blocking socket for the tests, so that what arrives is seen byte by byte and end by end.
import Foundation
import Glibc
import Net
import Testing

@testable import ProviderSim

/// A connection to a simulator.
final class Caller {
    /// How a connection ended.
    enum End: Equatable { case closed, reset, silent }

    private var descriptor: Int32

    init(_ simulator: Simulator) {
        descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = simulator.address.port.bigEndian
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        let code = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(descriptor, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        #expect(code == 0, "the simulator accepts connections")
    }

    deinit { close() }

    func close() {
        if descriptor >= 0 { _ = Glibc.close(descriptor) }
        descriptor = -1
    }

    func send(_ text: String) {
        let bytes = Array(text.utf8)
        var sent = 0
        while sent < bytes.count {
            let count = bytes[sent...].withUnsafeBytes { Glibc.send(descriptor, $0.baseAddress, $0.count, 0) }
            guard count > 0 else { return }
            sent += count
        }
    }

    /// Sends a POST with a JSON body.
    func post(_ path: String, _ body: String, fields: [String] = []) {
        let lines = fields.map { $0 + "\r\n" }.joined()
        send("POST \(path) HTTP/1.1\r\nHost: sim\r\n\(lines)Content-Length: \(body.utf8.count)\r\n\r\n\(body)")
    }

    /// Asks for a chat completion.
    func chat(_ prompt: String, stream: Bool = false, usage: Bool = false, fields: [String] = [], more: String = "") {
        let options = usage ? ",\"stream_options\":{\"include_usage\":true}" : ""
        let streaming = stream ? ",\"stream\":true" : ""
        post(
            "/v1/chat/completions",
            "{\"model\":\"m\",\"messages\":[{\"role\":\"user\",\"content\":\"\(prompt)\"}]\(streaming)\(options)\(more)}",
            fields: fields)
    }

    /// Reads until `isDone`, the end, or silence of `timeout`.
    func read(timeout: Duration = .seconds(5), until isDone: (String) -> Bool = { _ in false }) -> (
        text: String, end: End?
    ) {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 65_536)
        while true {
            var poll = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard Glibc.poll(&poll, 1, Int32(timeout / .milliseconds(1))) > 0 else { return (text(bytes), .silent) }
            let count = recv(descriptor, &room, room.count, 0)
            if count == 0 { return (text(bytes), .closed) }
            if count < 0 { return (text(bytes), errno == ECONNRESET ? .reset : .closed) }
            bytes += room[..<count]
            if isDone(text(bytes)) { return (text(bytes), nil) }
        }
    }

    /// Reads a long response in chunks to its last chunk; returns its bytes.
    func longStream() -> [UInt8] {
        var bytes: [UInt8] = []
        var room = [UInt8](repeating: 0, count: 1 << 20)
        let end = Array("\r\n0\r\n\r\n".utf8)
        while bytes.suffix(end.count) != end[...] {
            let count = recv(descriptor, &room, room.count, 0)
            guard count > 0 else { break }
            bytes += room[..<count]
        }
        return bytes
    }

    private func text(_ bytes: [UInt8]) -> String { String(decoding: bytes, as: UTF8.self) }

    /// Reads one response with a content length.
    func response() throws -> (status: Int, head: String, body: String) {
        var head = ""
        var body = ""
        let (_, end) = read { text in
            guard let split = text.range(of: "\r\n\r\n") else { return false }
            head = text[..<split.lowerBound].lowercased()
            body = String(text[split.upperBound...])
            let field = head.split(separator: "\r\n").first { $0.hasPrefix("content-length: ") }
            return body.utf8.count >= Int(field?.dropFirst(16) ?? "") ?? .max
        }
        #expect(end == nil, "a response with a content length arrives whole")
        let words = head.split(separator: " ")
        return (try #require(words.count > 1 ? Int(words[1]) : nil), head, body)
    }

    /// Reads one response with a content length as a JSON object.
    func object() throws -> [String: Any] { try Caller.object(response().body) }

    static func object(_ text: String) throws -> [String: Any] {
        try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: Any])
    }

    /// Reads a response in chunks to its last chunk; returns the data of its events.
    func events() throws -> [String] {
        let (text, end) = read { $0.hasSuffix("\r\n0\r\n\r\n") }
        #expect(end == nil, "a stream ends with its last chunk")
        return Caller.events(in: text)
    }

    /// The data of all whole events in a (chunked) response.
    static func events(in response: String) -> [String] {
        // Bytes, because Swift takes CR LF for one character.
        response.utf8.split(separator: UInt8(ascii: "\n")).filter { $0.starts(with: "data: ".utf8) }
            .map { String(decoding: $0.dropFirst(6), as: UTF8.self) }
    }
}

/// Runs `body` against a simulator of its own.
func withSimulator<R>(_ arguments: [String] = [], _ body: (Simulator) throws -> R) throws -> R {
    guard case .run(var options) = try SimulatorOptions.parse(arguments) else { throw CancellationError() }
    options.listen = "127.0.0.1:0"
    let simulator = try Simulator(options)
    defer { simulator.stop() }
    return try body(simulator)
}

/// What `GET /sim/stats` tells.
func stats(_ simulator: Simulator) throws -> [String: Any] {
    let caller = Caller(simulator)
    caller.send("GET /sim/stats HTTP/1.1\r\nHost: sim\r\n\r\n")
    return try caller.object()
}
