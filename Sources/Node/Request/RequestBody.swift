// A request's body: its bytes, what was found in them, how many count for its key and org.
import Core
import Wire

/// The body of one request. Pure.
struct RequestBody: ~Copyable {
    private(set) var bytes: ByteBuffer
    private(set) var isComplete: Bool
    /// Bytes that its key and org hold for it.
    private(set) var held = 0
    /// Answers that it asks for at once; more than one are known when it is whole.
    private(set) var choices: Int64 = 1
    /// True when it adds members for a provider.
    private(set) var usesPassthrough = false
    private var isOutlined = false

    init(_ bytes: consuming ByteBuffer, isComplete: Bool) {
        self.bytes = bytes
        self.isComplete = isComplete
    }

    /// More of it came.
    mutating func append(_ more: RawSpan, isComplete: Bool) {
        bytes.append(more)
        self.isComplete = isComplete
    }

    /// Looks through it, once, when it is whole; true when it did.
    mutating func outline() -> Bool {
        guard isComplete, !isOutlined else { return false }
        isOutlined = true
        let whole = bytes.slice
        let outline = bytes.withBytes(of: whole) { ChatBodyOutline($0) }
        choices = Int64(outline.choices)
        usesPassthrough = outline.hasPassthrough
        return true
    }

    // MARK: - The room that it takes

    /// What is here, or may come unasked, of a body that the head says to be so long: beyond it the client needs credit.
    static let unasked = 16_384

    /// Bytes to hold before anything is reserved.
    func first(of length: Int) -> Int {
        isComplete ? bytes.count : min(length, max(bytes.count, RequestBody.unasked))
    }

    /// Bytes to hold before the rest may come.
    func rest(of length: Int) -> Int { max(0, length - held) }

    /// Its key and org hold so many more.
    mutating func hold(_ more: Int) { held += more }

    /// It will not be rendered again; returns how many bytes its key and org have back.
    mutating func release() -> Int {
        bytes.removeAll()
        bytes.releaseIfEmpty()
        defer { held = 0 }
        return held
    }
}
