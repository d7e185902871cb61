// The canonical answers, requests and errors in OpenAI's chat completions.
import Policy
import Wire

@testable import Providers

extension DialectBytes {
    private static func events(_ chunks: [String], done: Bool = true) -> String {
        (chunks + (done ? ["[DONE]"] : [])).map { "data: \($0)\n\n" }.joined()
    }
    private static func delta(_ delta: String, finish: String? = nil, choice: Int = 0) -> String {
        Decoded.chunk(delta, finish: finish, choice: choice)
    }
    private static let usage = #"{"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#
    private static let overloaded =
        #"{"error":{"message":"busy","type":"server_error","code":"server_is_overloaded"}}"#
    private static let throttled = #"{"error":{"message":"slow","type":"requests","code":"rate_limit_exceeded"}}"#

    /// A stream of deltas of choice 0, its end and its usage.
    private static func stream(_ deltas: String..., finish: String = "stop") -> String {
        events(deltas.map { delta($0) } + [delta("{}", finish: finish), usage])
    }

    private static func whole(_ message: String, finish: String = "stop") -> String {
        #"{"id":"x","object":"chat.completion","model":"m","choices":[{"index":0,"message":\#(message),"#
            + #""finish_reason":"\#(finish)"}],"usage":{"prompt_tokens":9,"completion_tokens":4}}"#
    }

