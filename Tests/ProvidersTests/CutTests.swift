// Texts of providers are kept at a bounded length, in bytes and in whole characters.
import Testing

@testable import Providers

@Suite struct CutTests {
    @Test(
        "a text is cut at bytes, never inside a character",
        arguments: [
            ("gpt-6-luna", 16, "gpt-6-luna"), ("abcdef", 4, "abcd"), ("äöü", 3, "ä"), ("a👩‍👩‍👧b", 10, "a"), ("👍", 3, ""),
        ])
    func cut(text: String, limit: Int, expected: String) { #expect(text.cut(to: limit) == expected) }
}
