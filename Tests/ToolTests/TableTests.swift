// What the tool prints of other people's texts: a cell stays a cell, in a table, in a spreadsheet and on a terminal.
import Testing

@testable import Tool

@Suite struct TableTests {
    static let hostile = ["\u{1B}[2K\u{1B}]0;pwned\u{7}", "a\nTOTAL  9 9", "a\r\nb", "gnp\u{202E}.exe", "a\u{9B}2Jb"]

    @Test(arguments: hostile) func aCellBreaksNoLineAndMovesNoCursor(_ cell: String) {
        let table = Table.text(["NAME", "COST"], [[cell, "1"], ["b", "2"]])
        #expect(table.unicodeScalars.count { $0 == "\n" } == 3)
        #expect(!table.unicodeScalars.contains { $0.value < 0x20 && $0 != "\n" || (0x7F..<0xA0).contains($0.value) })
        #expect(!table.contains("\u{202E}"))
        let page = Table.page([("label", cell), ("state", "valid")])
        #expect(page.unicodeScalars.count { $0 == "\n" } == 2)
    }

    @Test func valuesStayInTheirCells() {
        let cells: [(String, String)] = [
            ("plain", "plain"), ("", ""), ("a,b", "\"a,b\""), ("say \"hi\"", "\"say \"\"hi\"\"\""),
            ("a\nb", "\"a\nb\""),
            ("a\rb", "\"a\rb\""), ("a\r\nb", "\"a\r\nb\""), ("=1+1", "'=1+1"), ("+1", "+1"), ("-5", "-5"),
            ("-cmd", "'-cmd"),
            ("@SUM(A1)", "'@SUM(A1)"), ("\t=1", "'\t=1"), ("\r=1", "\"'\r=1\""), ("=a,b", "\"'=a,b\""),
        ]
        for (cell, written) in cells { #expect(Table.csv([[cell, "x"]]) == "\(written),x\n", "\(cell)") }
    }

    @Test func anAnswerOnATerminalIsReadNotObeyed() {
        let text = "a\u{1B}[31mb\tc\nd\re\u{9B}2Kf\u{A9}g\u{200D}ä検\u{7F}"
        let wanted = "a\\u001b[31mb\tc\nd\\u000de\\u009b2Kf\u{A9}g\u{200D}ä検\\u007f"
        let bytes = Array(text.utf8)
        for cut in 0...bytes.count {
            var terminal = TerminalText()
            let output = terminal.visible(Array(bytes[..<cut])) + terminal.visible(Array(bytes[cut...]))
            #expect(String(decoding: output, as: UTF8.self) == wanted, "cut at \(cut)")
        }
    }
}
