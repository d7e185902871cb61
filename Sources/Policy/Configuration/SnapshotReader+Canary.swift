// Reads what a coordinator publishes of a canary.
import Core

extension SnapshotReader {
    /// The target on trial, what it replaces, and the number of the count.
    static func canary(_ reader: inout SectionReader) -> RouteCanary? {
        let replaced = reader.optional("replaced", PlainText.any)
        guard let target = reader.required("target", PlainText.any),
            let run = reader.number("run", in: 1...Int(UInt32.max))
        else { return nil }
        return RouteCanary(target: target, replaced: replaced, run: UInt32(run))
    }
}
