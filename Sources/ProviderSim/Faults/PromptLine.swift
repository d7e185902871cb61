// The settings that a prompt carries, for callers that cannot set headers because a gateway stands between.
import Core

/// A line `sim: key=value …` of a prompt (the inside of a JSON string, where a line ends at an escaped line feed).
enum PromptLine {
    /// Where the first such line stands, and its settings; nil when there is none.
    static func find(in prompt: RawSpan) -> (line: Range<Int>, settings: Range<Int>)? {
        let bytes = Span<UInt8>(_bytes: prompt)
        var start = 0
        while true {
            let isLine =
                start + 4 <= bytes.count && bytes[start] == UInt8(ascii: "s") && bytes[start + 1] == UInt8(ascii: "i")
                && bytes[start + 2] == UInt8(ascii: "m") && bytes[start + 3] == UInt8(ascii: ":")
            let end = lineEnd(in: bytes, from: start)
            if isLine { return (start..<end.next, (start + 4)..<end.text) }
            guard end.next < bytes.count else { return nil }
            start = end.next
        }
    }

    /// Where the text of the line ends, and where the next line begins.
    private static func lineEnd(in bytes: Span<UInt8>, from start: Int) -> (text: Int, next: Int) {
        var index = start
        while index < bytes.count {
            guard bytes[index] == UInt8(ascii: "\\") else {
                index += 1
                continue
            }
            if index + 1 < bytes.count, bytes[index + 1] == UInt8(ascii: "n") { return (index, index + 2) }
            index += 2
        }
        return (bytes.count, bytes.count)
    }
}
