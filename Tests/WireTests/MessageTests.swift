// Every message there and back, cut at every length, and changed in every byte.

import Core
import Testing

@testable import Wire

@Suite struct MessageTests {
    @Test func everyFrameIsTheSameAfterDecodingAndEncoding() throws {
        for sample in Samples.all {
            #expect(try Samples.reencode(sample.bytes) == sample.bytes, "\(sample.name)")
        }
    }

    @Test func aPayloadCutAnywhereIsAFaultAndNeverATrap() {
        for sample in Samples.all where sample.bytes.count > 8 {
            for length in 0..<(sample.bytes.count - 8) {
                var cut = Array(sample.bytes.prefix(8 + length))
                cut[0] = UInt8(length >> 8)
                cut[1] = UInt8(length & 0xFF)
                // A request's body and a text at the end of a message have no length of their own; everything else has.
                if let again = try? Samples.reencode(cut) { #expect(again == cut, "\(sample.name) cut at \(length)") }
            }
        }
    }

    @Test func oneByteMoreIsAFaultWhereTheLayoutIsFixed() {
        let open = [
            "request", "goaway", "body", "delta", "event-citation", "event-logprobs", "event-unknown", "grease",
        ]
        for sample in Samples.all where !open.contains(where: { sample.name.hasPrefix($0) }) {
            guard let type = FrameType(rawValue: sample.bytes[2]) else { continue }
            if [.ping, .pong, .credit, .cancel].contains(type) { continue }
            var longer = sample.bytes + [0]
            let length = longer.count - 8
            longer[0] = UInt8(length >> 8)
            longer[1] = UInt8(length & 0xFF)
            #expect(throws: WireFault.self, "\(sample.name)") { try Samples.reencode(longer) }
        }
    }

    @Test func anyChangedByteIsAFaultOrAnotherMessageWithOneEncoding() {
        for sample in Samples.all where sample.bytes.count > 8 {
            for place in 8..<sample.bytes.count {
                for change in [0x01, 0x80, 0xFF] as [UInt8] {
                    var changed = sample.bytes
                    changed[place] ^= change
                    guard let again = try? Samples.reencode(changed) else { continue }
                    // Fields above the known numbers are skipped, so they do not come back; everything else must.
                    if again.count == changed.count, sample.bytes[3] & 2 == 0, !sample.name.hasPrefix("goaway") {
                        #expect(again == changed, "\(sample.name) byte \(place)")
                    }
                }
            }
        }
    }

    @Test func integersTakeTheFewestBytes() throws {
        for value in [0, 1, 127, 128, 16_383, 16_384, 2_097_151, 2_097_152, 268_435_455, 268_435_456, Int(UInt32.max)] {
            let encoded = bytes { $0.append(varint: value) }
            let buffer = ByteBuffer(encoded)
            var reader = FieldReader(buffer.bytes)
            #expect(try reader.varint() == value)
            #expect(reader.remaining == 0)
        }
        for bad in [
            [0x80, 0x00], [0x81, 0x80, 0x00], [0xFF, 0xFF, 0xFF, 0xFF, 0x1F], [0x80, 0x80, 0x80, 0x80, 0x80],
        ] {
            let buffer = ByteBuffer(bad.map { UInt8($0) })
            var reader = FieldReader(buffer.bytes)
            #expect(throws: WireFault(.nonMinimalInteger)) { try reader.varint() }
        }
    }

    @Test func aTextIsCutOnACharactersBorder() {
        #expect("aé".fitting(2) == "a")
        #expect("aé".fitting(3) == "aé")
        #expect("日本".fitting(5) == "日")
        #expect("".fitting(0) == "")
    }

    @Test func unknownFieldsAreSkippedAndOrderIsKept() throws {
        let fixed = Array(Samples.error.withoutFields.dropFirst(8))
        func decode(_ fields: [UInt8]) throws -> StreamError {
            let buffer = ByteBuffer(fixed + fields)
            var reader = FieldReader(buffer.bytes)
            return try StreamError(&reader, flags: .fields)
        }
        #expect(try decode([1, 2, 0x68, 0x69, 99, 3, 1, 2, 3]).text == "hi")
        #expect(throws: WireFault(.fieldOrder)) { try decode([1, 1, 0x61, 1, 1, 0x62]) }
        #expect(throws: WireFault(.fieldOrder)) { try decode([2, 1, 0x61, 1, 1, 0x62]) }
        #expect(throws: WireFault(.innerLength)) { try decode([1, 9, 0x61]) }
        #expect(throws: WireFault(.notUTF8)) { try decode([1, 1, 0xFF]) }
        #expect(throws: WireFault(.trailingBytes)) { try decode([]) }
    }

    @Test func everyErrorCodeTravelsWithItsRetryClass() throws {
        for code in ErrorCode.allCases where code.scope == .stream && code != .unrecognized {
            let encoded = bytes { StreamError(code: code).encode(into: &$0, stream: 1) }
            let buffer = ByteBuffer(Array(encoded.dropFirst(8)))
            var reader = FieldReader(buffer.bytes)
            let decoded = try StreamError(&reader, flags: [])
            #expect(decoded.code == code && decoded.retry == code.retryClass)
        }
        for code in ErrorCode.allCases where code.scope == .connection {
            let encoded = bytes { ConnectionError(code: code, detail: 3, lastStream: 4).encode(into: &$0) }
            let buffer = ByteBuffer(Array(encoded.dropFirst(8)))
            var reader = FieldReader(buffer.bytes)
            let decoded = try ConnectionError(&reader)
            #expect(decoded.code == code && decoded.detail == 3 && decoded.lastStream == 4)
        }
    }

    @Test func anUnknownErrorCodeKeepsItsNumberAndItsRetryClass() throws {
        guard let sample = Samples.all.first(where: { $0.name == "error-unknown-code" }) else { return }
        let buffer = ByteBuffer(Array(sample.bytes.dropFirst(8)))
        var reader = FieldReader(buffer.bytes)
        let error = try StreamError(&reader, flags: [])
        #expect(error.code == .unrecognized && error.rawCode == 0x0799 && error.retry == .safeElsewhere)
    }

    @Test func aDamagedSnapshotIsNoticed() {
        var message = ByteBuffer()
        StateMessage.encode(
            Snapshot(epoch: 1, sequence: 1, records: [SnapshotRecord(kind: 1, name: "a", body: [1, 2, 3])]),
            into: &message)
        let good = message.array()
        for place in good.indices {
            var bad = good
            bad[place] ^= 0x10
            let buffer = ByteBuffer(bad)
            #expect(throws: WireFault(.checksum)) { try StateMessage.snapshot(buffer.bytes) }
        }
    }

    @Test func theDumpSaysWhatEveryFrameIsAndNeverShowsTheKey() {
        for sample in Samples.all {
            let lines = FrameDump.describe(sample.bytes)
            #expect(lines.count == 1 && !lines[0].contains("MALFORMED"), "\(sample.name) \(lines)")
            #expect(!lines[0].contains("slk_"))
        }
        #expect(FrameDump.describe([0, 1, 2]) == ["0: incomplete header: 3 of 8 bytes"])
        #expect(
            FrameDump.describe(frame(.cancel, stream: 3, [])) == [
                "0: CANCEL stream 3: MALFORMED, FRAME_SIZE (innerLength), 0 bytes"
            ])
        #expect(FrameDump.bytes(hex: "00 fF\n0a").bytes == [0, 255, 10])
        #expect(FrameDump.bytes(hex: "00 zz").badCharacter == 3)
        #expect(FrameDump.bytes(hex: "000").badCharacter == 3)
    }
}

extension StreamError {
    fileprivate var withoutFields: [UInt8] {
        var bare = self
        bare.text = ""
        bare.field = ""
        bare.limit = nil
        return bytes { bare.encode(into: &$0, stream: 1) }
    }
}
