// A request as its provider wants it, with what it can use at most.
import Core

/// One request, ready to be sent.
public struct RenderedRequest: ~Copyable {
    /// What it asks for.
    public let terms: RequestTerms
    /// The JSON of its body.
    public var json: ByteBuffer
    /// What it can use at most.
    public var bounds: AnswerBounds

    /// A request whose JSON is still to be written, into a buffer of about this many bytes.
    public init(_ terms: RequestTerms, capacity: Int) {
        self.terms = terms
        json = ByteBuffer(capacity: capacity)
        bounds = AnswerBounds()
    }
}
