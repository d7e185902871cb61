// One chat completion in OpenAI's format, as events or as a whole.
import Core

/// Renders one chat completion. What all events of a stream share is rendered once; an event is then three copies.
struct ChatAnswer: ~Copyable {
    private(set) var text = ReplyText()
    /// Everything in front of `choices`, without the object's type: id, created, model.
    private var front = ByteBuffer()
    private var eventFront = ByteBuffer()
    private var includesUsage = false
    private var tool: String?

    /// Begins an answer.
    ///
    /// - Parameters:
    ///   - model: the inside of the request's JSON string.
    ///   - prompt: the inside of the JSON string that is echoed.
    mutating func begin(
        id: UInt64, createdSeconds: Int64, model: RawSpan, prompt: RawSpan, behaviour: borrowing Behaviour,
        includesUsage: Bool
    ) {
        text.begin(prompt: prompt, seed: behaviour.seed)
        tool = behaviour.tool
        self.includesUsage = includesUsage
        front.removeAll()
        front.append(literal: "\",\"created\":")
        front.append(decimal: createdSeconds)
        front.append(literal: ",\"model\":\"")
        front.append(model)
        front.append(literal: "\",\"service_tier\":\"default\",\"system_fingerprint\":\"fp_sim\",")
        eventFront.removeAll()
        eventFront.append(literal: "data: {\"id\":\"")
        ChatAnswer.write(id: id, into: &eventFront)
        eventFront.append(literal: "\",\"object\":\"chat.completion.chunk")
        var front = ByteBuffer()
        swap(&front, &self.front)
        eventFront.append(front.bytes)
        swap(&front, &self.front)
        eventFront.append(literal: "\"choices\":[")
    }

    /// Appends `chatcmpl-` and sixteen hexadecimal digits.
    static func write(id: UInt64, into buffer: inout ByteBuffer) {
        buffer.append(literal: "chatcmpl-")
        write(hex: id, into: &buffer)
    }

    static func write(hex value: UInt64, into buffer: inout ByteBuffer) {
        for shift in stride(from: UInt64(60), through: 0, by: -4) {
            let digit = UInt8(truncatingIfNeeded: value >> shift) & 15
            buffer.append(digit < 10 ? UInt8(ascii: "0") + digit : UInt8(ascii: "a") + digit - 10)
        }
    }

    /// Appends the first event, which tells the role (and the tool that is called).
    func writeRole(into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        if let tool {
            buffer.append(literal: "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":null,\"tool_calls\":[")
            buffer.append(literal: "{\"index\":0,")
            writeToolCall(tool, into: &buffer)
            buffer.append(literal: "\"\"}}],\"refusal\":null}")
        } else {
            buffer.append(
                literal: "{\"index\":0,\"delta\":{\"role\":\"assistant\",\"content\":\"\",\"refusal\":null}")
        }
        writeEnd(finish: nil, into: &buffer)
    }

    /// Appends an event with the words `places`.
    func write(words places: Range<Int>, of total: Int, into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        if tool == nil {
            buffer.append(literal: "{\"index\":0,\"delta\":{\"content\":\"")
            for place in places { text.append(word: place, to: &buffer) }
            buffer.append(literal: "\"}")
        } else {
            buffer.append(
                literal: "{\"index\":0,\"delta\":{\"tool_calls\":[{\"index\":0,\"function\":{\"arguments\":\"")
            writeArguments(places, of: total, into: &buffer)
            buffer.append(literal: "\"}}]}")
        }
        writeEnd(finish: nil, into: &buffer)
    }

    /// Appends the event with the reason for the end.
    func writeFinish(isCut: Bool, into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        buffer.append(literal: "{\"index\":0,\"delta\":{}")
        writeEnd(finish: finishReason(isCut: isCut), into: &buffer)
    }

    /// Appends the event with the usage.
    func write(_ usage: ChatUsage, into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        buffer.append(literal: "],\"usage\":")
        usage.write(into: &buffer)
        buffer.append(literal: "}\n\n")
    }

    /// Appends an event whose JSON is broken.
    func writeMalformed(into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        buffer.append(literal: "{\"index\":0,\"delta\":{\"content\":\"brok\n\n")
    }

    /// Appends an event whose text has a byte that begins no character.
    func writeBadText(into buffer: inout ByteBuffer) {
        buffer.append(eventFront.bytes)
        buffer.append(literal: "{\"index\":0,\"delta\":{\"content\":\"bad ")
        buffer.append(0xFF as UInt8)
        buffer.append(literal: "\"}")
        writeEnd(finish: nil, into: &buffer)
    }

    /// Appends the whole answer as one JSON object.
    func writeWhole(id: UInt64, tokens: Int, isCut: Bool, usage: ChatUsage?, into buffer: inout ByteBuffer) {
        buffer.append(literal: "{\"id\":\"")
        ChatAnswer.write(id: id, into: &buffer)
        buffer.append(literal: "\",\"object\":\"chat.completion")
        buffer.append(front.bytes)
        buffer.append(literal: "\"choices\":[{\"index\":0,\"message\":{\"role\":\"assistant\",\"content\":")
        if let tool {
            buffer.append(literal: "null,\"refusal\":null,\"tool_calls\":[")
            buffer.append(UInt8(ascii: "{"))
            writeToolCall(tool, into: &buffer)
            buffer.append(UInt8(ascii: "\""))
            writeArguments(0..<tokens, of: tokens, into: &buffer)
            buffer.append(literal: "\"}}]")
        } else {
            buffer.append(UInt8(ascii: "\""))
            for place in 0..<tokens { text.append(word: place, to: &buffer) }
            buffer.append(literal: "\",\"refusal\":null,\"annotations\":[]")
        }
        buffer.append(literal: "},\"logprobs\":null,\"finish_reason\":\"")
        buffer.append(literal: finishReason(isCut: isCut))
        buffer.append(literal: "\"}]")
        if let usage {
            buffer.append(literal: ",\"usage\":")
            usage.write(into: &buffer)
        }
        buffer.append(UInt8(ascii: "}"))
    }

    private func finishReason(isCut: Bool) -> StaticString {
        isCut ? "length" : tool == nil ? "stop" : "tool_calls"
    }

    private func writeEnd(finish: StaticString?, into buffer: inout ByteBuffer) {
        buffer.append(literal: ",\"logprobs\":null,\"finish_reason\":")
        if let finish {
            buffer.append(UInt8(ascii: "\""))
            buffer.append(literal: finish)
            buffer.append(literal: "\"}]")
        } else {
            buffer.append(literal: "null}]")
        }
        buffer.append(literal: includesUsage ? ",\"usage\":null}\n\n" : "}\n\n")
    }

    private func writeToolCall(_ tool: String, into buffer: inout ByteBuffer) {
        buffer.append(literal: "\"id\":\"call_sim0\",\"type\":\"function\",\"function\":{\"name\":\"")
        buffer.append(tool)
        buffer.append(literal: "\",\"arguments\":")
    }

    /// The arguments are `{"text":"<the words>"}`, with as many pieces as there are words.
    private func writeArguments(_ places: Range<Int>, of total: Int, into buffer: inout ByteBuffer) {
        for place in places {
            if place == 0 { buffer.append(literal: "{\\\"text\\\":\\\"") }
            text.appendTwiceEscaped(word: place, to: &buffer)
            if place == total - 1 { buffer.append(literal: "\\\"}") }
        }
    }
}
