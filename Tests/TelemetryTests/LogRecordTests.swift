// Log lines: one JSON object each, whatever the text in them.
import Core
import Foundation
import Testing

@testable import Telemetry

@Suite struct LogRecordTests {
    @Test func aRequestsLine() {
        var line = ByteBuffer()
        var record = LogRecord(.info, "request", at: 1_795_435_200_000_042, into: &line)
        record.field("org", "acme")
        record.field("trace_id", Identifier128(high: 0x0af7_6519_16cd_43dd, low: 0x8448_eb21_1c80_319c))
        record.field("span_id", hex: 0x00f0_67aa_0ba9_02b7)
        record.field("input_tokens", 12)
        record.field("cached", false)
        record.field("outcome", word: "ok")
        record.field("total_us", duration: .milliseconds(250))
        record.field("wait_us", from: Instant(nanoseconds: 1_000_000), to: Instant(nanoseconds: 3_500_999))
        record.end(returning: &line)
        #expect(
            line.string(of: line.slice)
                == "{\"time\":\"2026-11-23T12:00:00.000042Z\",\"level\":\"info\",\"event\":\"request\",\"org\":\"acme\","
                + "\"trace_id\":\"0af7651916cd43dd8448eb211c80319c\",\"span_id\":\"00f067aa0ba902b7\","
                + "\"input_tokens\":12,\"cached\":false,\"outcome\":\"ok\",\"total_us\":250000,\"wait_us\":2500}\n")
    }

    @Test func linesFollowEachOtherInOneBuffer() {
        var line = ByteBuffer()
        for number in 0..<3 {
            var record = LogRecord(.error, "e", at: 0, into: &line)
            record.field("n", number)
            record.end(returning: &line)
        }
        let lines = line.string(of: line.slice).split(separator: "\n", omittingEmptySubsequences: false)
        #expect(lines.count == 4)
        #expect(lines[2] == "{\"time\":\"1970-01-01T00:00:00.000000Z\",\"level\":\"error\",\"event\":\"e\",\"n\":2}")
    }

    @Test func whatATerminalObeysIsSpelled() {
        var line = ByteBuffer()
        var record = LogRecord(.info, "e", at: 0, into: &line)
        record.field("feature", "a\u{9B}2Kb\u{202E}c\u{2028}ä")
        record.end(returning: &line)
        let text = line.string(of: line.slice)
        #expect(text.contains(#""feature":"a\u009b2Kb\u202ec\u2028ä""#), "\(text)")
    }

    @Test func everyTextComesBackFromAJSONParser() throws {
        var texts = (0..<256).map { String(UnicodeScalar(UInt8($0))) }
        texts += [
            "", "a\"b\\c\n\r\t\u{8}\u{0}", "grüße 😀 \u{2028}\u{FFFF}\u{10FFFF}", String(repeating: "é", count: 2048),
        ]
        for text in texts { #expect(try parsed { $0.field("t", text) } == text) }
    }

    @Test func malformedBytesAreRepairedAsTheStandardLibraryDoes() throws {
        let samples: [[UInt8]] = [
            [0xFF], [0xC0, 0x80], [0xE2, 0x82], [0xED, 0xA0, 0x80], [0xF5, 0x80, 0x80, 0x80], [0x61, 0x80, 0x62],
            [0xF0, 0x8F, 0x80, 0x80], [0xC3], [0x80, 0xC3, 0xA9],
        ]
        for sample in samples {
            let buffer = ByteBuffer(sample)
            let text = try parsed { $0.field("t", bytes: buffer.bytes) }
            #expect(text.contains("\u{FFFD}"), "\(sample)")
            #expect(
                text.unicodeScalars.filter { $0 != "\u{FFFD}" }
                    == String(decoding: sample, as: UTF8.self)
                    .unicodeScalars.filter { $0 != "\u{FFFD}" })
        }
    }

    @Test(arguments: 0..<6)
    func longTextIsCutAtACharacter(_ shift: Int) throws {
        let text = String(repeating: "a", count: LogRecord.textLimit - shift) + String(repeating: "😀", count: 100)
        let told = try parsed { $0.field("t", text) }
        #expect(told.hasSuffix("…"))
        #expect(told.utf8.count <= LogRecord.textLimit + 3)
        #expect(text.hasPrefix(told.dropLast()))
    }

    @Test func timestampsAgreeWithFoundation() throws {
        let formatter = ISO8601DateFormatter()
        for second in stride(from: Int64(-62_135_596_800), through: 253_402_300_799, by: 86_400 * 97 + 12_345) {
            var buffer = ByteBuffer()
            buffer.append(timestamp: second * 1_000_000 + 7)
            let text = buffer.string(of: buffer.slice)
            #expect(text.hasSuffix(".000007Z"))
            // Foundation switches to the Julian calendar before 1582; the log stays Gregorian.
            guard second > -12_219_292_800 else { continue }
            #expect(text.dropLast(8) + "Z" == formatter.string(from: Date(timeIntervalSince1970: Double(second))))
        }
    }

    @Test func momentsBeforeTheEpochAndBeyondTheCalendar() {
        #expect(stamp(-1) == "1969-12-31T23:59:59.999999Z")
        #expect(stamp(.min) == "0000-01-01T00:00:00.000000Z")
        #expect(stamp(.max) == "9999-12-31T23:59:59.999999Z")
        #expect(stamp(951_782_400_000_000) == "2000-02-29T00:00:00.000000Z")
    }

    @Test func integersOfAllSizes() {
        var line = ByteBuffer()
        var record = LogRecord(.debug, "n", at: 0, into: &line)
        record.field("a", Int64.min)
        record.field("b", UInt64.max)
        record.field("c", UInt8(0))
        record.end(returning: &line)
        #expect(
            line.string(of: line.slice).hasSuffix(
                "\"a\":-9223372036854775808,\"b\":18446744073709551615,\"c\":0}\n"))
    }

    @Test func levelsHaveNamesAndOrder() {
        #expect(LogLevel(name: "warning") == .warning)
        #expect(LogLevel(name: "Warning") == nil)
        #expect(LogLevel.debug < .info)
        #expect(LogLevel.warning < .error)
    }

    private func stamp(_ microseconds: Int64) -> String {
        var buffer = ByteBuffer()
        buffer.append(timestamp: microseconds)
        return buffer.string(of: buffer.slice)
    }

    private func parsed(_ fill: (inout LogRecord) -> Void) throws -> String {
        var line = ByteBuffer()
        var record = LogRecord(.info, "e", at: 0, into: &line)
        fill(&record)
        record.end(returning: &line)
        let fields = try JSONSerialization.jsonObject(with: Data(line.array())) as? [String: Any]
        return try #require(fields?["t"] as? String)
    }
}
