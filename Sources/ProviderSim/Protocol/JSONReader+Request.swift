// Reading a request's members, with refusals in the API's form.
import Core

extension APIError {
    /// A member has a value of the wrong type.
    static func wrongType(_ name: String, _ expected: String) -> APIError {
        .invalid("Invalid type for '\(name)': expected \(expected).", parameter: name, code: "invalid_type")
    }
}

extension JSONReader {
    private static func refusal(_ error: JSONError) -> APIError {
        .invalid("We could not parse the JSON body of your request: \(error.description).")
    }

    /// The next event.
    mutating func event() throws(APIError) -> Event {
        do throws(JSONError) { return try next() } catch { throw JSONReader.refusal(error) }
    }

    /// Skips the next value.
    mutating func skip() throws(APIError) {
        do throws(JSONError) { try skipValue() } catch { throw JSONReader.refusal(error) }
    }

    /// Enters the object that comes next.
    mutating func enterObject(_ name: String) throws(APIError) {
        guard try event() == .objectStart else { throw .wrongType(name, "an object") }
    }

    /// The next key of the object that was entered; nil at its end.
    mutating func nextKey() throws(APIError) -> JSONText? {
        if case .key(let key) = try event() { key } else { nil }
    }

    /// Nothing follows the document.
    mutating func finish() throws(APIError) { _ = try event() }

    /// Where a string's inside lies.
    mutating func text(_ name: String) throws(APIError) -> Range<Int> {
        guard case .string(let text) = try event() else { throw .wrongType(name, "a string") }
        return text.range
    }

    /// True or false; null means false.
    mutating func flag(_ name: String) throws(APIError) -> Bool {
        switch try event() {
        case .bool(let value): return value
        case .null: return false
        default: throw .wrongType(name, "a boolean")
        }
    }

    /// A whole number of at least 0; nil for null.
    mutating func count(_ name: String) throws(APIError) -> Int? {
        switch try event() {
        case .null: return nil
        case .number(let digits):
            if let number = integer(digits.range), number >= 0 { return Int(clamping: number) }
            throw .wrongType(name, "a whole number")
        default: throw .wrongType(name, "a whole number")
        }
    }
}
