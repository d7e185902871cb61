// One reply of Redis, as a value.

/// A reply in RESP2. Strings are bytes: keys and values need not be text.
public enum RedisReply: Hashable, Sendable {
    /// A short status such as `OK`.
    case status(String)
    /// An error; its first word is the kind.
    case error(String)
    /// A number.
    case integer(Int64)
    /// A string of bytes.
    case bytes([UInt8])
    /// Nothing: an absent key or field.
    case null
    /// Several replies.
    case array([RedisReply])

    /// The bytes as text, for cold paths; nil for anything but a string or a status.
    public var text: String? {
        switch self {
        case .status(let text): text
        case .bytes(let bytes): String(decoding: bytes, as: UTF8.self)
        case .error, .integer, .null, .array: nil
        }
    }

    /// What kind of reply it is, for messages: never its content.
    var shape: String {
        switch self {
        case .status: "a status"
        case .error: "an error"
        case .integer: "an integer"
        case .bytes(let bytes): "\(bytes.count) bytes"
        case .null: "null"
        case .array(let elements): "an array of \(elements.count)"
        }
    }
}
