// Members of a request that clients may add for one provider, because its operator lists them.
import Core

/// The members that a provider's section lists: `passthrough = top_k, min_p`. None: nothing passes.
///
/// Names are compared without regard to case: servers whose JSON reader ignores it (Go's does) would take `MODEL` for `model`.
public struct PassthroughMembers: Sendable, Equatable {
    /// The names as the operator wrote them, in that order: this spelling goes to the provider.
    public let names: [String]
    private let folded: [String]

    /// Nothing passes.
    public static let none = PassthroughMembers([])
    /// The most members of a provider.
    public static let limit = 32

    private init(_ names: [String]) {
        self.names = names
        folded = names.map(PassthroughMembers.folded)
    }

    /// The operator's spelling of a member that a client named; nil when it may not pass.
    public func name(matching member: String) -> String? {
        guard let place = folded.firstIndex(of: PassthroughMembers.folded(member)) else { return nil }
        return names[place]
    }

    /// A name as names are compared: `A` to `Z` become small letters. Listed names have no others, so no other spelling can match one.
    public static func folded(_ name: String) -> String {
        String(decoding: name.utf8.map { $0 &- 0x41 < 26 ? $0 | 0x20 : $0 }, as: UTF8.self)
    }

    /// Reads `top_k, min_p`.
    static func parse(_ text: String) throws(ValueProblem) -> PassthroughMembers {
        var names: [String] = []
        for part in text.split(separator: ",", omittingEmptySubsequences: false) {
            var word = part
            while word.first == " " { word.removeFirst() }
            while word.last == " " { word.removeLast() }
            let name = try PlainText.name(String(word))
            guard !reserved.contains(folded(name)) else {
                throw ValueProblem(
                    "'\(name)' changes price, model, state or routing, or is the gateway's own: it never passes")
            }
            guard !names.contains(where: { folded($0) == folded(name) }) else {
                throw ValueProblem("'\(name)' stands twice; case does not matter")
            }
            names.append(name)
        }
        guard names.count <= limit else { throw ValueProblem("at most \(limit) members") }
        return PassthroughMembers(names)
    }

    /// As `parse` reads it.
    var text: String { names.joined(separator: ", ") }

    /// What never passes: what the gateway sets, reserves, prices and routes by, what keeps state at the provider, and what costs money outside
    /// of tokens.
    private static let reserved: Set<String> = [
        "model", "models", "messages", "input", "prompt", "stream", "stream_options", "max_tokens",
        "max_completion_tokens", "max_output_tokens", "max_new_tokens", "n", "best_of", "num_choices",
        "route", "provider", "providers", "order", "fallbacks", "transforms", "plugins", "preset", "extra_body",
        "service_tier", "speed", "inference_geo", "billing_policy", "fallback_credit_token",
        "tools", "functions", "function_call", "tool_choice", "web_search_options", "mcp_servers", "modalities",
        "audio",
        "prediction", "store", "background", "conversation", "previous_response_id", "container", "thread",
    ]
}
