// One question to a model, with everything that admission, routing and attribution need.
public import Core
public import Wire

/// A chat request. What is not set is left to the cluster.
///
///     var request = ChatRequest(model: "chat-default") { body in
///         body.message(.system, "Answer in one sentence.")
///         body.message(.user, "Why is the sky blue?")
///     }
///     request.deadline = .seconds(30)
public struct ChatRequest: Sendable {
    /// The route's alias, 1…128 bytes.
    public var model: String
    /// The messages, tools and parameters as they travel.
    public let body: [UInt8]
    /// Time for everything, from `chat` to the last event, repetitions included; 1 ms to 600 s.
    public var deadline = Duration.seconds(120)
    /// Time until the first output; nil for the cluster's standard.
    public var firstOutputTime: Duration?
    /// How urgent it is.
    public var priority = Priority.interactive
    /// What it is for, for attribution; at most 64 bytes.
    public var feature = ""
    /// Output limit in tokens; 0 for the route's own.
    public var maxOutputTokens: UInt32 = 0
    /// False to ask the provider for one whole answer.
    public var isStreaming = true
    /// What happens upstream when the answer is not wanted any more.
    public var cancelPolicy = CancelPolicy.abort
    /// Names the request for ever, also over repetitions by the caller; nil for a fresh random one.
    public var idempotencyKey: Identifier128?
    /// The trace it belongs to; zero for none.
    public var traceID = Identifier128(high: 0, low: 0)
    /// The caller's span, which the node logs beside the trace; zero for none.
    public var spanID: UInt64 = 0

    /// A request whose body `build` writes. The cluster checks it, and names the field that is wrong.
    public init(model: String, _ build: (inout ChatBodyWriter) -> Void) {
        self.model = model
        var writer = ChatBodyWriter()
        build(&writer)
        body = writer.finish().array()
    }

    /// One user's message.
    public init(model: String, prompt: String) { self.init(model: model) { $0.message(.user, prompt) } }

    /// The head as it travels, or why there is none.
    func head(fresh key: Identifier128) throws(ClientFailure) -> RequestHead {
        try ChatRequest.check((1...128).contains(model.utf8.count), "model", "a model's alias has 1 to 128 bytes")
        try ChatRequest.check(!model.hasControls, "model", "a model's alias has no control characters")
        try ChatRequest.check(feature.utf8.count <= 64, "feature", "a feature's name has at most 64 bytes")
        try ChatRequest.check(!feature.hasControls, "feature", "a feature's name has no control characters")
        try ChatRequest.check(
            deadline >= .milliseconds(1) && deadline <= .seconds(600), "deadline", "a deadline is 1 ms to 600 s")
        let first = firstOutputTime?.milliseconds ?? 0
        try ChatRequest.check((0...600_000).contains(first), "firstOutputTime", "a time is at most 600 s")
        return RequestHead(
            idempotencyKey: idempotencyKey ?? key, model: model, feature: feature, priority: priority,
            cancelPolicy: cancelPolicy, flags: isStreaming ? .stream : [],
            timeoutMilliseconds: UInt32(clamping: deadline.milliseconds),
            timeToFirstTokenMilliseconds: UInt32(clamping: first), maxOutputTokens: maxOutputTokens, traceID: traceID,
            spanID: spanID)
    }

    private static func check(_ isGood: Bool, _ field: String, _ text: String) throws(ClientFailure) {
        if !isGood { throw .refused(StreamError(code: .invalidRequest, text: text, field: field)) }
    }
}
