// Characters that hide or move what stands around them: found in names, spelled where people read.
import Core
import Testing

@Suite struct VisibleTextTests {
    private func bytesHaveControls(_ text: String) -> Bool {
        let bytes = Array(text.utf8)
        return bytes.span.raw.hasControls
    }

    /// C0, C1, separators, directions, no width, byte order mark, tags.
    static let hidden: [Unicode.Scalar] = [
        "\u{0}", "\u{7}", "\u{9}", "\n", "\r", "\u{1B}", "\u{7F}", "\u{80}", "\u{9B}", "\u{9F}", "\u{AD}", "\u{61C}",
        "\u{180E}", "\u{200B}", "\u{200E}", "\u{200F}", "\u{2028}", "\u{2029}", "\u{202A}", "\u{202E}",
        "\u{2060}", "\u{2066}", "\u{2069}", "\u{FEFF}", "\u{FFF9}", "\u{E0001}", "\u{E0041}",
    ]

    @Test(arguments: hidden) func aHiddenCharacterIsFoundWhereverItStands(_ scalar: Unicode.Scalar) {
        for text in ["\(scalar)", "a\(scalar)b", "größe\(scalar)", "\(scalar)検索", "\r\n\(scalar)"] {
            #expect(text.hasControls)
            #expect(bytesHaveControls(text))
            #expect(!text.visible().hasControls)
        }
    }

    @Test func namesOfAllScriptsHaveNone() {
        for text in ["", "search", "Suche für Köln", "検索", "بحث", "🚀", "❤\u{FE0F}", "a b", "é", "$=+-@"] {
            #expect(!text.hasControls && !bytesHaveControls(text), "\(text)")
            #expect(text.visible() == text)
        }
    }

    @Test func whatIsHiddenIsSpelledAsJSONDoes() {
        #expect("\u{1B}[2K\u{202E}x".visible() == "\\u001b[2K\\u202ex")
        #expect("a\r\nb\tc".visible() == "a\\u000d\\u000ab\\u0009c")
        #expect("a\r\nb\tc".visible(keeping: "\n\t") == "a\\u000d\nb\tc")
        #expect("\u{E0041}".visible() == "\\udb40\\udc41")
    }
}
