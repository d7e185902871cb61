// The answers: from public reports of gateways and servers (their ids begin with a letter and a number), and from trials.
import Providers
import Wire

extension AnswerCase {
    private static func text(_ text: String, _ choice: Int = 0) -> String {
        Decoded.chunk(#"{"content":"\#(text)"}"#, choice: choice)
    }
    private static func finish(_ word: String = "stop", _ choice: Int = 0) -> String {
        Decoded.chunk("{}", finish: word, choice: choice)
    }
    private static func usage(_ input: Int, _ output: Int) -> String {
        #"{"choices":[],"usage":{"prompt_tokens":\#(input),"completion_tokens":\#(output)}}"#
    }
    private static func call(_ json: String) -> String { Decoded.chunk(#"{"tool_calls":[\#(json)]}"#) }
    private static func answer(_ usage: String) -> String {
        #"{"choices":[{"index":0,"message":{"content":"hello world!"},"finish_reason":"stop"}],"usage":\#(usage)}"#
    }

    static let all: [AnswerCase] = ends + usages + counts + calls + errors + noise

    // MARK: - Where an answer ends

    static let ends: [AnswerCase] = [
        .raw("a1: headers, then nothing", "").fails(.protocolError),
        .stream("a1: cut between two events", [text("Hel"), text("lo")], done: false)
            .fails(.streamInterrupted, "0 text Hello"),
        .stream("e2: an end mark without a finish reason", [text("Hello")]).fails(.streamInterrupted, "0 text Hello"),
        .stream("a2: no end mark, usage behind the finish", [text("x"), finish(), usage(1_000, 100)], done: false)
            .gives("0 text x").uses(1_000, 100),
        .stream("a2: nothing behind the finish", [text("four"), finish()], done: false)
            .gives("0 text four").uses(estimatedInput, 1, isReported: false),
        .stream(
            "a14: an empty finish reason is none",
            [
                #"{"choices":[{"index":0,"delta":{"role":"assistant","content":""},"finish_reason":""}]}"#,
                Decoded.chunk(#"{"content":"full "}"#, finish: ""), Decoded.chunk(#"{"content":"answer"}"#, finish: ""),
                finish("eos_token"), usage(9, 2),
            ]
        ).gives("0 text full answer").uses(9, 2),
        .stream("a14: an empty finish reason ends nothing", [text("x"), finish("")]).fails(
            .streamInterrupted, "0 text x"),
        .stream("a14: eos", [text("x"), finish("eos"), usage(9, 2)]).gives("0 text x"),
        .stream("a14: an unknown word is an end", [text("x"), finish("sundown"), usage(9, 2)])
            .gives("0 text x", finish: .other),
        .stream("a14: abort behind a text", [text("x"), finish("abort")]).fails(.streamInterrupted, "0 text x"),
        .stream("a14: abort before a text", [finish("abort")]).fails(.serverError),
        .stream(
            "two choices, one after the other",
            [
                text("A0"), finish(), text("B1", 1), finish("length", 1), usage(5, 4),
            ]
        ).within(choices: 2).gives("0 text A0", "1 text B1", "1 end length").uses(5, 4),
        .stream(
            "a15: text, log probabilities and finish in one chunk",
            [
                Decoded.chunk(#"{"content":"."}"#, finish: "length", more: #","logprobs":{"content":[]}"#)
            ]
        ).gives("0 text .", #"0 logprobs {"content":[]}"#, finish: .length),
        .stream(
            "a15: a delta that is null",
            [
                text("x"), #"{"choices":[{"index":0,"delta":null,"finish_reason":"stop"}]}"#,
            ]
        ).gives("0 text x"),
        .stream("a15: no delta", [text("x"), #"{"choices":[{"index":0,"finish_reason":"stop"}]}"#]).gives("0 text x"),
        .stream(
            "a15: whole calls and the finish in one chunk",
            [
                Decoded.chunk(
                    #"{"tool_calls":[{"index":0,"id":"a","function":{"name":"f","arguments":"{}"}},"#
                        + #"{"index":1,"id":"b","function":{"name":"g","arguments":"[]"}}]}"#,
                    finish: "tool_calls")
            ]
        ).gives(
            "0 call 0 a f", "0 toolArguments {}", "0 call 1 b g", "0 toolArguments []", finish: .toolCalls),
        .stream(
            "a4: chunks without a choice",
            [
                #"{"id":"","object":"","model":"","created":0,"choices":[],"prompt_filter_results":[]}"#,
                #"{"choices":null}"#, #"{"id":"c"}"#, text("x"), finish(), usage(3, 1),
            ]
        ).gives("0 text x").uses(3, 1),
    ]

    // MARK: - Usage that is said

    private static let said: [AnswerCase] = [
        .stream(
            "a3: the last of several usages counts",
            [
                #"{"choices":[{"index":0,"delta":{"content":"a"}}],"usage":{"prompt_tokens":9,"completion_tokens":10}}"#,
                #"{"choices":[{"index":0,"delta":{"content":"b"}}],"usage":{"prompt_tokens":9,"completion_tokens":50}}"#,
                #"{"choices":[{"index":0,"delta":{"content":"c"},"finish_reason":"stop"}],"usage":{"prompt_tokens":9,"completion_tokens":100}}"#,
            ]
        ).gives("0 text abc").uses(9, 100),
        .stream(
            "a3: a null does not take a figure back",
            [
                text("x"), usage(9, 2), finish(),
                #"{"choices":[],"usage":{"prompt_tokens":null,"completion_tokens":3}}"#,
            ]
        ).gives("0 text x").uses(9, 3),
        .stream("usage before the text", [usage(9, 0)] + Array(repeating: text("word"), count: 100) + [finish()])
            .gives("0 text " + String(repeating: "word", count: 100)).uses(9, 100, isReported: false),
        .stream(
            "usage before the text, broken off", [usage(9, 0)] + Array(repeating: text("word"), count: 100),
            done: false
        )
        .fails(.streamInterrupted, "0 text " + String(repeating: "word", count: 100))
        .uses(9, 100, isReported: false),
        .stream("usage in the middle of the text", [text("some"), usage(9, 5), text("more"), finish()])
            .gives("0 text somemore").uses(9, 6, isReported: false),
        .stream(
            "parts beyond their totals",
            [
                text("x"), finish(),
                #"{"choices":[],"usage":{"prompt_tokens":10,"completion_tokens":5,"prompt_tokens_details":{"cached_tokens":50}}}"#,
            ]
        ).gives("0 text x").uses(10, 5),
        .stream("more input than was sent", [text("x"), finish(), usage(20_000_000, 1)])
            .within(input: 1_100).gives("0 text x").uses(1_100, 1, isReported: false),
        .stream("more output than was asked for", [text("x"), finish(), usage(9, 20_000_000)])
            .within(output: 64).gives("0 text x").uses(9, 64, isReported: false),
    ]

    private typealias Shape = (usage: String, input: Int64, output: Int64, isReported: Bool)
    private static let shapes: [Shape] = [
        (#"{}"#, estimatedInput, 3, false), ("null", estimatedInput, 3, false),
        (#"{"input_tokens":10,"output_tokens":5}"#, estimatedInput, 3, false),
        (#"{"total_tokens":15}"#, estimatedInput, 3, false),
        (#"{"prompt_tokens":"10","completion_tokens":"5"}"#, estimatedInput, 3, false),
        (#"{"prompt_tokens":null,"completion_tokens":null}"#, estimatedInput, 3, false),
        (#"{"prompt_tokens":null,"completion_tokens":5}"#, estimatedInput, 5, false),
        (#"{"prompt_tokens":10}"#, 10, 3, false), (#"{"completion_tokens":5}"#, estimatedInput, 5, false),
        (#"{"prompt_tokens":10.0,"completion_tokens":5.00}"#, 10, 5, true),
        (#"{"prompt_tokens":10.5,"completion_tokens":5}"#, estimatedInput, 5, false),
        (#"{"prompt_tokens":10,"completion_tokens":-5}"#, 10, 3, false),
        (#"{"prompt_tokens":10,"completion_tokens":1000000000000}"#, 10, 3, false),
        (#"{"prompt_tokens":0,"completion_tokens":0,"total_tokens":0}"#, estimatedInput, 3, false),
        (#"{"prompt_tokens":10,"completion_tokens":0}"#, 10, 3, false),
        (#"{"prompt_tokens":0,"completion_tokens":5}"#, 0, 5, true),
        (#"{"prompt_tokens":10,"completion_tokens":5,"total_tokens":0}"#, 10, 5, true),
    ]

    static let usages: [AnswerCase] =
        said
        + shapes.flatMap { (shape: Shape) -> [AnswerCase] in
            let whole = AnswerCase.whole("b4: whole, usage \(shape.usage)", answer(shape.usage))
            let chunk = #"{"choices":[],"usage":\#(shape.usage)}"#
            let streamed = AnswerCase.stream(
                "b4: streamed, usage \(shape.usage)", [text("hello world!"), finish(), chunk])
            return [whole, streamed].map {
                $0.gives("0 text hello world!").uses(shape.input, shape.output, isReported: shape.isReported)
            }
        }

    // MARK: - Usage that is counted

    static let counts: [AnswerCase] = [
        .stream(
            "coarse pieces",
            [
                text(String(repeating: "word ", count: 800)), text(String(repeating: "more ", count: 800)), finish(),
            ]
        ).gives("0 text " + String(repeating: "word ", count: 800) + String(repeating: "more ", count: 800))
            .uses(estimatedInput, 2_000, isReported: false),
        .stream(
            "coarse pieces, broken off",
            [
                text(String(repeating: "word ", count: 800)), text(String(repeating: "more ", count: 800)), text("x"),
            ], done: false
        )
        .fails(
            .streamInterrupted,
            "0 text " + String(repeating: "word ", count: 800) + String(repeating: "more ", count: 800) + "x"
        )
        .uses(estimatedInput, 2_001, isReported: false),
        .stream("a character a piece", "twenty-two characters.".map { text(String($0)) } + [finish()])
            .gives("0 text twenty-two characters.").uses(estimatedInput, 6, isReported: false),
        .stream("a token a piece", Array(repeating: text("five "), count: 40) + [finish()])
            .gives("0 text " + String(repeating: "five ", count: 40)).uses(estimatedInput, 50, isReported: false),
        .stream("more than was asked for", [text(String(repeating: "word ", count: 800)), finish()])
            .within(output: 100).gives("0 text " + String(repeating: "word ", count: 800))
            .uses(estimatedInput, 100, isReported: false),
    ]

    // MARK: - Calls of tools

    static let calls: [AnswerCase] = [
        .stream(
            "a5: two calls at one number",
            [
                call(#"{"index":0,"id":"a","function":{"name":"file_write","arguments":"{\"p\":1}"}}"#),
                call(#"{"index":0,"id":"b","function":{"name":"file_write","arguments":"{\"p\":2}"}}"#),
                finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a file_write", #"0 toolArguments {"p":1}"#, "0 call 1 b file_write",
            #"0 toolArguments {"p":2}"#, finish: .toolCalls),
        .stream(
            "a5: two calls without a number",
            [
                call(#"{"id":"a","function":{"name":"file_write","arguments":"{\"p\":1}"}}"#),
                call(#"{"id":"b","function":{"name":"file_write","arguments":"{\"p\":2}"}}"#), finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a file_write", #"0 toolArguments {"p":1}"#, "0 call 1 b file_write",
            #"0 toolArguments {"p":2}"#, finish: .toolCalls),
        .stream(
            "a6: head and tail under different numbers",
            [
                call(#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\":1}"}}"#),
                call(#"{"index":0,"id":"b","function":{"name":"g","arguments":""}}"#),
                call(#"{"index":1,"function":{"arguments":"{\"y\":2}"}}"#), finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a f", #"0 toolArguments {"x":1}"#, "0 call 1 b g", #"0 toolArguments {"y":2}"#,
            finish: .toolCalls),
        .stream(
            "a6: a known id decides",
            [
                call(#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#),
                call(#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\""}}"#),
                call(#"{"id":"a","function":{"arguments":":1}"}}"#),
                call(#"{"id":"b","function":{"arguments":":2}"}}"#),
                finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a f", #"0 toolArguments {"x""#, "0 call 1 b g", #"0 toolArguments {"y""#, "0 again 0",
            "0 toolArguments :1}", "0 again 1", "0 toolArguments :2}", finish: .toolCalls),
        .stream(
            "a6: neither id nor number goes on with the call under way",
            [
                call(#"{"index":0,"id":"a","function":{"name":"f","arguments":"{\"x\""}}"#),
                call(#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\""}}"#),
                call(#"{"id":"a","function":{"arguments":":1"}}"#), call(#"{"function":{"arguments":"}"}}"#),
                call(#"{"index":1,"function":{"arguments":":2}"}}"#), finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a f", #"0 toolArguments {"x""#, "0 call 1 b g", #"0 toolArguments {"y""#, "0 again 0",
            "0 toolArguments :1}", "0 again 1", "0 toolArguments :2}", finish: .toolCalls),
        .stream(
            "a7: the name in every piece",
            [
                call(#"{"index":0,"id":"a","function":{"name":"read_file","arguments":"{\"a\""}}"#),
                call(#"{"index":0,"id":"a","function":{"name":"read_file","arguments":":1"}}"#),
                call(#"{"index":0,"id":"a","function":{"name":"read_file","arguments":"}"}}"#), finish("tool_calls"),
            ]
        ).gives("0 call 0 a read_file", #"0 toolArguments {"a":1}"#, finish: .toolCalls),
        .stream(
            "a7: the name in parts",
            [
                call(#"{"index":0,"id":"a","function":{"name":"edit_ex","arguments":""}}"#),
                call(#"{"index":0,"id":"a","function":{"name":"isting_file","arguments":""}}"#),
                call(#"{"index":0,"id":"a","function":{"arguments":"{}"}}"#), finish("tool_calls"),
            ]
        ).gives("0 call 0 a edit_existing_file", "0 toolArguments {}", finish: .toolCalls),
        .stream(
            "a7: the name in parts, no id behind the first",
            [
                call(#"{"index":0,"id":"a","function":{"name":"edit_ex"}}"#),
                call(#"{"index":0,"function":{"name":"isting_file"}}"#),
                call(#"{"index":0,"function":{"arguments":"{}"}}"#), finish("tool_calls"),
            ]
        ).gives("0 call 0 a edit_existing_file", "0 toolArguments {}", finish: .toolCalls),
        .stream(
            "g5: a streamed call without arguments",
            [
                call(#"{"index":0,"id":"a","function":{"name":"f","arguments":""}}"#),
                call(#"{"index":1,"id":"b","function":{"name":"g","arguments":"{\"y\":2}"}}"#), finish("tool_calls"),
            ]
        ).gives(
            "0 call 0 a f", "0 call 1 b g", #"0 toolArguments {"y":2}"#, "0 again 0", "0 toolArguments {}",
            finish: .toolCalls),
        .whole(
            "g5: a whole call without arguments",
            #"{"choices":[{"message":{"tool_calls":[{"id":"a","function":{"name":"f","arguments":""}}]},"finish_reason":"tool_calls"}]}"#
        ).gives("0 call 0 a f", "0 toolArguments {}", finish: .toolCalls),
        .stream(
            "an id for each piece",
            [
                call(#"{"index":0,"id":"r1","function":{"name":"f","arguments":""}}"#),
                call(#"{"index":0,"id":"r2","function":{"arguments":"{"}}"#),
                call(#"{"index":0,"id":"r3","function":{"arguments":" }"}}"#), finish("tool_calls"),
            ]
        ).gives("0 call 0 r1 f", "0 toolArguments { }", finish: .toolCalls),
    ]

    // MARK: - Errors

    private static let refusals: [(json: String, kind: FailureClass)] = [
        (
            #"{"error":{"message":"litellm.RateLimitError","type":"None","param":"None","code":"429"}}"#,
            .rateLimited
        ),
        (#"{"error":{"message":"slow","code":429}}"#, .rateLimited),
        (#"{"error":{"message":"litellm.APIError","type":"None","code":"500"}}"#, .serverError),
        (#"{"error":{"code":"context_length_exceeded"}}"#, .contextLengthExceeded),
        (#"{"error":{"message":"no","code":"billing_not_active"}}"#, .quotaExhausted),
        (#"{"object":"error","message":"busy","type":"unavailable_error","code":503}"#, .overloaded),
        (#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#, .overloaded),
        (#"{"id":null,"choices":null,"model":null,"object":null,"usage":null}"#, .protocolError),
        (#"<html>busy</html>"#, .protocolError), (#"[]"#, .protocolError), (#"{"error":{}}"#, .protocolError),
    ]

    private static let broken: [AnswerCase] = [
        .whole("b3: an empty body", "").fails(.protocolError),
        .stream("an error behind a text", [text("x"), #"{"error":{"code":"429"}}"#])
            .fails(.streamInterrupted, "0 text x"),
        .stream(
            "an error beside a text",
            [
                #"{"choices":[{"index":0,"delta":{"content":"x"}}],"error":{"code":"429"}}"#
            ]
        ).fails(.rateLimited),
        .raw(
            "a text in a first event that is broken",
            #"data: {"choices":[{"index":0,"delta":{"content":"x""# + "\n\n"
        ).fails(.protocolError),
        .stream(
            "a text in a later event that is broken",
            [
                text("x"), #"{"choices":[{"index":0,"delta":{"content":"lost"}}],"usage":{"#,
            ]
        ).fails(.streamInterrupted, "0 text x"),
    ]

    private static let noErrors = [#""""#, "{}", "null", "false", "[]"]

    static let errors: [AnswerCase] =
        broken
        + refusals.flatMap { (json: String, kind: FailureClass) -> [AnswerCase] in
            let whole = AnswerCase.whole("b3: whole, \(json)", json)
            let streamed = AnswerCase.stream("b3: first event, \(json)", [json])
            return [whole.fails(kind), streamed.fails(kind)]
        }
        + noErrors.flatMap { (value: String) -> [AnswerCase] in
            let choice = #"{"choices":[{"message":{"content":"x"},"finish_reason":"stop"}],"error":\#(value)}"#
            let chunk = #"{"choices":[{"index":0,"delta":{"content":"x"}}],"error":\#(value)}"#
            let whole = AnswerCase.whole("b3: whole, no error is \(value)", choice)
            let streamed = AnswerCase.stream("b3: streamed, no error is \(value)", [chunk, finish()])
            return [whole.gives("0 text x"), streamed.gives("0 text x")]
        }

    // MARK: - Noise, and text

    static let noise: [AnswerCase] = [
        .raw(
            "a10: keep-alives of every kind",
            ": OPENROUTER PROCESSING\n\nretry: 3000\n\nid: 7\n\ndata:\n\ndata:   \n\ndata: : keepalive\n\n"
                + "data: : OPENROUTER PROCESSING\n\ndata: \(text("x"))\n\ndata: : keepalive\n\ndata: \(finish())\n\n"
                + "data: \(usage(3, 1))\n\ndata: [DONE]\n\n"
        ).gives("0 text x").uses(3, 1),
        .stream(
            "a8: content that is a list, thinking in it",
            [
                Decoded.chunk(#"{"content":[{"type":"thinking","thinking":[{"type":"text","text":"hm"}]}]}"#),
                Decoded.chunk(#"{"content":[{"type":"riddle","answer":[1]}]}"#), text("hi"), finish(),
            ]
        ).gives("0 reasoning hm", "0 text hi"),
        .stream(
            "a8: reasoning instead of reasoning_content",
            [
                Decoded.chunk(#"{"reasoning":"hm"}"#), text("hi"), finish(),
            ]
        ).gives("0 reasoning hm", "0 text hi"),
        .stream("a12: characters of several bytes", [text("你好🌍"), finish(), usage(3, 4)]).gives("0 text 你好🌍")
            .uses(3, 4),
        AnswerCase(
            id: "a12: bytes that are no UTF-8",
            body: Array("data: \(text("ab"))\n\ndata: {\"choices\":[{\"delta\":{\"content\":\"".utf8) + [0xE4, 0xBD]
                + Array("\"}}]}\n\n".utf8)
        ).fails(.streamInterrupted, "0 text ab"),
        .stream("halves of a character in two texts", [text(#"a\ud83d"#), text(#"\ude80b"#), finish()])
            .gives("0 text a🚀b"),
        .stream(
            "halves of characters of two choices",
            [
                text(#"a\ud83d"#), text(#"c\ud83c"#, 1), text(#"\udf0dd"#, 1), text(#"\ude80b"#), finish(),
                finish("stop", 1),
            ]
        ).within(choices: 2).gives("0 text a", "1 text c🌍d", "0 text 🚀b", "1 end stop"),
        .stream("half a character and no other", [text(#"a\ud83d"#), text("b"), finish()])
            .fails(.streamInterrupted, "0 text a"),
        .stream("half a character at the end", [text(#"a\ud83d"#), finish()]).fails(.streamInterrupted, "0 text a"),
        .stream("the second half alone", [text(#"\ude80b"#), finish()]).fails(.protocolError),
        .raw("a byte order mark before a stream", "\u{FEFF}data: \(text("x"))\n\ndata: \(finish())\n\n").gives(
            "0 text x"),
        .whole("a byte order mark before a whole answer", "\u{FEFF}" + answer("null")).gives("0 text hello world!"),
        .whole("b9: blank lines before a whole answer", "\n         \n\n   \n" + answer("null"))
            .gives("0 text hello world!"),
    ]
}
