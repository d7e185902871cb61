// Members that a client adds for one provider: what its section lists, and never over what the request itself says.
import Core
import Policy
import Wire

extension OpenAIChatRequest {
    static func isPassthrough(_ item: ChatItem) -> Bool { if case .passthrough = item { true } else { false } }

    /// Adds the members that are meant for this provider.
    func passthrough(
        _ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) throws(BodyError) {
        for member in try OpenAIChatRequest.passed(items, for: server.provider, server.members, body) {
            json.key(member.name, &output)
            json.raw(body.extracting(member.object.range).extracting(member.value), &output)
        }
    }

    /// A member that passes: in the operator's spelling, with the place of its value in the object that has it.
    struct Passed {
        let name: String
        let object: ByteSlice
        let value: Range<Int>
    }

    /// Those of `items`, all of a request, that pass.
    static func passed(
        _ items: [ChatItem], for provider: String, _ members: PassthroughMembers, _ body: RawSpan
    ) throws(BodyError) -> [Passed] {
        // Servers differ in what a second member of a name means, so there is none.
        var taken: Set<String> = []
        for item in items { if let name = member(of: item) { taken.insert(name.description) } }
        // Both names of the end user's id are the request's own.
        if taken.contains("safety_identifier") { taken.insert("user") }
        var passed: [Passed] = []
        for case .passthrough(let wanted, let object) in items where body.string(wanted.range) == provider {
            var reader = JSONReader(body.extracting(object.range))
            guard (try? reader.next()) == .objectStart else { continue }
            while case .key(let key) = try? reader.next(), let value = try? reader.rawValue() {
                guard let name = members.name(matching: reader.string(key)) else {
                    throw problem(object, "only members that the provider's section in cluster.conf lists")
                }
                guard taken.insert(PassthroughMembers.folded(name)).inserted else {
                    throw problem(object, "each member once, and none that the request has an item for")
                }
                passed.append(Passed(name: name, object: object, value: value))
            }
        }
        return passed
    }

    private static func problem(_ item: ByteSlice, _ expected: String) -> BodyError {
        BodyError(.invalidRequest, at: item.start, "passthrough", expected)
    }

    /// The member of the request that an item becomes.
    private static func member(of item: ChatItem) -> StaticString? {
        switch item {
        case .tool: "tools"
        case .parameter(let parameter, _): member(parameter)
        case .stop: "stop"
        case .seed: "seed"
        case .choices: "n"
        case .parallelToolCalls: "parallel_tool_calls"
        case .logProbabilities: "logprobs"
        case .topLogProbabilities: "top_logprobs"
        case .toolChoice: "tool_choice"
        case .metadata: "metadata"
        case .passthrough, .message, .name, .text, .imageURL, .image, .audio, .file, .toolCall, .toolResult, .refusal,
            .reasoning:
            nil
        }
    }
}
