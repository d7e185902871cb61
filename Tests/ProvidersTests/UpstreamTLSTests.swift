// HTTPS to a provider: only the right name, signed by a trusted authority, at the right time, is spoken to.
import Core
import Foundation
import Net
import Policy
import TestSupport
import Testing

@testable import Providers

/// Answers every request with the same completion, over TLS.
private struct CompletionMachine: Machine, ~Copyable {
    var pending = ByteBuffer()
    var isFinished: Bool { false }
    var deadline: Instant? { nil }
    var wantsInput: Bool { true }

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Int? {
        guard input.count > 0 else { return nil }
        // A request of these tests ends with its JSON object.
        let isWhole = input.byte(at: input.count - 1) == UInt8(ascii: "}")
        guard isWhole else { return nil }
        input.removeAll()
        let body = #"{"choices":[{"index":0,"message":{"content":"over TLS"},"finish_reason":"stop"}]}"#
        pending.append(
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: \(body.utf8.count)\r\n\r\n\(body)")
        return 1
    }

    mutating func inputEnded(at now: Instant) -> Int? { nil }
    mutating func advance(to now: Instant) -> Int? { nil }
    mutating func transmit(into output: inout ByteBuffer, at now: Instant) { output.append(draining: &pending) }
}

@Suite struct UpstreamTLSTests {
    /// One call to a server whose certificate holds `names` and lasts `days`; the caller trusts `trusted`.
    private func call(
        names: String, days: Int = 2, trusted: String = "ca", protocols: [String] = ["http/1.1"]
    ) async throws -> UpstreamHarness.Ended {
        let authority = try TestAuthority()
        try authority.issue("server", names: names, days: days)
        let lane = try Lane.start(count: 1, name: "provider")[0]
        let tls = try authority.server(protocols: protocols)
        let listener = try Listener(
            lane: lane, address: .ipv4(0x7F00_0001, port: 0), tls: tls, machine: { _ in CompletionMachine() },
            onAccept: { channel in channel.onEvent = { channel, _ in channel.wake() } })
        let ended = await
            (try UpstreamHarness("https://localhost:\(listener.address.port)/v1", ca: authority.path("\(trusted).pem")))
            .call(isStream: false)
        lane.stop()
        lane.join()
        try FileManager.default.removeItem(atPath: authority.folder)
        return ended
    }

    @Test func `the right server is spoken to`() async throws {
        let ended = try await call(names: "DNS:localhost")
        #expect(ended.failure == nil && ended.text == "over TLS")
    }

    @Test func `a server without ALPN speaks HTTP/1.1`() async throws {
        let ended = try await call(names: "DNS:localhost", protocols: [])
        #expect(ended.failure == nil && ended.text == "over TLS")
    }

    @Test func `a server that speaks another protocol only is refused`() async throws {
        let ended = try await call(names: "DNS:localhost", protocols: ["h2"])
        #expect(ended.failure == .connect && !ended.outcome.wasSent && ended.ends == 1)
    }

    @Test func `another name is refused before anything is sent`() async throws {
        let ended = try await call(names: "DNS:elsewhere.example")
        #expect(ended.failure == .connect && !ended.outcome.wasSent && ended.ends == 1)
        #expect(ended.outcome.failure?.detail?.contains("hostname mismatch") == true)
    }

    @Test func `another authority is refused`() async throws {
        let ended = try await call(names: "DNS:localhost", trusted: "other")
        #expect(ended.failure == .connect && !ended.outcome.wasSent)
        #expect(ended.outcome.failure?.detail?.contains("certificate") == true)
    }

    @Test func `a certificate that is no longer valid is refused`() async throws {
        let ended = try await call(names: "DNS:localhost", days: -1)
        #expect(ended.failure == .connect && !ended.outcome.wasSent)
        #expect(ended.outcome.failure?.detail?.contains("expired") == true)
    }
}
