// What every dialect must be able to say, and what it means: canonical transcripts, requests and errors. A dialect adds only its bytes.
import Core
import Foundation
import Policy
import Testing
import Wire

@testable import Providers

/// An answer in canonical terms.
struct CanonicalAnswer: Sendable, CustomTestStringConvertible {
    let id: String
    var testDescription: String { id }
    var lines: [String] = []
    var finish = FinishReason.stop
    /// Input and output as the provider counts them; nil where it does not.
    var tokens: (input: Int64, output: Int64)? = (9, 4)
    var failure: FailureClass?
    /// Answers that were asked for.
    var choices = 1
    /// True for what only a stream can do: to fail, or to end, within its answer.
    var isStreamOnly = false

    static let all: [CanonicalAnswer] = [
        CanonicalAnswer(id: "text", lines: ["0 text Hello world"]),
        CanonicalAnswer(id: "characters", lines: ["0 text ä€👍 \n\"\\ \u{1}"]),
        CanonicalAnswer(id: "length", lines: ["0 text Hello"], finish: .length),
        CanonicalAnswer(id: "filtered", lines: ["0 text Hel"], finish: .contentFilter),
        CanonicalAnswer(id: "thinking", lines: ["0 reasoning Let me see.", "0 text Yes."]),
        CanonicalAnswer(id: "refusal", lines: ["0 refusal I cannot."], finish: .refusal),
        CanonicalAnswer(
            id: "call", lines: ["0 text I look.", "0 call 0 c1 weather", #"0 toolArguments {"city":"Ulm"}"#],
            finish: .toolCalls),
        CanonicalAnswer(
            id: "calls",
            lines: [
                "0 call 0 c1 weather", #"0 toolArguments {"city":"Ulm"}"#, "0 call 1 c2 weather",
                #"0 toolArguments {"city":"Bonn"}"#,
            ], finish: .toolCalls),
        CanonicalAnswer(
            id: "call without arguments", lines: ["0 call 0 c1 now", "0 toolArguments {}"], finish: .toolCalls),
        CanonicalAnswer(id: "no usage", lines: ["0 text Hello"], tokens: nil),
        CanonicalAnswer(
            id: "choices", lines: ["0 text one", "1 text two", "1 end length"], choices: 2),
        CanonicalAnswer(id: "overloaded", failure: .overloaded),
        CanonicalAnswer(id: "throttled", failure: .rateLimited),
        CanonicalAnswer(id: "broken", failure: .protocolError),
        CanonicalAnswer(id: "nothing", failure: .protocolError),
        CanonicalAnswer(
            id: "overloaded behind a piece", lines: ["0 text Hel"], failure: .streamInterrupted, isStreamOnly: true),
        CanonicalAnswer(
            id: "cut behind a piece", lines: ["0 text Hel"], failure: .streamInterrupted, isStreamOnly: true),
    ]

    /// The same as bytes of a dialect.
    func asCase(_ body: String, isStream: Bool, of dialect: DialectBytes) -> AnswerCase {
        let (name, kind) = (dialect.name, isStream ? "stream" : "whole")
        var answer = AnswerCase(id: "\(name), \(kind): \(id)", isStream: isStream, body: Array(body.utf8))
        answer.reader = dialect.reader
        (answer.lines, answer.finish, answer.failure) = (lines, finish, failure)
        answer.bounds.choices = choices
        // What broke off is counted here.
        (answer.tokens, answer.isReported) = (failure == nil ? tokens : nil, tokens != nil)
        return answer
    }
}

/// A dialect's bytes, by the ids of what they say.
struct DialectBytes: Sendable, CustomTestStringConvertible {
    let name: String
    let kind: ProviderRecord.Kind
    let reader: @Sendable () -> AnswerReader
    /// The base URL that its providers have.
    let baseURL: String
    let streams: [String: String]
    let wholes: [String: String]
    /// What its API has no words for, with the reason.
    var lacks: [String: String] = [:]
    /// Errors as HTTP responses.
    let errors: [FailureClass: (status: Int, body: String)]
    /// The JSON that each canonical request becomes, for the model `m`.
    let requests: [String: String]
    /// Each line that the head of a request has, whole and streamed.
    let head: (whole: [String], stream: [String])
    /// The first line of each probe, and an answer that proves that the provider works.
    let probes: [(call: ProbeSetting.Call, line: String, good: String)]
    var testDescription: String { name }

