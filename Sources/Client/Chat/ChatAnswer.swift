// A whole answer, collected.
public import Wire

/// Everything that a request was answered.
public struct ChatAnswer: Sendable, Equatable {
    /// A tool that the model wants to be called.
    public struct ToolCall: Sendable, Equatable {
        /// To be given back with the tool's result.
        public var id: String
        /// Which tool.
        public var name: String
        /// Its arguments, JSON as the model wrote it.
        public var arguments = ""
    }

    /// One of the answers that were asked for.
    public struct Choice: Sendable, Equatable {
        /// Text for the reader.
        public var text = ""
        /// The model's thinking.
        public var reasoning = ""
        /// A refusal's text.
        public var refusal = ""
        /// Tools to be called, in the model's order.
        public var toolCalls: [ToolCall] = []
        /// Audio in the format that was asked for.
        public var audio: [UInt8] = []
        /// Citations, each as the provider's JSON.
        public var citations: [[UInt8]] = []
        /// Log probabilities, each as the provider's JSON.
        public var logProbabilities: [[UInt8]] = []
        /// Why this choice ended, where the cluster said it for each one.
        public var finish: FinishReason?
        fileprivate var toolIndexes: [Int] = []
    }

    /// The answers by number; one unless several were asked for.
    public var choices: [Choice] = [Choice()]
    /// Why it ended, what it used, what it cost.
    public var end = End()

    /// The first choice's text.
    public var text: String { choices[0].text }
    /// The first choice's tool calls.
    public var toolCalls: [ToolCall] { choices[0].toolCalls }

    /// Adds a piece. Choices are fewer than 16 on the wire.
    mutating func add(_ event: ChatEvent) {
        switch event {
        case .text(let text, let choice): self[choice].text += text
        case .reasoning(let text, let choice): self[choice].reasoning += text
        case .refusal(let text, let choice): self[choice].refusal += text
        case .toolCallStart(let id, let name, let index, let choice):
            self[choice].toolCalls.append(ToolCall(id: id, name: name))
            self[choice].toolIndexes.append(index)
        case .toolCallArguments(let text, let index, let choice):
            guard let place = self[choice].toolIndexes.lastIndex(of: index) else { return }
            self[choice].toolCalls[place].arguments += text
        case .audio(let bytes, let choice): self[choice].audio += bytes
        case .restart(_, let choice): self[choice] = Choice()
        case .choiceEnd(let finish, let choice): self[choice].finish = finish
        case .citation(let json, let choice): self[choice].citations.append(json)
        case .logProbabilities(let json, let choice): self[choice].logProbabilities.append(json)
        case .accepted, .usage: break
        case .end(let end): self.end = end
        }
    }

    private subscript(choice: Int) -> Choice {
        get { choice < choices.count ? choices[choice] : Choice() }
        _modify {
            while choices.count <= choice { choices.append(Choice()) }
            yield &choices[choice]
        }
    }
}
