// One frame of every kind, by name; the golden vectors are these, written down.

import Core

@testable import Wire

struct Sample {
    let name: String
    let from: String
    let bytes: [UInt8]
}

enum Samples {
    static let identifier = Identifier128(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)

    static let hello = Hello(
        role: .client, authentication: .apiKey, apiKey: Pair.key, client: "example 1.0", instance: identifier)

    static var helloOK: HelloOK {
        var answer = HelloOK(
            session: 0x11, node: 3, tableVersion: 9,
            models: [.init(id: 1, name: "gpt-6-luna"), .init(id: 2, name: "e")],
            locale: "en", peers: ["10.0.0.1:7500"])
        answer.capabilities = .standard
        return answer
    }

    static let head = RequestHead(
        idempotencyKey: identifier, operation: .chat, model: "gpt-6-luna", feature: "search", priority: .background,
        cancelPolicy: .drain, timeoutMilliseconds: 30_000, timeToFirstTokenMilliseconds: 5000,
        maxOutputTokens: 512, traceID: Identifier128(high: 1, low: 2), spanID: 3, bodyLength: 7)

    static func request(_ head: RequestHead, body: [UInt8], more: Bool = false) -> [UInt8] {
        bytes {
            let mark = $0.beginFrame(.request, stream: 1, flags: more ? .more : [])
            head.encode(into: &$0)
            $0.append(body)
            $0.endFrame(mark)
        }
    }

    static let end = End(
        finish: .length, usageSource: .counted, provider: 4, inputTokens: 1200, outputTokens: 512, cachedTokens: 1024,
        totalMilliseconds: 2500, costMicroUSD: 12_345, timeToFirstTokenMilliseconds: 310, attempts: 2)

    static let error = StreamError(
        code: .quotaTokens, retryAfterMilliseconds: 1500, providerStatus: 0, text: "the team's limit is reached",
        field: "max_tokens",
        limit: .init(scope: "team acme/search", unit: "input-tokens", amount: 2_000_000, remaining: 17))

    static var all: [Sample] { connection + requests + answers + controlPlane + resumption }

    private static func sample(_ name: String, _ from: String, _ encode: (inout ByteBuffer) -> Void) -> Sample {
        Sample(name: name, from: from, bytes: bytes(encode))
    }

    private static var connection: [Sample] {
        [
            sample("hello-key", "client") { hello.encode(into: &$0) },
            sample("hello-certificate", "client") {
                Hello(role: .node, authentication: .certificate, instance: identifier).encode(into: &$0)
            },
            sample("hello-ok", "server") { helloOK.encode(into: &$0, room: 16_384) },
            sample("hello-ok-bare", "server") { HelloOK(session: 1, node: 2).encode(into: &$0, room: 16_384) },
            Sample(name: "ping", from: "server", bytes: frame(.ping, [1, 2, 3, 4, 5, 6, 7, 8])),
            Sample(name: "pong", from: "client", bytes: frame(.pong, [1, 2, 3, 4, 5, 6, 7, 8])),
            Sample(name: "credit-streams", from: "server", bytes: frame(.credit, [0, 0, 1, 32])),
            Sample(name: "credit-response", from: "client", bytes: frame(.credit, stream: 5, [0, 2, 0, 0])),
            Sample(name: "credit-body", from: "server", bytes: frame(.credit, stream: 5, [0, 1, 0, 0])),
            sample("goaway-announcement", "server") {
                GoAway(lastStream: .max, reason: .drain, drainMilliseconds: 60_000).encode(into: &$0)
            },
            sample("goaway-final", "server") {
                GoAway(lastStream: 12, reason: .rebalance, drainMilliseconds: 620_000, text: "moved").encode(into: &$0)
            },
            sample("connection-error", "server") {
                ConnectionError(code: .creditViolation, detail: Violation.bodyCredit.rawValue, lastStream: 9).encode(
                    into: &$0)
            },
            sample("hint", "server") {
                Hint(load: 200, wantsRebalance: true, suggestedInFlight: 32).encode(into: &$0)
            },
            sample("hint-budget", "server") { Hint(load: 0, budget: .over).encode(into: &$0) },
            Sample(name: "grease", from: "server", bytes: ByteBuffer.frame(0xC3, [9, 9, 9])),
        ]
    }

    private static var requests: [Sample] {
        var numbered = head
        numbered.model = ""
        numbered.modelID = 1
        numbered.feature = ""
        numbered.flags = []
        var long = head
        long.bodyLength = 20_000
        return [
            Sample(name: "request", from: "client", bytes: request(head, body: Array("\u{12}\u{05}Hello".utf8))),
            Sample(name: "request-model-number", from: "client", bytes: request(numbered, body: Array("1234567".utf8))),
            Sample(name: "request-more", from: "client", bytes: request(long, body: [1, 2, 3], more: true)),
            Sample(name: "body-last", from: "client", bytes: frame(.body, stream: 1, [1, 2, 3])),
            Sample(name: "cancel", from: "client", bytes: frame(.cancel, stream: 1, [2])),
        ]
    }

