// Measurements, printed; run with SLUICE_MEASURE=1 in a release build (`swift test -c release -Xswiftc -enable-testing`).
import Core
import Foundation
import Testing

@Suite(.serialized, .enabled(if: ProcessInfo.processInfo.environment["SLUICE_MEASURE"] != nil))
struct MeasureTests {
    /// 273 bytes, as OpenAI streams them; the content holds an escape and a character of two bytes.
    static let chunk = Array(
        #"""
        {"id":"chatcmpl-C1aB2cD3eF4gH5iJ6kL7mN8oP9qR0","object":"chat.completion.chunk","created":1763900000,\#
        "model":"gpt-6-luna-2026-10-01","service_tier":"default","system_fingerprint":"fp_0123456789","choices":[\#
        {"index":0,"delta":{"content":" caf\u00e9 \"é"},"finish_reason":null}]}
        """#.utf8)

    /// The best of 40 rounds, in nanoseconds a call.
    func best(of calls: Int, _ body: () -> Void) -> Double {
        (0..<40).map { _ in
            let start = ContinuousClock.now
            for _ in 0..<calls { body() }
            return Double((ContinuousClock.now - start).nanoseconds) / Double(calls)
        }.min() ?? 0
    }

    /// What a stream's decoder does: find the text of the first choice, unescape it, validate all else.
    static func content(_ bytes: RawSpan, into output: inout ByteBuffer) throws(JSONError) {
        var reader = JSONReader(bytes)
        var isContent = false
        while true {
            switch try reader.next() {
            case .key(let key): isContent = reader.matches(key, "content")
            case .string(let text):
                if isContent { reader.unescape(text, into: &output) }
            case .end: return
            default: break
            }
        }
    }

    @Test func `a chunk of a stream`() throws {
        let chunk = Self.chunk
        var output = ByteBuffer(capacity: 1_024)
        try Self.content(chunk.span.bytes, into: &output)
        #expect(output.string(of: output.slice) == " café \"é")
        let read = best(of: 10_000) {
            output.removeAll()
            try? Self.content(chunk.span.bytes, into: &output)
        }
        let skip = best(of: 10_000) {
            var reader = JSONReader(chunk.span.bytes)
            try? reader.skipValue()
        }
        print("JSON chunk of \(chunk.count) B: content \(Int(read)) ns, skipped \(Int(skip)) ns")
    }

    @Test func `escaping text`() {
        let ascii = Array(String(repeating: "The quick brown fox jumps over it. ", count: 30).utf8)
        let german = Array(String(repeating: "Der größte Übermut kommt früh, sagt \"er\".\n", count: 24).utf8)
        let japanese = Array(String(repeating: "これは日本語の文章です。", count: 28).utf8)
        var output = ByteBuffer(capacity: 8_192)
        for (name, text) in [("ASCII", ascii), ("German", german), ("Japanese", japanese)] {
            let time = best(of: 2_000) {
                output.removeAll()
                JSONWriter.escape(text.span.bytes, &output)
            }
            print("JSON escape of \(text.count) B \(name): \(Int(time)) ns")
        }
    }

    @Test func `checksum`() {
        let bytes = (0..<65_536).map { UInt8(truncatingIfNeeded: $0 &* 31) }
        var sum: UInt32 = 0
        let time = best(of: 20) { sum ^= CRC32C.checksum(bytes) }
        print("CRC-32C: \((time / Double(bytes.count) * 1_000).rounded() / 1_000) ns a byte (\(sum))")
    }

    @Test func `ten thousand keys in the configuration's syntax`() {
        let section =
            "hash = \(String(repeating: "0f", count: 32))\norg = acme\nteam = search\nlabel = job\nmodel = *\n"
        let text = (0..<10_000).map { "[key k\($0)]\n\(section)\n" }.joined()
        let bytes = Array(text.utf8)
        let start = ContinuousClock.now
        let (document, _) = ConfigurationDocument.parse(bytes, file: "f", limit: 64 << 20)
        let time = (ContinuousClock.now - start).milliseconds
        print("configuration syntax: \(document.sections.count) sections, \(bytes.count) B, \(time) ms")
    }
}
