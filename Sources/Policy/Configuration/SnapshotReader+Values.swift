// Values of providers and routes that have a form of their own.
import Core

extension SnapshotReader {
    /// The number of a target's group, or `overload`.
    static func group(_ text: String) throws(ValueProblem) -> Int {
        if text == "overload" { return RouteRecord.overloadGroup }
        guard let group = Int(text), (1...RouteRecord.groupLimit).contains(group) else {
            throw ValueProblem("expected a group from 1 to \(RouteRecord.groupLimit) or 'overload', found '\(text)'")
        }
        return group
    }

    /// `provider/model 5%`, with at most two digits behind the point.
    static func mirror(_ text: String) throws(ValueProblem) -> RouteMirror {
        let words = text.split(separator: " ").map(String.init)
        let path = (words.first ?? "").split(separator: "/", maxSplits: 1).map(String.init)
        guard words.count == 2, path.count == 2, words[0].utf8.count <= 128, let share = share(words[1]) else {
            throw ValueProblem("expected 'provider/model' and a share from 0.01% to 100%, found '\(text)'")
        }
        return RouteMirror(target: RouteTarget(provider: path[0], model: path[1], weight: 0), share: share)
    }

    /// Parts of 10,000: `2.5%` is 250.
    private static func share(_ text: String) -> Int? {
        guard text.hasSuffix("%") else { return nil }
        let parts = text.dropLast().split(separator: ".", omittingEmptySubsequences: false)
        let isMade = parts.allSatisfy { (1...3).contains($0.utf8.count) && $0.utf8.allSatisfy { $0 &- 0x30 < 10 } }
        guard (1...2).contains(parts.count), isMade, let whole = Int(parts[0]) else { return nil }
        var share = whole * 100
        if parts.count == 2 {
            guard parts[1].utf8.count <= 2, let rest = Int(parts[1]) else { return nil }
            share += parts[1].utf8.count == 1 ? rest * 10 : rest
        }
        return (1...10_000).contains(share) ? share : nil
    }

    /// `abort`, or `drain 1000 tokens 10s`.
    static func drain(_ text: String) throws(ValueProblem) -> DrainBounds? {
        if text == "abort" { return nil }
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, words[0] == "drain", words[2] == "tokens" else {
            throw ValueProblem("expected 'abort' or a text such as 'drain 1000 tokens 10s', found '\(text)'")
        }
        return DrainBounds(
            tokens: try ConfigurationValue.integer(words[1], in: 1...1_000_000),
            time: try ConfigurationValue.duration(words[3], in: .milliseconds(1) ... .seconds(600)))
    }
}

extension RouteMirror {
    /// The form that `mirror` reads.
    var text: String {
        let rest = share % 100
        let part = rest == 0 ? "" : rest < 10 ? ".0\(rest)" : ".\(rest)"
        return "\(target.provider)/\(target.model) \(share / 100)\(part)%"
    }
}