    private static var answers: [Sample] {
        var fields = end
        fields.reasoningTokens = 100
        fields.cacheWriteTokens = 64
        fields.providerFinish = "max_output"
        var unknown = StreamError(code: .internal, retry: .safeElsewhere)
        unknown.rawCode = 0x0799
        unknown.code = .unrecognized
        let billed = StreamError(
            code: .upstreamTruncated, flags: [.upstreamStarted, .billed, .partialOutput], inputTokens: 12,
            outputTokens: 3, costMicroUSD: 8, providerStatus: 200, provider: 4, text: "the answer ended without its end"
        )
        let events: [(String, StreamEvent)] = [
            ("event-tool-call", .toolCallStart(choice: 1, index: 2, id: "call_1", name: "weather")),
            ("event-tool-resume", .toolCallResume(choice: 0, index: 1)),
            ("event-choice-end", .choiceEnd(choice: 2, finish: .stop)),
            ("event-restart", .restart(choice: 0, attempt: 2)),
            ("event-citation", .citation(choice: 0, json: Array("{\"url\":\"x\"}".utf8))),
            ("event-logprobs", .logProbabilities(choice: 0, json: Array("[]".utf8))),
            ("event-usage", .usage(inputTokens: 1, outputTokens: 2, cachedTokens: 3)),
            ("event-unknown", .other(kind: 0x90, choice: 0, body: [1])),
        ]
        return [
            sample("accepted", "server") {
                Accepted(provider: 4, flags: [.fallback], attempt: 2, queueMilliseconds: 17).encode(
                    into: &$0, stream: 1)
            },
            Sample(name: "delta", from: "server", bytes: frame(.delta, stream: 1, [0] + Array("1234567".utf8))),
            Sample(name: "delta-reasoning", from: "server", bytes: frame(.delta, stream: 1, [0x21] + Array("é".utf8))),
            sample("end", "server") { end.encode(into: &$0, stream: 1) },
            sample("end-fields", "server") { fields.encode(into: &$0, stream: 1) },
            sample("end-no-reasoning", "server") {
                End(outputTokens: 5, reasoningTokens: 0, providerFinish: "eos").encode(into: &$0, stream: 1)
            },
            sample("error-billed", "server") { billed.encode(into: &$0, stream: 1) },
            sample("error", "server") { error.encode(into: &$0, stream: 1) },
            sample("error-bare", "server") { StreamError(code: .draining).encode(into: &$0, stream: 7) },
            sample("error-unknown-code", "server") { unknown.encode(into: &$0, stream: 7) },
        ] + events.map { event in sample(event.0, "server") { event.1.encode(into: &$0, stream: 3) } }
    }

    private static var controlPlane: [Sample] {
        let record = SnapshotRecord(kind: 1, name: "limits", body: Array("{\"a\":1}".utf8))
        return [
            sample("subscribe", "client") {
                Subscribe(
                    node: 4, incarnation: 9, lastEpoch: 2, lastSequence: 7, highestEpoch: 3, name: "edge-4",
                    address: "10.0.0.4:7504", adminAddress: "10.0.0.4:7604", programVersion: "0.1"
                ).encode(into: &$0, stream: 1)
            },
            sample("report", "client") {
                Report(
                    node: 4, load: 80, isDraining: true, number: 6, epoch: 2, sequence: 7, connections: 10, streams: 20,
                    requests: 1000, errors: 3, residentBytes: 1 << 28,
                    targets: [
                        .init(
                            name: "sim/luna", inFlight: 3, successes: 99, failures: 1, throttled: 2, vote: .halfOpen,
                            firstTokenMedianMicroseconds: 200_000, firstTokenHighMicroseconds: 900_000,
                            totalHighMicroseconds: 5_000_000)
                    ]
                ).encode(into: &$0, stream: 1)
            },
            sample("report-canaries", "client") {
                var report = Report(node: 4, number: 7, targets: [.init(name: "sim/luna")])
                var canary = ReportedCanary(route: "chat-default", run: 77)
                (canary.baseline.attempts, canary.baseline.failures) = (1_000, 9)
                (canary.baseline.answers, canary.baseline.cost, canary.baseline.costSquares) = (990, 99_000, 9.9e6)
                canary.baseline.firstTokens = [.init(0, 1), .init(120, 988), .init(241, 1)]
                (canary.canary.attempts, canary.canary.failures) = (10, 1)
                report.canaries = [canary]
                report.encode(into: &$0, stream: 1)
            },
            sample("snapshot", "server") {
                let mark = $0.beginFrame(.snapshot, stream: 1)
                var message = ByteBuffer()
                StateMessage.encode(Snapshot(epoch: 2, sequence: 1, records: [record]), into: &message)
                $0.append(draining: &message)
                $0.endFrame(mark)
            },
            sample("heartbeat", "server") {
                let mark = $0.beginFrame(.update, stream: 1)
                var message = ByteBuffer()
                StateMessage.encode(Update(epoch: 1_790_000_000_000, sequence: 7), into: &message)
                $0.append(draining: &message)
                $0.endFrame(mark)
            },
            sample("subscribe-level", "client") {
                Subscribe(
                    node: 4, incarnation: 99, lastEpoch: 1_790_000_000_000, lastSequence: 7,
                    highestEpoch: 1_790_000_000_000, name: "edge-4", level: 1
                ).encode(into: &$0, stream: 1)
            },
            sample("update", "server") {
                let mark = $0.beginFrame(.update, stream: 1)
                var message = ByteBuffer()
                StateMessage.encode(
                    Update(epoch: 2, sequence: 2, changed: [record], removed: [.init(kind: 2, name: "old")]),
                    into: &message)
                $0.append(draining: &message)
                $0.endFrame(mark)
            },
        ]
    }

