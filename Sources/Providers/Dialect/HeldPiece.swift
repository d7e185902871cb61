// What an event came to, until all of it was read.
import Core
import Wire

/// A piece of an event that waits until all of the event was read.
enum HeldPiece {
    /// A text in the event.
    case text(JSONText, UInt8, DeltaKind)
    case event(StreamEvent)
    /// Where a list lies whose elements are passed on as they are.
    case list(Int, HeldList, choice: UInt8)
    /// The arguments of a call that was given none.
    case emptyArguments(choice: UInt8)
}

/// Lists of the provider's own JSON.
enum HeldList {
    case citations
    /// Of the text, or of a refusal.
    case logProbabilities(ofRefusal: Bool)
}

/// The first half of a surrogate pair, at the end of what came of one text.
struct HalfCharacter {
    let choice: UInt8
    let kind: DeltaKind
    let unit: UInt32
}

/// What one event, or a whole answer, says beside its texts.
struct AnswerNews {
    /// A choice ended.
    var hasFinish = false
    var usage: ReportedUsage?
}
