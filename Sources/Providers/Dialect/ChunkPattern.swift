// What the chunks of a stream have in common: nearly always all bytes but one text.
import Core
import Wire

/// What reading one chunk came to.
struct ChunkLesson {
    /// Where its only text lies.
    private(set) var text = 0..<0
    private(set) var choice: UInt8 = 0
    private(set) var kind = DeltaKind.text
    private(set) var texts = 0
    private(set) var others = 0

    mutating func noteText(_ range: Range<Int>, _ choice: UInt8, _ kind: DeltaKind) {
        (text, self.choice, self.kind) = (range, choice, kind)
        texts += 1
    }

    /// Something that another chunk with the same frame must not take for granted.
    mutating func noteOther() { others += 1 }
}

/// The frame of the last chunk that was one piece of text and nothing else.
///
/// Ids, model and fingerprint stand in every chunk. A chunk that has the same bytes before and behind its text means the same and is as
/// well-formed as the one that was read: only the text itself needs a look.
struct ChunkPattern: ~Copyable {
    private var frame = ByteBuffer()
    /// Bytes of the frame before the text.
    private var front = 0
    private(set) var choice: UInt8 = 0
    private(set) var kind = DeltaKind.text

    /// The longest frame that is kept, in bytes; usual ones have 150 to 400.
    private static let longest = 2_048

    /// Keeps the frame of a chunk with one text; forgets the old one after a chunk that changed more. Chunks without effect change nothing.
    mutating func learn(_ lesson: borrowing ChunkLesson, from chunk: RawSpan) {
        guard lesson.texts + lesson.others > 0 else { return }
        frame.removeAll()
        let size = chunk.byteCount - lesson.text.count
        guard lesson.texts == 1, lesson.others == 0, size <= ChunkPattern.longest else { return }
        frame.append(chunk.extracting(0..<lesson.text.lowerBound))
        frame.append(chunk.extracting(lesson.text.upperBound..<chunk.byteCount))
        (front, choice, kind) = (lesson.text.lowerBound, lesson.choice, lesson.kind)
    }

    /// The text of a chunk that fits the frame; nil for any other chunk.
    func text(in chunk: RawSpan) -> JSONText? {
        let frame = frame.bytes
        let end = chunk.byteCount - (frame.byteCount - front)
        guard frame.byteCount > 0, end >= front,
            chunk.extracting(0..<front).isEqual(to: frame.extracting(0..<front)),
            chunk.extracting(end..<chunk.byteCount).isEqual(to: frame.extracting(front..<frame.byteCount)),
            let text = JSONReader.text(in: chunk, from: front), text.range.upperBound == end
        else { return nil }
        return text
    }
}
