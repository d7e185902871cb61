// Reads the body of an embeddings request.

public import Core

/// One item of an embeddings body.
public enum EmbeddingsItem: Equatable, Sendable {
    /// A text to be turned into a vector.
    case input(ByteSlice)
    /// How long the vectors shall be.
    case dimensions(Int)
    /// An opaque name of the end user.
    case user(ByteSlice)
    /// Members for one provider's request, a JSON object as it came.
    case passthrough(provider: ByteSlice, json: ByteSlice)
}

/// A pull reader over a whole embeddings body, with the rules of `ChatBodyReader`.
public struct EmbeddingsBodyReader: ~Escapable {
    private var fields: ChatBodyReader
    private var inputs = 0

    /// A reader of a whole body. `base` is added to the start of every slice.
    @_lifetime(copy body)
    public init(_ body: RawSpan, base: Int = 0, limits: BodyLimits = .standard) {
        fields = ChatBodyReader(body, base: base, limits: limits)
    }

    /// The next item; nil at the end. After an error the reader must not be asked again.
    @_lifetime(self: copy self)
    public mutating func next() throws(BodyError) -> EmbeddingsItem? {
        while fields.cursor < fields.span.byteCount {
            fields.itemStart = fields.cursor
            let tag = fields.span.byte(at: fields.cursor)
            fields.cursor += 1
            let length = try fields.varint(end: fields.span.byteCount)
            guard length <= fields.span.byteCount - fields.cursor else {
                throw fields.invalid("body", "as many bytes as the item declares")
            }
            if let item = try read(tag, fields.cursor + length) { return item }
        }
        guard inputs > 0 else {
            fields.itemStart = fields.cursor
            throw fields.invalid("input", "at least one text")
        }
        return nil
    }

    @_lifetime(self: copy self)
    private mutating func read(_ tag: UInt8, _ end: Int) throws(BodyError) -> EmbeddingsItem? {
        switch tag {
        case ChatTag.input:
            inputs += 1
            guard inputs <= fields.limits.inputs else {
                throw fields.tooMany("input", "at most \(fields.limits.inputs) texts")
            }
            return .input(try fields.text("input", end, 1...Int.max))
        case ChatTag.dimensions:
            try fields.once(tag)
            guard end - fields.cursor == 4 else { throw fields.invalid("dimensions", "4 bytes") }
            let count: UInt32 = fields.span.integer(at: fields.cursor)
            guard (1...65_536).contains(count) else { throw fields.invalid("dimensions", "1 to 65536") }
            fields.cursor = end
            return .dimensions(Int(count))
        case ChatParameter.user.rawValue:
            try fields.once(tag)
            return .user(try fields.name("user", end, 1...256))
        case ChatTag.passthrough:
            fields.counts.passthroughs += 1
            guard fields.counts.passthroughs <= fields.limits.passthroughs else {
                throw fields.tooMany("passthrough", "at most \(fields.limits.passthroughs) providers")
            }
            let provider = try fields.nameHead("passthrough.provider", end, 1...64)
            let json = try fields.object("passthrough", end, limit: fields.limits.schemaBytes)
            return .passthrough(provider: provider, json: json)
        case 0x80...:
            fields.cursor = end
            return nil
        default: throw fields.invalid("body", "an item that this version knows")
        }
    }
}
