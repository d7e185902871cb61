// Calls to a provider on a real lane, with what the client would see.
import Core
import Foundation
import HTTP
import Net
import Policy
import Wire

@testable import Providers

/// One lane with one target. Everything of the target happens on the lane.
final class UpstreamHarness: @unchecked Sendable {
    let lane: Lane
    private let target: UpstreamTarget

    init(_ baseURL: String, ca: String? = nil, _ configure: (inout ProviderRecord) -> Void = { _ in }) throws {
        var record = ProviderRecord(name: "test")
        record.baseURL = baseURL
        record.allowsPlainHTTP = baseURL.hasPrefix("http://")
        record.ca = ca
        // Far beyond what a busy machine needs; a test about a limit sets its own.
        record.connectTimeout = .seconds(10)
        record.firstEventTimeout = .seconds(10)
        record.idleTimeout = .seconds(10)
        configure(&record)
        lane = try Lane.start(count: 1, name: "upstream")[0]
        target = try UpstreamTarget(lane: lane, record: record, apiKey: Secret(Array("key-1".utf8)))
    }

    deinit {
        lane.stop()
        lane.join()
    }

    /// How a call ended, how long it took and what was seen.
    struct Ended: Sendable {
        let outcome: UpstreamOutcome
        let text: String
        let ends: Int
        let time: Duration
        let connections: (open: Int, idle: Int, made: Int64, reused: Int64)
        var failure: FailureClass? { outcome.failure?.kind }
    }

    /// A running call; its methods run on the lane.
    final class Running: AnswerSink, @unchecked Sendable {
        fileprivate var call: UpstreamCall?
        fileprivate var bytes: [UInt8] = []
        fileprivate var ends = 0
        fileprivate var onDelta: ((Running) -> Void)?

        func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
            self.bytes += bytes.array()
            onDelta?(self)
        }
        func answerEvent(_ event: StreamEvent) {}
        func pause() { call?.pause() }
        func resume() { call?.resume() }
        func cancel() { call?.cancel() }
        var received: Int { bytes.count }
    }

    /// The target's connections at present.
    func connections() async -> (open: Int, idle: Int, made: Int64, reused: Int64) {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in continuation.resume(returning: target.connections) }
        }
    }

    /// Makes a probe and waits for its end.
    func probe(_ call: ProbeSetting.Call = .models) async -> ProbeCall.Outcome {
        await withCheckedContinuation { continuation in
            lane.execute { [self] in
                let setting = ProbeSetting(call, every: .seconds(30))
                ProbeCall(target, setting) { continuation.resume(returning: $0) }.start()
            }
        }
    }

    /// Makes a call and waits for its end. All closures run on the lane, `beforeStart` in the same turn as the start.
    func call(
        isStream: Bool = true, times: UpstreamTimes = UpstreamTimes(), bounds: AnswerBounds = AnswerBounds(),
        body: [UInt8] = Array(#"{"model":"m"}"#.utf8),
        beforeStart: @escaping @Sendable () -> Void = {},
        onStart: @escaping @Sendable (Running, Lane) -> Void = { _, _ in },
        onDelta: (@Sendable (Running) -> Void)? = nil
    ) async -> Ended {
        let began = ContinuousClock.now
        return await withCheckedContinuation { continuation in
            lane.execute { [self] in
                let running = Running()
                running.onDelta = onDelta
                let terms = RequestTerms(model: "m", isStream: isStream)
                let call = UpstreamCall(target, terms, times: times, sink: running) {
                    [self] outcome in
                    running.ends += 1
                    let time = ContinuousClock.now - began
                    // Later, so that a second end would be seen.
                    lane.schedule(after: .milliseconds(20)) { [self] in
                        continuation.resume(
                            returning: Ended(
                                outcome: outcome, text: String(decoding: running.bytes, as: UTF8.self),
                                ends: running.ends,
                                time: time, connections: target.connections))
                    }
                }
                running.call = call
                var request = RenderedRequest(terms, capacity: body.count)
                request.json.append(body)
                request.bounds = bounds
                beforeStart()
                call.start(&request)
                onStart(running, lane)
            }
        }
    }
}
