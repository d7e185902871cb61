// Answers that are too large for one turn of a lane: read through in parts, then handed out in parts.
import Core
import Wire

/// How far a large answer is.
struct LargeAnswer {
    /// Where its large values lie, as far as it was read through.
    var outline: JSONOutline
    /// True when all of it proved to be sound and is held.
    var isRead = false
    /// The piece that is handed out next, and how much of it was.
    var next = 0
    var offset = 0
    var mark: JSONReader.Mark?
}

extension AnswerDecoder {
    /// The most that is handed out in one piece.
    private static let pieceBytes = 64 * 1024

    /// A turn's work on a large answer; true when all of it was handed out, or it failed.
    ///
    /// First its bytes are checked, a part a turn, which also tells where its large values lie. Reading what it means is then short work, whatever
    /// its size: large values are passed over, and of the rest there may be as much as `JSONOutline.walk`. Last it is handed out, again in parts.
    mutating func goOnWithLarge(to sink: any AnswerSink) -> Bool {
        var work = large ?? LargeAnswer(outline: JSONOutline(least: min(JSONOutline.least, turnBytes)))
        large = nil
        var body = ByteBuffer()
        swap(&body, &whole)
        let isOver = goOn(with: &work, body.bytes, to: sink)
        guard !isOver, failure == nil else {
            answer.held = []
            return true
        }
        swap(&body, &whole)
        large = work
        return false
    }

    private mutating func goOn(with work: inout LargeAnswer, _ body: RawSpan, to sink: any AnswerSink) -> Bool {
        let bytes = body.extracting(AnswerDecoder.markEnd(body)..<body.byteCount)
        guard work.isRead else {
            do {
                guard try work.outline.scan(bytes, atMost: turnBytes) else { return false }
            } catch {
                answer.fail(.protocolError)
                return true
            }
            work.isRead = true
            let outline = work.outline
            parse(JSONReader(bytes, outline: outline))
            return false
        }
        let outline = work.outline
        guard handOut(JSONReader(bytes, outline: outline), &work, to: sink) else { return false }
        answer.noteNews()
        return true
    }

    /// The answer is given up, perhaps in the middle of handing it out: what its provider said of it counts all the same.
    mutating func giveUp() { if large?.isRead == true { answer.noteNews() } }

    /// Hands out about `turnBytes` of what is held; true at its end.
    private mutating func handOut(
        _ reader: borrowing JSONReader, _ work: inout LargeAnswer, to sink: any AnswerSink
    ) -> Bool {
        var room = turnBytes
        while work.next < answer.held.count, failure == nil {
            guard room > 0 else { return false }
            let place = work.next
            switch answer.held[place] {
            case .text(let text, let choice, let kind):
                let rest = JSONText(range: text.range.dropFirst(work.offset), hasEscapes: text.hasEscapes)
                let most = max(8, min(room, AnswerDecoder.pieceBytes))
                let part = reader.prefix(of: rest, atMost: most)
                answer.pass(reader.bytes, part, choice, kind, to: sink)
                room -= part.range.count
                work.offset += part.range.count
                guard part.range.count == rest.range.count else { continue }
            case .event(let event):
                answer.pass(event, to: sink)
                room -= StreamEvent.maximumPayload / 4
            case .list(let start, let list, let choice):
                let isOver = answer.passList(reader, at: start, list, choice, from: &work.mark, atMost: room, to: sink)
                guard isOver else { return false }
                room -= AnswerDecoder.pieceBytes
            case .emptyArguments(let choice): answer.passEmptyArguments(choice, to: sink)
            }
            (work.next, work.offset) = (place + 1, 0)
        }
        return true
    }
}