    private static func call(_ index: Int, _ id: String, _ name: String, _ arguments: String) -> String {
        #"{"index":\#(index),"id":"\#(id)","type":"function","function":{"name":"\#(name)","arguments":"\#(arguments)"}}"#
    }
    private static func arguments(_ index: Int, _ text: String) -> String {
        #"{"tool_calls":[{"index":\#(index),"function":{"arguments":"\#(text)"}}]}"#
    }
    private static func calls(_ calls: String...) -> String { #"{"tool_calls":[\#(calls.joined(separator: ","))]}"# }
    private static let (ulm, bonn) = (#"{\"city\":\"Ulm\"}"#, #"{\"city\":\"Bonn\"}"#)

    private static func error(_ message: String, _ type: String, _ code: String? = nil) -> String {
        #"{"error":{"message":"\#(message)","type":"\#(type)","param":null,"code":\#(code.map { "\"\($0)\"" } ?? "null")}}"#
    }

    static let openAI = DialectBytes(
        name: "openai", kind: .openai, reader: { .openAI(OpenAIAnswerReader()) },
        baseURL: "https://api.example/v1?api-version=1",
        streams: [
            "text": stream(#"{"role":"assistant","content":""}"#, #"{"content":"Hello"}"#, #"{"content":" world"}"#),
            "characters": stream(#"{"content":"ä€"}"#, #"{"content":"\ud83d\udc4d \n\"\\ \u0001"}"#),
            "length": stream(#"{"content":"Hello"}"#, finish: "length"),
            "filtered": stream(#"{"content":"Hel"}"#, finish: "content_filter"),
            "thinking": stream(
                #"{"reasoning_content":"Let me "}"#, #"{"reasoning_content":"see."}"#, #"{"content":"Yes."}"#),
            "refusal": stream(#"{"refusal":"I "}"#, #"{"refusal":"cannot."}"#),
            "call": stream(
                #"{"content":"I look."}"#, calls(call(0, "c1", "weather", "")), arguments(0, #"{\"city\":"#),
                arguments(0, #"\"Ulm\"}"#), finish: "tool_calls"),
            "calls": stream(
                calls(call(0, "c1", "weather", "")), arguments(0, ulm), calls(call(1, "c2", "weather", "")),
                arguments(1, bonn), finish: "tool_calls"),
            "call without arguments": stream(calls(call(0, "c1", "now", "")), finish: "tool_calls"),
            "no usage": events([delta(#"{"content":"Hello"}"#), delta("{}", finish: "stop")]),
            "choices": events([
                delta(#"{"content":"one"}"#), delta(#"{"content":"two"}"#, choice: 1), delta("{}", finish: "stop"),
                delta("{}", finish: "length", choice: 1), usage,
            ]),
            "overloaded": events([overloaded], done: false), "throttled": events([throttled], done: false),
            "broken": "data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"Hel\n\n", "nothing": "",
            "overloaded behind a piece": events([delta(#"{"content":"Hel"}"#), overloaded], done: false),
            "cut behind a piece": events([delta(#"{"content":"Hel"}"#)], done: false),
        ],
        wholes: [
            "text": whole(#"{"role":"assistant","content":"Hello world","refusal":null}"#),
            "characters": whole(#"{"content":"ä€\ud83d\udc4d \n\"\\ \u0001"}"#),
            "length": whole(#"{"content":"Hello"}"#, finish: "length"),
            "filtered": whole(#"{"content":"Hel"}"#, finish: "content_filter"),
            "thinking": whole(#"{"reasoning_content":"Let me see.","content":"Yes."}"#),
            "refusal": whole(#"{"content":null,"refusal":"I cannot."}"#),
            "call": whole(
                #"{"content":"I look.","tool_calls":[\#(call(0, "c1", "weather", ulm))]}"#, finish: "tool_calls"),
            "calls": whole(
                calls(call(0, "c1", "weather", ulm), call(1, "c2", "weather", bonn)), finish: "tool_calls"),
            "call without arguments": whole(calls(call(0, "c1", "now", "")), finish: "tool_calls"),
            "no usage": #"{"choices":[{"index":0,"message":{"content":"Hello"},"finish_reason":"stop"}]}"#,
            "choices":
                #"{"choices":[{"index":0,"message":{"content":"one"},"finish_reason":"stop"},"#
                + #"{"index":1,"message":{"content":"two"},"finish_reason":"length"}],"#
                + #""usage":{"prompt_tokens":9,"completion_tokens":4}}"#,
            "overloaded": overloaded, "throttled": throttled,
            "broken": #"{"choices":[{"index":0,"message":{"content":"Hel"#, "nothing": "",
        ],
        errors: [
            .invalidRequest: (400, error("messages is empty", "invalid_request_error")),
            .unsupportedParameter: (400, error("no", "invalid_request_error", "unsupported_parameter")),
            .contextLengthExceeded: (400, error("too long", "invalid_request_error", "context_length_exceeded")),
            .authentication: (401, error("wrong key", "invalid_request_error", "invalid_api_key")),
            .permissionDenied: (403, error("not for you", "invalid_request_error")),
            .quotaExhausted: (429, error("pay first", "insufficient_quota", "insufficient_quota")),
            .notFound: (404, error("no such model", "invalid_request_error", "model_not_found")),
            .payloadTooLarge: (413, error("too large", "invalid_request_error")),
            .rateLimited: (429, error("slow down", "requests", "rate_limit_exceeded")),
            .overloaded: (503, error("busy", "server_error")), .serverError: (500, error("oops", "server_error")),
            .timeout: (504, "upstream request timeout"),
        ],
        requests: [
            "question":
                #"{"model":"m","messages":[{"role":"user","content":"Hi ä\"\n"}],"max_completion_tokens":100}"#,
            "conversation":
                #"{"model":"m","messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"one"},"#
                + #"{"role":"assistant","content":"two"},{"role":"user","content":"three"}],"#
                + #""max_completion_tokens":100}"#,
            "tools":
                #"{"model":"m","messages":[{"role":"user","content":"weather?"},{"role":"assistant","content":null,"#
                + #""tool_calls":[{"id":"c1","type":"function","function":{"name":"weather","#
                + #""arguments":"{\"city\":\"Ulm\"}"}}]},{"role":"tool","tool_call_id":"c1","content":"rain"}],"#
                + #""max_completion_tokens":100,"tool_choice":"required","tools":[{"type":"function","function":"#
                + #"{"name":"weather","description":"of a city","parameters":{"type":"object"}}}]}"#,
            "image":
                #"{"model":"m","messages":[{"role":"user","content":[{"type":"text","text":"what is this?"},"#
                + #"{"type":"image_url","image_url":{"url":"data:image/png;base64,iVBOR/8="}}]}],"#
                + #""max_completion_tokens":100}"#,
            "sampling":
                #"{"model":"m","messages":[{"role":"user","content":"x"}],"max_completion_tokens":100,"#
                + #""temperature":0.5,"top_p":0.9,"stop":["END"]}"#,
        ],
        head: (whole: head, stream: head),
        probes: [
            (.models, "GET /v1/models?api-version=1 HTTP/1.1", #"{"object":"list","data":[]}"#),
            (
                .chat(model: "m"), "POST /v1/chat/completions?api-version=1 HTTP/1.1",
                #"{"choices":[{"index":0,"message":{"content":"H"},"finish_reason":"length"}]}"#
            ),
        ])

    private static let head = [
        "POST /v1/chat/completions?api-version=1 HTTP/1.1", "Host: api.example", "Authorization: Bearer key-1",
        "Content-Type: application/json", "Accept-Encoding: identity", "User-Agent: sluice/1",
    ]
}