    private static var resumption: [Sample] {
        var resumable = head
        resumable.flags = [.stream, .resumable]
        return [
            sample("hello-resume", "client") {
                Hello(apiKey: Pair.key, instance: identifier, capabilities: .supported).encode(into: &$0)
            },
            Sample(
                name: "request-resumable", from: "client",
                bytes: request(resumable, body: Array("\u{12}\u{05}Hello".utf8))),
            sample("accepted-resumable", "server") {
                Accepted(provider: 4, resumption: ResumeGrant(id: identifier, keptMilliseconds: 10_000)).encode(
                    into: &$0, stream: 1)
            },
            sample("resume", "client") {
                Resume(id: identifier, received: 70_001, credit: 135_000).encode(into: &$0, stream: 2)
            },
            sample("error-resume-unknown", "server") {
                StreamError(code: .resumeUnknown).encode(into: &$0, stream: 2)
            },
            sample("error-moved", "server") { StreamError(code: .moved).encode(into: &$0, stream: 1) },
        ]
    }

    /// Decodes one frame and encodes what was understood.
    static func reencode(_ frame: [UInt8]) throws -> [UInt8] {
        let input = ByteBuffer(frame)
        let header = FrameHeader(input)
        let payload = input.slice(at: 8, count: input.count - 8)
        guard Int(header.length) == payload.count else { throw WireFault(.innerLength) }
        var reader = FieldReader(input.bytes(of: payload))
        var output = ByteBuffer()
        switch FrameType(rawValue: header.type) {
        case .hello: try Hello(&reader, flags: header.flags).encode(into: &output)
        case .helloOK: try HelloOK(&reader, flags: header.flags).encode(into: &output, room: 16_384)
        case .goAway: try GoAway(&reader).encode(into: &output)
        case .connectionError: try ConnectionError(&reader).encode(into: &output)
        case .hint: try Hint(&reader).encode(into: &output)
        case .accepted: try Accepted(&reader, flags: header.flags).encode(into: &output, stream: header.stream)
        case .event: try StreamEvent(&reader).encode(into: &output, stream: header.stream)
        case .resume: try Resume(&reader).encode(into: &output, stream: header.stream)
        case .end: try End(&reader, flags: header.flags).encode(into: &output, stream: header.stream)
        case .error: try StreamError(&reader, flags: header.flags).encode(into: &output, stream: header.stream)
        case .subscribe: try Subscribe(&reader, flags: header.flags).encode(into: &output, stream: header.stream)
        case .report: try Report(&reader).encode(into: &output, stream: header.stream)
        case .request:
            let head = try RequestHead(&reader)
            let rest = try reader.array(reader.remaining)
            return request(head, body: rest, more: header.flags.contains(.more))
        case .snapshot, .update:
            let isSnapshot = header.type == FrameType.snapshot.rawValue
            var message = ByteBuffer()
            if isSnapshot {
                StateMessage.encode(try StateMessage.snapshot(input.bytes(of: payload)), into: &message)
            } else {
                StateMessage.encode(try StateMessage.update(input.bytes(of: payload)), into: &message)
            }
            let mark = output.beginFrame(isSnapshot ? .snapshot : .update, stream: header.stream)
            output.append(draining: &message)
            output.endFrame(mark)
        default: return frame
        }
        return output.array()
    }
}
