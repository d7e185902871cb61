// `sluice dump`: frames of the wire protocol in words.
import Net
import Wire

enum DumpCommand {
    static let command = Command("dump", "show frames of the wire protocol in words", help: help, run: run)

    static let help = """
        usage: sluice dump [FILE]

        Reads frames as hexadecimal text (blanks and line ends are skipped) from FILE or standard input, and names each
        frame: type, stream, flags, length.

        """

    private static let mostText = 16 << 20

    static func run(_ words: [String]) throws(UsageProblem) {
        let arguments = try Arguments(words, most: 1)
        let file = arguments.words.first ?? "/dev/stdin"
        if arguments.words.isEmpty, Host.isTerminal(0) { Screen.note("reading hexadecimal text; end it with Ctrl-D") }
        let text: [UInt8]
        do {
            text = try FileAccess.read(file, limit: mostText)
        } catch {
            throw UsageProblem(text: "\(error)", hint: "at most \(mostText >> 20) MiB of hexadecimal text are read")
        }
        let (bytes, bad) = FrameDump.bytes(hex: String(decoding: text, as: UTF8.self))
        guard let bytes else {
            let place = bad.map { $0 < text.count ? "byte \($0 + 1) is none" : "the last one is half" } ?? ""
            throw UsageProblem(text: "expected pairs of hexadecimal digits: \(place)")
        }
        guard !bytes.isEmpty else { throw UsageProblem(text: "expected hexadecimal digits, found none") }
        Screen.print(FrameDump.describe(bytes).map { $0 + "\n" }.joined())
    }
}
