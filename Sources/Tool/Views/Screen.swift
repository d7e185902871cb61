// What people see: output, notes beside it, and progress where a person looks on.
import Core
import Net

enum Screen {
    /// Writes to standard output. A reader that went away (`sluice … | head`) has seen enough: the program ends, and nothing is wrong.
    ///
    /// What a terminal would obey is spelled, in text as in JSON, where the spelling means the same.
    static func print(_ text: String) {
        print(bytes: Array(text.visible(keeping: "\n\t").utf8))
    }

    /// Writes to standard output what may end inside a character.
    static func print(bytes: [UInt8]) {
        if !Host.write(bytes: bytes) { Host.exit(0) }
    }

    /// Writes a line beside the output, on standard error.
    static func note(_ text: String) {
        clearProgress()
        Host.write(text.visible(keeping: "\n\t") + "\n", toError: true)
    }

    /// True when a person reads standard output.
    static let isRead = Host.isTerminal(1)

    /// True when progress is worth showing.
    static let isWatched = Host.isTerminal(2)

    /// Replaces the line of progress; nothing where standard error is a file.
    static func progress(_ text: String) {
        if isWatched { Host.write("\r\u{1B}[K\(text)", toError: true) }
    }

    /// Removes the line of progress.
    static func clearProgress() { progress("") }
}
