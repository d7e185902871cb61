// The words of an answer: first the caller's own, then words chosen by the seed.
import Core

/// The text of one answer, one word for each output token. It echoes the prompt's words and goes on with words from a fixed list,
/// chosen by the seed and the prompt: the same prompt and seed give the same answer.
///
/// Prompt and answer stay JSON text as it was sent, so nothing is unescaped and escaped again.
struct ReplyText: ~Copyable {
    /// Most bytes of a prompt that are echoed.
    static let echoLimit = 16 * 1024

    private var prompt = ByteBuffer()
    private var words: [ByteSlice] = []
    private var hash: UInt64 = 0

    private static let vocabulary: [StaticString] = [
        "the", "river", "counts", "every", "stone", "twice", "and", "then", "forgets", "a", "lamp", "in", "window",
        "keeps", "its", "own", "small", "hours", "while", "rain", "writes", "on", "slate", "roofs", "nobody", "reads",
        "of", "wind", "carries", "salt", "from", "harbour", "to", "hill", "where", "old", "clocks", "agree", "with",
        "morning", "bread", "rises", "doors", "open", "one", "after", "another", "letters", "arrive", "late", "but",
        "whole", "children", "name", "new", "colours", "blue", "as", "yesterday", "green", "before", "grass", "so",
        "quiet",
    ]

    /// Begins the answer to a prompt (the inside of a JSON string).
    mutating func begin(prompt text: RawSpan, seed: UInt64) {
        prompt.removeAll()
        prompt.append(text.extracting(first: ReplyText.echoLimit))
        // FNV-1a over the whole prompt: close prompts give unlike answers.
        var hash = 0xCBF2_9CE4_8422_2325 ^ seed
        // Taken out while the prompt is borrowed, so that its memory is reused.
        var words = self.words
        self.words = []
        words.removeAll(keepingCapacity: true)
        hash = scan(into: &words, from: hash, isWhole: text.byteCount <= ReplyText.echoLimit)
        self.words = words
        self.hash = hash
    }

    /// Finds the prompt's words; returns the hash of its text.
    private func scan(into words: inout [ByteSlice], from seed: UInt64, isWhole: Bool) -> UInt64 {
        var hash = seed
        let bytes = Span<UInt8>(_bytes: prompt.bytes)
        var start = 0
        var index = 0
        while index < bytes.count {
            hash = (hash ^ UInt64(bytes[index])) &* 0x100_0000_01B3
            let space = ReplyText.lengthOfSpace(in: bytes, at: index)
            if space > 0 {
                if index > start { words.append(prompt.slice(at: start, count: index - start)) }
                index += space
                start = index
            } else {
                // An escape is kept whole; \uXXXX is one escape and four plain digits.
                index += bytes[index] == UInt8(ascii: "\\") ? 2 : 1
            }
        }
        // A prompt that the limit cut may end inside an escape or a character: its last word is dropped.
        if isWhole, bytes.count > start {
            words.append(prompt.slice(at: start, count: bytes.count - start))
        }
        return hash
    }

    /// Bytes of the space or escaped line end at `index`, 0 when there is none.
    private static func lengthOfSpace(in bytes: Span<UInt8>, at index: Int) -> Int {
        if bytes[index] == UInt8(ascii: " ") { return 1 }
        guard bytes[index] == UInt8(ascii: "\\"), index + 1 < bytes.count else { return 0 }
        switch bytes[index + 1] {
        case UInt8(ascii: "n"), UInt8(ascii: "r"), UInt8(ascii: "t"): return 2
        default: return 0
        }
    }

    /// Appends the word of output token `place` (with a space in front of all but the first) as the inside of a JSON string.
    func append(word place: Int, to buffer: inout ByteBuffer) {
        if place > 0 { buffer.append(UInt8(ascii: " ")) }
        if place < words.count {
            buffer.append(prompt.bytes(of: words[place]))
        } else {
            var mixed = (hash &+ UInt64(place)) &* 0x9E37_79B9_7F4A_7C15
            mixed ^= mixed >> 32
            buffer.append(literal: ReplyText.vocabulary[Int(mixed % UInt64(ReplyText.vocabulary.count))])
        }
    }

    /// Appends the word of output token `place` as JSON text inside a JSON string: what the word escaped is escaped again.
    func appendTwiceEscaped(word place: Int, to buffer: inout ByteBuffer) {
        var word = ByteBuffer()
        append(word: place, to: &word)
        let bytes = Span<UInt8>(_bytes: word.bytes)
        for index in bytes.indices {
            let isSpecial = bytes[index] == UInt8(ascii: "\\") || bytes[index] == UInt8(ascii: "\"")
            if isSpecial { buffer.append(UInt8(ascii: "\\")) }
            buffer.append(bytes[index])
        }
    }
}
