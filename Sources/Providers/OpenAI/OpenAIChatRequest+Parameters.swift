// Everything of a request that is not a message: tools, sampling, formats, what passes through.
import Core
import Policy
import Wire

extension OpenAIChatRequest {
    func parameters(
        _ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer
    ) throws(BodyError) {
        guard !items.isEmpty else { return }
        // Only what passes through can clash with the rest.
        let passes = items.contains(where: OpenAIChatRequest.isPassthrough)
        tools(items, body, &json, &output)
        list("stop", items, body, &json, &output)
        metadata(items, body, &json, &output)
        for item in items {
            switch item {
            case .parameter(let parameter, let slice): self.parameter(parameter, slice, body, &json, &output)
            case .seed(let seed):
                json.key("seed", &output)
                json.integer(seed, &output)
            case .choices(let count):
                json.key("n", &output)
                json.integer(count, &output)
            case .parallelToolCalls(let flag):
                json.key("parallel_tool_calls", &output)
                json.bool(flag, &output)
            case .logProbabilities(let flag):
                json.key("logprobs", &output)
                json.bool(flag, &output)
            case .topLogProbabilities(let count):
                json.key("top_logprobs", &output)
                json.integer(count, &output)
            case .toolChoice(let choice, let name): toolChoice(choice, name, body, &json, &output)
            default: break
            }
        }
        if passes { try passthrough(items, body, &json, &output) }
    }

    private func tools(_ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer) {
        var isOpen = false
        for case .tool(let name, let description, let strict, let schema) in items {
            if !isOpen {
                json.key("tools", &output)
                json.beginArray(&output)
                isOpen = true
            }
            json.beginObject(&output)
            json.key("type", &output)
            json.string("function", &output)
            json.key("function", &output)
            json.beginObject(&output)
            json.key("name", &output)
            json.string(body.extracting(name.range), &output)
            if description.count > 0 {
                json.key("description", &output)
                json.string(body.extracting(description.range), &output)
            }
            json.key("parameters", &output)
            json.raw(body.extracting(schema.range), &output)
            if let strict {
                json.key("strict", &output)
                json.bool(strict, &output)
            }
            json.endObject(&output)
            json.endObject(&output)
        }
        if isOpen { json.endArray(&output) }
    }

    private func list(
        _ key: StaticString, _ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter,
        _ output: inout ByteBuffer
    ) {
        var isOpen = false
        for case .stop(let slice) in items {
            if !isOpen {
                json.key(key, &output)
                json.beginArray(&output)
                isOpen = true
            }
            json.string(body.extracting(slice.range), &output)
        }
        if isOpen { json.endArray(&output) }
    }

    private func metadata(_ items: [ChatItem], _ body: RawSpan, _ json: inout JSONWriter, _ output: inout ByteBuffer) {
        var isOpen = false
        for case .metadata(let key, let value) in items {
            if !isOpen {
                json.key("metadata", &output)
                json.beginObject(&output)
                isOpen = true
            }
            json.key(body.string(key.range), &output)
            json.string(body.extracting(value.range), &output)
        }
        if isOpen { json.endObject(&output) }
    }

    private func parameter(
        _ parameter: ChatParameter, _ slice: ByteSlice, _ body: RawSpan, _ json: inout JSONWriter,
        _ output: inout ByteBuffer
    ) {
        let bytes = body.extracting(slice.range)
        if parameter == .user {
            guard server.userField != .none else { return }
            json.key(server.userField.rawValue, &output)
        } else {
            json.key(OpenAIChatRequest.member(parameter), &output)
        }
        switch parameter {
        case .reasoningEffort, .user: json.string(bytes, &output)
        // Decimals and objects were checked by the body's reader and travel as they were written.
        case .temperature, .topP, .presencePenalty, .frequencyPenalty, .responseFormat, .logitBias:
            json.raw(bytes, &output)
        }
    }

    static func member(_ parameter: ChatParameter) -> StaticString {
        switch parameter {
        case .temperature: "temperature"
        case .topP: "top_p"
        case .presencePenalty: "presence_penalty"
        case .frequencyPenalty: "frequency_penalty"
        case .responseFormat: "response_format"
        case .logitBias: "logit_bias"
        case .reasoningEffort: "reasoning_effort"
        case .user: "safety_identifier"
        }
    }

    private func toolChoice(
        _ choice: ToolChoice, _ name: ByteSlice, _ body: RawSpan, _ json: inout JSONWriter,
        _ output: inout ByteBuffer
    ) {
        json.key("tool_choice", &output)
        switch choice {
        case .auto: json.string("auto", &output)
        case .none: json.string("none", &output)
        case .required: json.string("required", &output)
        case .named:
            json.beginObject(&output)
            json.key("type", &output)
            json.string("function", &output)
            json.key("function", &output)
            json.beginObject(&output)
            json.key("name", &output)
            json.string(body.extracting(name.range), &output)
            json.endObject(&output)
            json.endObject(&output)
        }
    }
}
