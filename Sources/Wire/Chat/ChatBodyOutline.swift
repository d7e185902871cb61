// What of a chat body counts before quota is taken: found by its items' tags and lengths alone.
import Core

/// How many answers a chat body asks for, and whether it adds members for a provider.
///
/// It skips from item to item and checks nothing: whoever reads the whole body finds what is wrong with it. What `ChatBodyReader` accepts it
/// reads alike.
public struct ChatBodyOutline: Equatable, Sendable {
    /// Answers that are asked for at once: 1 to 16.
    public private(set) var choices: UInt8 = 1
    /// True when there is an item for a provider.
    public private(set) var hasPassthrough = false

    /// The outline of a whole body; of one that is broken, what stands before the break.
    public init(_ body: RawSpan) {
        var cursor = 0
        while cursor < body.byteCount {
            let tag = body.byte(at: cursor)
            cursor += 1
            guard let length = ChatBodyOutline.length(in: body, &cursor), length <= body.byteCount - cursor else {
                return
            }
            if tag == ChatTag.choices, length == 1 {
                choices = min(ChatBodyOutline.mostChoices, max(1, body.byte(at: cursor)))
            } else if tag == ChatTag.passthrough {
                hasPassthrough = true
            }
            cursor += length
        }
    }

    /// The most answers that a body may ask for.
    static let mostChoices: UInt8 = 16

    private static func length(in body: RawSpan, _ cursor: inout Int) -> Int? {
        var value = 0
        for shift in stride(from: 0, to: 35, by: 7) where cursor < body.byteCount {
            let byte = body.byte(at: cursor)
            cursor += 1
            value |= Int(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return value }
        }
        return nil
    }
}
