// In which form a server answers: as events, as one JSON document, or as it does not say.
import Core
import HTTP

/// How the body of an answer is read.
enum AnswerForm: Equatable {
    /// Server-sent events.
    case events
    /// One JSON document.
    case whole
    /// Without a Content-Type the first byte tells.
    case unknown

    /// What the head says; nil for what is no answer to a request of this kind.
    init?(_ head: HTTPResponseHead, _ bytes: RawSpan, isStream: Bool) {
        if head.isMediaType("application/json", in: bytes) {
            self = .whole
        } else if isStream, head.isMediaType("text/event-stream", in: bytes) {
            self = .events
        } else if !head.hasContentType {
            self = isStream ? .unknown : .whole
        } else {
            return nil
        }
    }
}
