// What may be wrong with the values of a REQUEST that is well-formed: the request's failure, not the connection's.

import Core

extension RequestHead {
    /// The longest time that a request may ask for, for everything and for its first token: ten minutes.
    public static let longestTime: UInt32 = 600_000

    /// Why the request cannot be served as it is asked for; nil when it can be.
    public var problem: StreamError? {
        if idempotencyKey.high | idempotencyKey.low == 0 {
            return refusal("idempotency_key", "zero is no idempotency key; use a random one for each request")
        }
        if timeoutMilliseconds > Self.longestTime {
            return refusal("timeout", "\(timeoutMilliseconds) ms; at most \(Self.longestTime) ms")
        }
        if timeToFirstTokenMilliseconds > Self.longestTime {
            return refusal("first_token", "\(timeToFirstTokenMilliseconds) ms; at most \(Self.longestTime) ms")
        }
        if feature.hasControls { return refusal("feature", "a control or formatting character in the name") }
        if model.hasControls { return refusal("model", "a control or formatting character in the alias") }
        return nil
    }

    private func refusal(_ field: String, _ text: String) -> StreamError {
        StreamError(code: .invalidRequest, text: text, field: field)
    }
}
