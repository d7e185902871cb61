// Which target has seen the beginning of a prompt before: providers keep it ready, and charge less for it.
import Core

/// Numbers for prompts that begin alike, and what they choose by. Equal on all nodes, so that all choose alike.
public enum PromptPrefix {
    /// The shortest and the longest beginning that counts, in bytes.
    public static let lengths = 64...65_536
    /// So much more than its share of the calls under way a target may have before the next best is asked: a quarter.
    static let slack = 1.25
    /// With fewer calls under way than this no target counts as busy.
    static let quiet = 8

    /// The number of a prompt that begins with these bytes, of this org.
    public static func number(of body: RawSpan, length: Int, org: String) -> UInt64 {
        let end = min(length, body.byteCount)
        var number = PromptPrefix.number(of: org)
        var place = 0
        while place + 8 <= end {
            number = mix(number ^ body.integer(at: place, as: UInt64.self))
            place += 8
        }
        while place < end {
            number = mix(number ^ UInt64(body.byte(at: place)))
            place += 1
        }
        return number
    }

    /// The number of a name.
    static func number(of name: String) -> UInt64 { name.utf8.reduce(0xCBF2_9CE4_8422_2325) { mix($0 ^ UInt64($1)) } }

    /// Spreads every bit over all (the finishing step of splitmix64).
    private static func mix(_ word: UInt64) -> UInt64 {
        var word = word &+ 0x9E37_79B9_7F4A_7C15
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }

    /// How much a prompt wants a target: the highest wins (rendezvous hashing by Thaler and Ravishankar, weights by -w / ln u). When a
    /// target comes or goes, only the prompts that choose it change their choice.
    static func score(_ prefix: UInt64, _ target: UInt64, weight: Int) -> Double {
        Double(weight) / negativeLog2(mix(prefix ^ target))
    }

    /// -log2 of `word` / 2⁶⁴, within 0.01: the whole part from the leading zeros, the rest by a parabola.
    static func negativeLog2(_ word: UInt64) -> Double {
        let zeros = (word | 1).leadingZeroBitCount
        let rest = Double(((word | 1) << UInt64(zeros)) << 1) * 0x1p-64
        return max(0x1p-64, Double(zeros) + 1 - rest - 0.3435 * rest * (1 - rest))
    }
}
