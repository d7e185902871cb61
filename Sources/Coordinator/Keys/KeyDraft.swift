// What an operator wants a key to be: the JSON of the admin interface, checked member by member; every mistake is told at once.
import Core
import Policy

/// The rights that a request for a key names; what it leaves out stays as it is.
struct KeyDraft {
    /// What is wrong, one sentence a mistake.
    private(set) var problems: [String] = []
    /// Whether a secret is made; nil when it is not said.
    private(set) var wantsSecret: Bool?
    private var rights: [(right: KeyRecord.Right, values: [String])] = []
    /// When it expires; an inner nil: never.
    private var expiry: Int64??

    /// The member of the JSON that sets a right: lists are in the plural.
    static func member(_ right: KeyRecord.Right) -> String { right.isList ? right.rawValue + "s" : right.rawValue }

    /// Reads the members; `now` is the time of the request, in seconds since 1970.
    init(_ value: JSONValue, nowSeconds now: Int64) {
        guard case .object(let members) = value else {
            problems = ["the body is not a JSON object"]
            return
        }
        for member in members {
            guard let right = KeyRecord.Right.allCases.first(where: { KeyDraft.member($0) == member.key }) else {
                read(member, now)
                continue
            }
            let elements = right.isList ? member.value.elements : [member.value]
            let texts = (elements ?? []).compactMap(\.text)
            guard let elements, texts.count == elements.count else {
                problems.append("\(member.key): expected a \(right.isList ? "list of texts" : "text")")
                continue
            }
            rights.append((right, right.isList ? texts : texts.filter { !$0.isEmpty }))
        }
    }

    private mutating func read(_ member: JSONValue.Member, _ now: Int64) {
        switch member.key {
        case "expires_in_seconds":
            guard let seconds = member.value.integer, (1...36_500 * 86_400).contains(seconds) else {
                return problems.append("expires_in_seconds: expected a number from 1 to \(36_500 * 86_400)")
            }
            expiry = .some(now + seconds)
        case "expires":
            if member.value == .null { return expiry = .some(nil) }
            guard let seconds = member.value.integer, seconds > now, seconds <= Int64(KeyRecord.latestExpiry) else {
                return problems.append("expires: expected seconds since 1970 in the future, or null for never")
            }
            expiry = .some(seconds)
        case "secret":
            guard let wants = member.value.bool else { return problems.append("secret: expected true or false") }
            wantsSecret = wants
        default:
            let known = KeyRecord.Right.allCases.map(KeyDraft.member) + ["expires", "expires_in_seconds", "secret"]
            problems.append("unknown member '\(member.key)'; known: \(known.joined(separator: ", "))")
        }
    }

    /// Sets the named rights; what cannot be is added to `problems`.
    mutating func apply(to record: inout KeyRecord) {
        for (right, values) in rights {
            do throws(ValueProblem) {
                try record.set(right, to: values)
            } catch {
                problems.append("\(KeyDraft.member(right)): \(error.message)")
            }
        }
        if let expiry { record.expiresAtSeconds = expiry }
    }
}
