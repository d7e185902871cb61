// Rows for people and for spreadsheets. Cells come from clients, operators and providers: what they hold never leaves its cell.
import Core

/// Columns as wide as their content.
enum Table {
    static func text(_ heading: [String], _ rows: [[String]]) -> String {
        let all = ([heading] + rows).map { $0.map { $0.visible() } }
        let widths = heading.indices.map { column in all.map { $0[column].count }.max() ?? 0 }
        var text = ""
        for row in all {
            var line = zip(row, widths).map { cell, width in
                cell + String(repeating: " ", count: width - cell.count)
            }.joined(separator: "  ")
            while line.hasSuffix(" ") { line.removeLast() }
            text += line + "\n"
        }
        return text
    }

    /// One thing's properties, a line each: name and value.
    static func page(_ rows: [(name: String, value: String)]) -> String {
        let width = rows.map(\.name.count).max() ?? 0
        return rows.map { row in
            row.name + String(repeating: " ", count: width + 2 - row.name.count) + row.value.visible() + "\n"
        }.joined()
    }

    /// Comma-separated values by RFC 4180, lines ended by LF.
    static func csv(_ rows: [[String]]) -> String {
        rows.map { $0.map(quoted).joined(separator: ",") + "\n" }.joined()
    }

    /// A cell: quoted where it must be, and behind `'` where a spreadsheet would compute it.
    private static func quoted(_ cell: String) -> String {
        // By scalars: CR and LF side by side are one Character, which is neither.
        let isFormula = cell.unicodeScalars.first.map { "=+-@\t\r".unicodeScalars.contains($0) } ?? false
        let plain = isFormula && Int64(cell) == nil ? "'" + cell : cell
        guard plain.unicodeScalars.contains(where: { "\",\r\n".unicodeScalars.contains($0) }) else { return plain }
        return "\"" + plain.replacing("\"", with: "\"\"") + "\""
    }

    /// Numbers stand with their last digits below each other.
    static func rightAligned(_ rows: [[String]]) -> [[String]] {
        let widths = (rows.first ?? []).indices.map { column in rows.map { $0[column].count }.max() ?? 0 }
        return rows.map { row in zip(row, widths).map { String(repeating: " ", count: $1 - $0.count) + $0 } }
    }
}
