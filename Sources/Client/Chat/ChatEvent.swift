// What an answer is made of, piece by piece.
public import Wire

/// One piece of an answer, in order. `choice` is 0 unless several answers were asked for.
public enum ChatEvent: Sendable, Equatable {
    /// A provider has the request; it may be billed from here on and is not repeated any more.
    case accepted(Accepted)
    /// Text for the reader; whole characters.
    case text(String, choice: Int)
    /// The model's thinking; whole characters.
    case reasoning(String, choice: Int)
    /// A refusal's text; whole characters.
    case refusal(String, choice: Int)
    /// The model wants a tool to be called; its arguments follow.
    case toolCallStart(id: String, name: String, index: Int, choice: Int)
    /// A piece of the JSON arguments of the tool call with that index; whole characters.
    case toolCallArguments(String, index: Int, choice: Int)
    /// Audio in the format that was asked for.
    case audio([UInt8], choice: Int)
    /// Everything said so far on this choice is void: another attempt begins.
    case restart(attempt: Int, choice: Int)
    /// One choice of several is complete.
    case choiceEnd(FinishReason, choice: Int)
    /// A citation, as the provider's JSON.
    case citation([UInt8], choice: Int)
    /// Log probabilities, as the provider's JSON.
    case logProbabilities([UInt8], choice: Int)
    /// Usage so far.
    case usage(inputTokens: Int, outputTokens: Int, cachedTokens: Int)
    /// The answer is complete: why it ended, what it used, what it cost. The last event.
    case end(End)
}
