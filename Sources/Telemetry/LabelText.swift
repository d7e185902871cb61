// Label pairs in the exposition's syntax, escaped once.
import Core

/// Label pairs as they stand between the braces of a sample line: `name="value",…`, with values escaped.
public struct LabelText: Sendable {
    /// No labels.
    public static let none = LabelText()

    let text: String

    private init() { text = "" }

    /// Pairs of names and values, in the order given.
    ///
    /// - Precondition: the names are valid, differ from each other, and there are as many of them as values.
    public init(names: [String], values: [String]) {
        precondition(names.count == values.count, "each label has one value")
        precondition(names.allSatisfy(MetricName.isValidLabel), "a label name consists of letters, digits and '_'")
        precondition(Set(names).count == names.count, "the labels of a metric differ from each other")
        var text = ""
        for (name, value) in zip(names, values) {
            if !text.isEmpty { text += "," }
            text += "\(name)=\"\(LabelText.escaped(value))\""
        }
        self.text = text
    }

    /// Backslash, quote and line feed are the three characters that the exposition format escapes in a label value.
    static func escaped(_ value: String) -> String {
        var text = ""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\\": text += "\\\\"
            case "\"": text += "\\\""
            case "\n": text += "\\n"
            default: text.unicodeScalars.append(scalar)
            }
        }
        return text
    }
}
