// Members that a client adds for one provider: never over what the gateway or the request itself says.
import Core
import Wire

extension OpenAIChatRequest {
    /// What the gateway sets, or counts on: what passes through may not change what was asked, counted or reserved.
    private static let ours: Set<String> = [
        "model", "messages", "stream", "stream_options", "max_tokens", "max_completion_tokens", "n",
    ]

    /// Adds the members that are meant for this provider, each name once: the first one counts, for servers differ in what a second one means.
    func passthrough(_ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer) {
        var taken = OpenAIChatRequest.ours
        for item in items { if let name = OpenAIChatRequest.member(of: item) { taken.insert(name.description) } }
        if taken.contains("safety_identifier") { taken.insert("user") }
        for case .passthrough(let wanted, let object) in items where body.string(wanted.range) == provider {
            var reader = JSONReader(body.extracting(object.range))
            guard (try? reader.next()) == .objectStart else { continue }
            while case .key(let key) = try? reader.next(), let value = try? reader.rawValue() {
                let name = reader.string(key)
                guard taken.insert(name).inserted else { continue }
                json.key(name, &output)
                json.raw(reader.bytes.extracting(value), &output)
            }
        }
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
