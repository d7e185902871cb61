// A JSON document as a value, for places where nothing is hot.

/// A JSON value. Numbers keep their text, so that nothing is rounded on the way through.
public indirect enum JSONValue: Equatable, Sendable {
    case null
    case bool(Bool)
    case number(String)
    case string(String)
    case array([JSONValue])
    /// Members in the order of the document; repeated keys are kept.
    case object([Member])

    /// One member of an object.
    public struct Member: Equatable, Sendable {
        /// The key.
        public let key: String
        /// What it stands for.
        public let value: JSONValue
        /// A member.
        public init(_ key: String, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    /// An integer.
    public static func integer(_ value: some BinaryInteger) -> JSONValue { .number(String(value)) }

    /// Reads a whole document.
    public static func parse(_ bytes: [UInt8], limits: JSONLimits = JSONLimits()) throws(JSONError) -> JSONValue {
        var reader = JSONReader(bytes.span.raw, limits: limits)
        let value = try read(&reader)
        _ = try reader.next()
        return value
    }

    private static func read(_ reader: inout JSONReader) throws(JSONError) -> JSONValue {
        try read(try reader.next(), &reader)
    }

    private static func read(_ event: JSONReader.Event, _ reader: inout JSONReader) throws(JSONError) -> JSONValue {
        switch event {
        case .null: return .null
        case .bool(let value): return .bool(value)
        case .number(let digits): return .number(reader.bytes.string(digits.range))
        case .string(let text): return .string(reader.string(text))
        case .arrayStart:
            var elements: [JSONValue] = []
            while true {
                let event = try reader.next()
                if event == .arrayEnd { return .array(elements) }
                elements.append(try read(event, &reader))
            }
        case .objectStart:
            var members: [Member] = []
            while case .key(let key) = try reader.next() {
                let name = reader.string(key)
                members.append(Member(name, try read(&reader)))
            }
            return .object(members)
        case .key, .objectEnd, .arrayEnd, .end:
            throw JSONError(offset: reader.position, expected: "a value")
        }
    }

    /// The first member with this key; nil for other values.
    public subscript(key: String) -> JSONValue? {
        guard case .object(let members) = self else { return nil }
        return members.first { $0.key == key }?.value
    }

    /// The text, if it is one.
    public var text: String? { if case .string(let text) = self { text } else { nil } }
    /// The integer, if it is one that fits.
    public var integer: Int64? { if case .number(let text) = self { Int64(text) } else { nil } }
    /// The truth value, if it is one.
    public var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    /// The elements, if it is an array.
    public var elements: [JSONValue]? { if case .array(let elements) = self { elements } else { nil } }

    /// Appends the value as JSON.
    public func write(into output: inout ByteBuffer) {
        var writer = JSONWriter()
        write(&writer, &output)
    }

    /// The value as JSON text.
    public var json: String {
        var output = ByteBuffer()
        write(into: &output)
        return output.string(of: output.slice)
    }

    private func write(_ writer: inout JSONWriter, _ output: inout ByteBuffer) {
        switch self {
        case .null: writer.null(&output)
        case .bool(let value): writer.bool(value, &output)
        case .number(let text): writer.raw(text, &output)
        case .string(let text): writer.string(text, &output)
        case .array(let elements):
            writer.beginArray(&output)
            for element in elements { element.write(&writer, &output) }
            writer.endArray(&output)
        case .object(let members):
            writer.beginObject(&output)
            for member in members {
                writer.key(member.key, &output)
                member.value.write(&writer, &output)
            }
            writer.endObject(&output)
        }
    }
}
