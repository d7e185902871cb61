// What is skipped over and what is read: the outline of a body agrees with the reader of all of it.

import Core
import Testing

@testable import Wire

@Suite struct ChatBodyOutlineTests {
    /// The same from the items themselves; nil for a body that is refused.
    private func read(_ bytes: [UInt8]) -> (choices: UInt8, hasPassthrough: Bool)? {
        let buffer = ByteBuffer(bytes)
        var reader = ChatBodyReader(buffer.bytes)
        var found: (choices: UInt8, hasPassthrough: Bool) = (1, false)
        do {
            while let item = try reader.next() {
                if case .choices(let count) = item { found.choices = UInt8(count) }
                if case .passthrough = item { found.hasPassthrough = true }
            }
        } catch {
            return nil
        }
        return found
    }

    @Test("c2: whatever number of answers is accepted is the number that is reserved for")
    func agrees() {
        var chance = Chance(seed: 12)
        var accepted = 0
        for (name, body) in Bodies.samples where name.hasPrefix("chat") {
            for round in 0..<400 {
                var damaged = body
                if round > 0 { damaged[Int(chance.below(UInt64(body.count)))] = UInt8(chance.below(256)) }
                let buffer = ByteBuffer(damaged)
                let outline = ChatBodyOutline(buffer.bytes)
                #expect((1...16).contains(outline.choices))
                guard let whole = read(damaged) else { continue }
                accepted += 1
                #expect(outline.choices == whole.choices && outline.hasPassthrough == whole.hasPassthrough, "\(name)")
            }
        }
        #expect(accepted > 100, "\(accepted)")
        for cut in 0..<40 {
            let endless = ByteBuffer([UInt8](repeating: 0xFF, count: cut))
            #expect(ChatBodyOutline(endless.bytes).choices == 1)
        }
    }

    @Test func `the number of answers and items for a provider are found anywhere`() {
        let body = Bodies.chat {
            $0.choices(7)
            $0.message(.user, String(repeating: "x", count: 20_000))
            $0.passthrough(provider: "p", json: "{}")
        }
        let buffer = ByteBuffer(body)
        let outline = ChatBodyOutline(buffer.bytes)
        #expect(outline.choices == 7 && outline.hasPassthrough)
        let other = ByteBuffer(Bodies.chat { $0.message(.user, "Z`") })
        let plain = ChatBodyOutline(other.bytes)
        #expect(plain.choices == 1 && !plain.hasPassthrough)
    }
}