    /// Every dialect. The one line that another one needs.
    static let all: [DialectBytes] = [.openAI]

    /// A provider that speaks it.
    func make() throws -> any Dialect {
        var record = ProviderRecord(name: "test")
        (record.kind, record.baseURL) = (kind, baseURL)
        return record.dialect(try #require(BaseURL(baseURL)), Secret(Array("key-1".utf8)))
    }
}

@Suite struct DialectTests {
    // MARK: - Answers

    @Test(arguments: DialectBytes.all, CanonicalAnswer.all)
    func `a canonical answer means the same in every dialect and in every split`(
        _ dialect: DialectBytes, _ answer: CanonicalAnswer
    ) {
        guard dialect.lacks[answer.id] == nil else { return }
        for isStream in answer.isStreamOnly ? [true] : [true, false] {
            guard let body = (isStream ? dialect.streams : dialect.wholes)[answer.id] else {
                Issue.record("\(dialect.name) has no bytes for \(answer.id), \(isStream ? "streamed" : "whole")")
                continue
            }
            let given = answer.asCase(body, isStream: isStream, of: dialect)
            let wrong = given.firstWrong()
            #expect(wrong == nil, "\(given.id): \(wrong ?? "")")
            guard !isStream, wrong == nil else { continue }
            let parts = given.differs(from: given.read([given.body[...]], turnBytes: 16))
            #expect(parts == nil, "\(given.id), in parts: \(parts ?? "")")
        }
    }

    @Test(arguments: DialectBytes.all) func `nothing is said that is not canonical`(_ dialect: DialectBytes) {
        let known = Set(CanonicalAnswer.all.map(\.id))
        for id in Set(dialect.streams.keys).union(dialect.wholes.keys).union(dialect.lacks.keys) {
            #expect(known.contains(id), "\(dialect.name): \(id)")
        }
    }

    // MARK: - Errors

    /// What an error response must be able to say.
    static let errors: [FailureClass] = [
        .invalidRequest, .unsupportedParameter, .contextLengthExceeded, .authentication, .permissionDenied,
        .quotaExhausted, .notFound, .payloadTooLarge, .rateLimited, .overloaded, .serverError, .timeout,
    ]

    @Test(arguments: DialectBytes.all) func `every error has its class`(_ bytes: DialectBytes) throws {
        let dialect = try bytes.make()
        for kind in DialectTests.errors {
            guard let error = bytes.errors[kind] else {
                Issue.record("\(bytes.name) has no \(kind.rawValue)")
                continue
            }
            let found = dialect.failure(status: error.status, body: Array(error.body.utf8))
            #expect(found.kind == kind && found.status == error.status, "\(bytes.name): \(kind.rawValue), \(found)")
        }
        // What no API says: a body that is none is judged by its status.
        for (status, kind) in [(401, FailureClass.authentication), (429, .rateLimited), (500, .serverError)] {
            #expect(dialect.failure(status: status, body: Array("<html>".utf8)).kind == kind)
            #expect(dialect.failure(status: status, body: []).kind == kind)
        }
    }

    // MARK: - Requests

