// Chat bodies: counts at n - 1, n and n + 1, and everything that must not reach a provider.

import Core
import Testing

@testable import Wire

@Suite struct ChatBodyTests {
    @Test func aBodyCutAnywhereIsAnErrorOrAShorterBody() {
        for (name, body) in Bodies.samples {
            for length in 0..<body.count {
                let cut = Bodies.describe(Array(body.prefix(length)))
                let whole = Bodies.describe(body)
                #expect(whole.hasPrefix(cut) || cut.contains("expected"), "\(name) cut at \(length): \(cut)")
            }
        }
    }

    @Test func countsHoldAtTheirLimits() {
        func check(_ limit: Int, _ field: String, _ write: (inout ChatBodyWriter, Int) -> Void) {
            for count in [limit - 1, limit, limit + 1] {
                let body = Bodies.chat { writer in
                    writer.message(.user, "x")
                    for number in 0..<count { write(&writer, number) }
                }
                #expect(Bodies.describe(body).contains("expected at most") == (count > limit), "\(field) \(count)")
            }
        }
        check(2047, "messages") { writer, _ in writer.message(.user, "y") }
        check(4095, "parts") { writer, _ in writer.text("y") }
        check(128, "tools") { writer, number in writer.tool(name: "t\(number)", schema: "{}") }
        check(8, "stops") { writer, number in writer.stop("s\(number)") }
        check(16, "metadata") { writer, number in writer.metadata("k\(number)", "v") }
        check(4, "passthroughs") { writer, number in writer.passthrough(provider: "p\(number)", json: "{}") }
    }

    @Test func schemasHoldTheirBytesAndDepth() {
        func schema(bytes: Int) -> String { "{\"a\":\"" + String(repeating: "x", count: bytes - 8) + "\"}" }
        func accepts(_ schemas: [String]) -> Bool {
            !Bodies.describe(
                Bodies.chat { writer in
                    writer.message(.user, "x")
                    for text in schemas { writer.tool(name: "t", schema: text) }
                }
            ).contains("expected")
        }
        for count in [65_535, 65_536] { #expect(accepts([schema(bytes: count)])) }
        #expect(!accepts([schema(bytes: 65_537)]))
        #expect(accepts(Array(repeating: schema(bytes: 65_536), count: 4)))
        #expect(!accepts(Array(repeating: schema(bytes: 65_536), count: 4) + ["{}"]))
        func nested(_ depth: Int) -> String {
            String(repeating: "{\"a\":", count: depth - 1) + "{}" + String(repeating: "}", count: depth - 1)
        }
        #expect(accepts([nested(31)]) && accepts([nested(32)]))
        #expect(!accepts([nested(33)]))
    }

    @Test func whatIsNotJSONNeverReachesAProvider() {
        for bad in ["", "1", "[]", "{}x", "{", "{\"a\":}", "{}, \"model\": \"dear\"", "{\"a\":01}", "null"] {
            let body = Bodies.chat { writer in
                writer.message(.user, "x")
                writer.passthrough(provider: "openai", json: bad)
            }
            #expect(Bodies.describe(body).contains("a JSON object"), "\(bad)")
        }
        for bad in [
            "", "x", "1 ", " 1", ".5", "1.", "0x1", "01", "NaN", "1,\"n\":9", "--1", String(repeating: "1", count: 33),
        ] {
            let body = Bodies.chat { writer in
                writer.message(.user, "x")
                writer.parameter(.temperature, bad)
            }
            #expect(Bodies.describe(body).contains("temperature (body byte 3): expected"), "\(bad)")
        }
    }

    @Test func orderAndRepetitionAreChecked() {
        func says(_ write: (inout ChatBodyWriter) -> Void, _ text: String) {
            #expect(Bodies.describe(Bodies.chat(write)).contains(text))
        }
        says({ _ in }, "messages (body byte 0): expected at least one message")
        says({ $0.text("x") }, "a message before its parts")
        says({ $0.parameter(.user, "u") }, "at least one message")
        says(
            {
                $0.message(.user, "x")
                $0.stop("s")
                $0.text("y")
            }, "a message before its parts")
        says(
            {
                $0.message(.user, "x")
                $0.seed(1)
                $0.seed(2)
            }, "each setting once")
        says(
            {
                $0.message(.user, "x")
                $0.toolChoice(.auto, name: "t")
            }, "tool_choice")
        says(
            {
                $0.message(.user, "x")
                $0.choices(17)
            }, "n (body byte 3)")
    }

    @Test func textMustBeUTF8() {
        #expect(Bodies.describe([0x12, 1, 0xFF]).contains("expected UTF-8"))
        #expect(Bodies.describe([0x12, 3, 0xED, 0xA0, 0x80]).contains("expected UTF-8"))
        #expect(Bodies.describe([0x12, 2, 0xC3, 0xA9]) == "message user | text \"é\"")
    }

    @Test func unknownItemsAreSkippedOrRefusedByTheirNumber() {
        #expect(Bodies.describe([0x12, 1, 0x61, 0x99, 2, 1, 2]) == "message user | text \"a\"")
        #expect(Bodies.describe([0x12, 1, 0x61, 0x61, 0]).contains("an item that this version knows"))
        #expect(Bodies.describe([0x12, 0x80, 0x00]).contains("fewest bytes"))
    }

    @Test func slicesCountFromTheBodysPlaceInItsBuffer() throws {
        let body: [UInt8] = [9, 9, 9, 0x12, 2, 0x61, 0x62]
        let buffer = ByteBuffer(body)
        let slice = buffer.slice(at: 3, count: 4)
        var reader = ChatBodyReader(buffer.bytes(of: slice), base: slice.start)
        var texts: [String] = []
        while let item = try reader.next() {
            if case .text(let place) = item { texts.append(buffer.string(of: place)) }
        }
        #expect(texts == ["ab"])
    }

    @Test func embeddingsHoldTheirLimits() {
        for count in [2047, 2048, 2049] {
            let body = Bodies.chat { writer in for _ in 0..<count { writer.input("x") } }
            #expect(Bodies.describe(body).contains("at most 2048") == (count > 2048))
        }
        #expect(Bodies.describe(Bodies.chat { $0.input("") }).contains("input (body byte 0)"))
        let body = Bodies.chat {
            $0.input("x")
            $0.dimensions(0)
        }
        #expect(Bodies.describe(body).contains("1 to 65536"))
    }
}
