// Differences of two texts: what is shown, and that it is all there is.
import Core
import Testing

@testable import Tool

struct TextDifferenceTests {
    @Test func `changed, new and missing lines are shown in their order, with their places`() {
        #expect(TextDifference.lines("a\nb\nc\nd", "a\nB\nc\nd\ne") == ["-2 b", "+2 B", "+5 e"])
        #expect(TextDifference.lines("a\nb\nc", "a\nc") == ["-2 b"])
        #expect(TextDifference.lines("", "a").sorted() == ["+1 a", "-1 "])
        #expect(TextDifference.lines("same\ntext\n", "same\ntext\n").isEmpty)
    }

    @Test func `whatever is shown leads from one text to the other`() {
        var chance = Chance(seed: 11)
        for _ in 0..<300 {
            func text() -> [String] { (0..<Int(chance.below(12))).map { _ in "line \(chance.below(4))" } }
            let (old, new) = (text(), text())
            var lines = old
            let shown = TextDifference.lines(old.joined(separator: "\n"), new.joined(separator: "\n"))
            let pieces = shown.map { piece in
                let words = piece.dropFirst().split(separator: " ", maxSplits: 1, omittingEmptySubsequences: false)
                return (isNew: piece.hasPrefix("+"), place: Int(words[0]) ?? 0, text: String(words[1]))
            }
            // A text without lines is one empty line.
            if lines.isEmpty { lines = [""] }
            for piece in pieces.reversed() where !piece.isNew {
                #expect(lines.remove(at: piece.place - 1) == piece.text)
            }
            for piece in pieces where piece.isNew { lines.insert(piece.text, at: piece.place - 1) }
            #expect(lines == (new.isEmpty ? [""] : new))
        }
    }

    @Test func `two long texts that have nothing in common are shown whole, at once`() {
        let old = (0..<30_000).map { "old \($0)" }.joined(separator: "\n")
        let new = (0..<30_000).map { "new \($0)" }.joined(separator: "\n")
        #expect(TextDifference.lines(old, new).count == 60_000)
    }
}
