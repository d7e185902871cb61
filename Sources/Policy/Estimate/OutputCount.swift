// How many LLM tokens an output has whose provider did not say it.

/// Counts output by its pieces and their bytes.
public struct OutputCount: Sendable, Equatable {
    /// Pieces that came.
    public private(set) var pieces: Int64 = 0
    /// Their bytes of UTF-8.
    public private(set) var bytes: Int64 = 0

    /// Nothing so far.
    public init() {}

    /// One more piece.
    public mutating func note(_ byteCount: Int) {
        pieces += 1
        bytes += Int64(byteCount)
    }

    /// Output tokens: four bytes are about one. Most servers send a token a piece; their pieces count where there are more of them, unless
    /// they have less than three bytes each, for then the server cuts its text finer than tokens. So it is a quarter to a third of the bytes.
    public var tokens: Int64 {
        let quarter = (bytes + 3) / 4
        return pieces * 3 <= bytes ? max(pieces, quarter) : quarter
    }

    /// What came since `earlier`.
    public func since(_ earlier: OutputCount) -> OutputCount {
        var rest = self
        rest.pieces -= earlier.pieces
        rest.bytes -= earlier.bytes
        return rest
    }
}