    /// What a request must be able to say.
    static let requests: [(id: String, build: @Sendable (inout ChatBodyWriter) -> Void)] = [
        ("question", { $0.message(.user, "Hi ä\"\n") }),
        (
            "conversation",
            { body in
                body.message(.system, "Be brief.")
                body.message(.user, "one")
                body.message(.assistant, "two")
                body.message(.user, "three")
            }
        ),
        (
            "tools",
            { body in
                body.message(.user, "weather?")
                body.beginMessage(.assistant)
                body.toolCall(id: "c1", name: "weather", arguments: #"{"city":"Ulm"}"#)
                body.beginMessage(.tool)
                body.toolResult(callID: "c1", content: "rain")
                body.tool(name: "weather", description: "of a city", schema: #"{"type":"object"}"#)
                body.toolChoice(.required)
            }
        ),
        (
            "image",
            { body in
                body.beginMessage(.user)
                body.text("what is this?")
                body.image(mediaType: "image/png", bytes: [0x89, 0x50, 0x4E, 0x47, 0xFF])
            }
        ),
        (
            "sampling",
            { body in
                body.message(.user, "x")
                body.parameter(.temperature, "0.5")
                body.parameter(.topP, "0.9")
                body.stop("END")
            }
        ),
    ]

    private func json(_ text: [UInt8]) throws -> NSDictionary {
        try #require(try JSONSerialization.jsonObject(with: Data(text)) as? NSDictionary)
    }

    @Test(arguments: DialectBytes.all) func `every canonical request is written`(_ bytes: DialectBytes) throws {
        let dialect = try bytes.make()
        for (id, build) in DialectTests.requests {
            let wanted = try #require(bytes.requests[id], "\(bytes.name) has no \(id)")
            var writer = ChatBodyWriter()
            build(&writer)
            let body = writer.finish()
            let terms = RequestTerms(model: "m", isStream: false, maximumOutputTokens: 100)
            var output = ByteBuffer()
            let bounds = try dialect.write(body.bytes, terms, into: &output)
            #expect(try json(output.array()) == json(Array(wanted.utf8)), "\(bytes.name): \(id)")
            #expect(bounds.outputTokens == 100 && bounds.choices == 1)
            #expect(bounds.inputTokens >= Int64(output.count))
        }
    }

    @Test(arguments: DialectBytes.all) func `what is no body is refused`(_ bytes: DialectBytes) throws {
        let dialect = try bytes.make()
        var writer = ChatBodyWriter()
        writer.message(.user, "text")
        let whole = writer.finish().array()
        for broken in (0..<whole.count).map({ Array(whole[..<$0]) }) {
            #expect(throws: BodyError.self) {
                var output = ByteBuffer()
                _ = try dialect.write(broken.span.bytes, RequestTerms(model: "m", isStream: true), into: &output)
            }
        }
    }

    private func lines(_ head: borrowing ByteBuffer) -> [String] {
        let text = head.string(of: head.slice)
        #expect(text.hasSuffix("\r\n") && !text.hasSuffix("\r\n\r\n"), "each line is ended, the head is not")
        return text.split(separator: "\r\n").map(String.init)
    }

    @Test(arguments: DialectBytes.all) func `a head says where, who and what`(_ bytes: DialectBytes) throws {
        let dialect = try bytes.make()
        for (isStream, wanted) in [(false, bytes.head.whole), (true, bytes.head.stream)] {
            var head = ByteBuffer()
            let terms = RequestTerms(model: "m", isStream: isStream)
            let body = Array("{}".utf8)
            dialect.writeHead(
                terms, body: body.span.bytes, wallClockMicroseconds: 1_790_000_000_000_000, into: &head)
            #expect(lines(head) == wanted)
            #expect(dialect.headBytes <= 4_096 && head.count <= dialect.headBytes + 1_024)
        }
    }

    // MARK: - Probes

    @Test(arguments: DialectBytes.all) func `a probe asks, and judges the answer`(_ bytes: DialectBytes) throws {
        let dialect = try bytes.make()
        #expect(!bytes.probes.isEmpty)
        for (call, line, good) in bytes.probes {
            var head = ByteBuffer()
            var body = ByteBuffer()
            dialect.writeProbe(call, wallClockMicroseconds: 1_790_000_000_000_000, head: &head, body: &body)
            #expect(lines(head).first == line)
            if body.count > 0 { _ = try json(body.array()) }
            #expect(dialect.judge(call, status: 200, body: Array(good.utf8)) == .up)
            #expect(dialect.judge(call, status: 429, body: []) == .up, "it is there, and has too much to do")
            for status in [401, 500, 503] {
                guard case .failing = dialect.judge(call, status: status, body: []) else {
                    Issue.record(
                        "\(bytes.name): a probe takes \(status) for \(dialect.judge(call, status: status, body: []))")
                    continue
                }
            }
        }
    }
}
