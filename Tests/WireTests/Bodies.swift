// Chat and embeddings bodies by name, and a reader that writes down what it finds.

import Core

@testable import Wire

enum Bodies {
    static var samples: [String: [UInt8]] {
        [
            "chat-minimal": chat { $0.message(.user, "Hello") },
            "chat-parameters": chat {
                $0.message(.system, "Be brief.")
                $0.message(.user, "Hi")
                $0.parameter(.temperature, "0.70")
                $0.parameter(.topP, "1e-3")
                $0.parameter(.presencePenalty, "-2")
                $0.parameter(.frequencyPenalty, "0")
                $0.parameter(.reasoningEffort, "low")
                $0.parameter(.user, "u-1")
                $0.parameter(.responseFormat, "{\"type\":\"json_object\"}")
                $0.parameter(.logitBias, "{\"50256\":-100}")
                $0.stop("\n")
                $0.stop("END")
                $0.seed(-42)
                $0.choices(2)
                $0.parallelToolCalls(false)
                $0.logProbabilities(true)
                $0.topLogProbabilities(5)
                $0.toolChoice(.required)
                $0.metadata("run", "7")
                $0.passthrough(provider: "openai", json: "{\"store\":false}")
            },
            "chat-parts": chat {
                $0.beginMessage(.user)
                $0.name("ada")
                $0.text("What is this?")
                $0.imageURL("https://example.com/a.png", detail: .high)
                $0.image(mediaType: "image/png", bytes: [0x89, 0x50])
                $0.audio(format: "wav", bytes: [0x52, 0x49])
                $0.file(name: "a.pdf", mediaType: "application/pdf", bytes: [0x25])
            },
            "chat-tools": chat {
                $0.message(.user, "Weather?")
                $0.beginMessage(.assistant)
                $0.reasoning("They want the weather.", signature: "sig")
                $0.toolCall(id: "c1", name: "weather", arguments: "{\"city\":\"Köln\"}")
                $0.beginMessage(.tool)
                $0.toolResult(callID: "c1", content: "rain")
                $0.beginMessage(.assistant)
                $0.refusal("No.")
                $0.tool(name: "weather", description: "Tells it", strict: true, schema: "{\"type\":\"object\"}")
                $0.tool(name: "time", schema: "{}")
                $0.toolChoice(.named, name: "weather")
            },
            "embeddings": chat {
                $0.input("one")
                $0.input("two")
                $0.dimensions(256)
                $0.parameter(.user, "u")
            },
        ]
    }

    static func chat(_ write: (inout ChatBodyWriter) -> Void) -> [UInt8] {
        var writer = ChatBodyWriter()
        write(&writer)
        return writer.finish().array()
    }

    /// Items as one line, or what is wrong.
    static func describe(_ body: [UInt8], limits: BodyLimits = .standard) -> String {
        let buffer = ByteBuffer(body)
        func text(_ slice: ByteSlice) -> String { buffer.string(of: slice).debugDescription }
        var items: [String] = []
        do {
            if body.first == ChatTag.input {
                var reader = EmbeddingsBodyReader(buffer.bytes, limits: limits)
                while let item = try reader.next() {
                    switch item {
                    case .input(let slice): items.append("input \(text(slice))")
                    case .dimensions(let count): items.append("dimensions \(count)")
                    case .user(let slice): items.append("user \(text(slice))")
                    case .passthrough(let provider, let json):
                        items.append("passthrough \(text(provider)) \(text(json))")
                    }
                }
            } else {
                var reader = ChatBodyReader(buffer.bytes, limits: limits)
                while let item = try reader.next() { items.append(describe(item, text)) }
            }
        } catch {
            return "\(error)"
        }
        return items.joined(separator: " | ")
    }

    static func describe(_ item: ChatItem, _ text: (ByteSlice) -> String) -> String {
        switch item {
        case .message(let role): "message \(role)"
        case .name(let slice): "name \(text(slice))"
        case .text(let slice): "text \(text(slice))"
        case .imageURL(let url, let detail): "imageURL \(text(url)) \(detail)"
        case .image(let type, let bytes): "image \(text(type)) \(bytes.count)"
        case .audio(let format, let bytes): "audio \(text(format)) \(bytes.count)"
        case .file(let name, let type, let bytes): "file \(text(name)) \(text(type)) \(bytes.count)"
        case .toolCall(let id, let name, let arguments): "toolCall \(text(id)) \(text(name)) \(text(arguments))"
        case .toolResult(let id, let content): "toolResult \(text(id)) \(text(content))"
        case .refusal(let slice): "refusal \(text(slice))"
        case .reasoning(let signature, let slice): "reasoning \(text(signature)) \(text(slice))"
        case .tool(let name, let description, let strict, let schema):
            "tool \(text(name)) \(text(description)) \(strict.map { "\($0)" } ?? "-") \(text(schema))"
        case .parameter(let parameter, let slice): "\(parameter) \(text(slice))"
        case .stop(let slice): "stop \(text(slice))"
        case .seed(let seed): "seed \(seed)"
        case .choices(let count): "choices \(count)"
        case .parallelToolCalls(let flag): "parallelToolCalls \(flag)"
        case .logProbabilities(let flag): "logProbabilities \(flag)"
        case .topLogProbabilities(let count): "topLogProbabilities \(count)"
        case .toolChoice(let choice, let name): "toolChoice \(choice) \(text(name))"
        case .metadata(let key, let value): "metadata \(text(key)) \(text(value))"
        case .passthrough(let provider, let json): "passthrough \(text(provider)) \(text(json))"
        }
    }
}
