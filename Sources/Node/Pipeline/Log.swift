// Every request leaves one line and its marks in the metrics; neither carries a prompt, an answer or a key.
import Core
import Net
import Policy
import Providers
import Telemetry
import Wire

extension Pipeline {
    /// Counts the request and writes its line. Runs last, always.
    static func log(_ exchange: Exchange, _ refusal: Refusal?, _ bill: Bill) {
        let gateway = exchange.gateway
        let now = gateway.lane.now
        let outcome = refusal?.outcome ?? "OK"
        gateway.metrics.count(exchange, outcome: outcome, bill: bill, at: now)
        guard gateway.settings.logLevel <= .info, refusal == nil || isLogged(exchange, outcome) else { return }
        var record = LogRecord(
            refusal == nil ? .info : .warning, "request", at: gateway.lane.wallClockMicroseconds,
            into: &gateway.lines)
        record.fields(exchange.session.logFields)
        record.field("stream", exchange.stream)
        record.field("request_id", exchange.head.idempotencyKey)
        let trace = exchange.head.traceID
        if trace.high | trace.low != 0 {
            record.field("trace_id", trace)
            if exchange.head.spanID != 0 { record.field("parent_span_id", hex: exchange.head.spanID) }
        }
        if let grant = exchange.grant { record.fields(grant.logFields) }
        record.field("gen_ai.operation.name", word: exchange.head.operation.name)
        if !exchange.head.feature.isEmpty { record.field("feature", exchange.head.feature) }
        if let route = exchange.route {
            record.fields(route.logField)
        } else {
            record.field("gen_ai.request.model", exchange.head.model)
        }
        if let target = exchange.target {
            record.fields(target.logFields(answeredBy: exchange.tries.leading?.outcome?.end.model))
        }
        if let times = exchange.downstream.continuations { record.field("resumes", times) }
        if exchange.tries.race.begun > 1 { record.field("attempts", exchange.tries.race.begun) }
        record.field("outcome", outcome)
        if refusal != nil { record.field("error.type", outcome) }
        if !exchange.tries.failed.isEmpty { log(exchange.tries.failed, refusal, &record) }
        record.field("gen_ai.usage.input_tokens", bill.usage.inputTokens)
        record.field("gen_ai.usage.output_tokens", bill.usage.outputTokens)
        record.field("cost_micro_usd", bill.cost.amount)
        if let source = bill.source { record.field("usage_source", word: source.name) }
        if let reserved = exchange.held?.decidedAt {
            record.field("reserve_us", from: exchange.receivedAt, to: reserved)
        }
        if let waited = exchange.slot.waited { record.field("queue_us", duration: waited) }
        if let first = exchange.firstDeltaAt { record.field("first_delta_us", from: exchange.receivedAt, to: first) }
        record.field("duration_us", from: exchange.receivedAt, to: now)
        if let id = exchange.tries.leading?.outcome?.requestID { record.field("upstream_request_id", id) }
        if let detail = exchange.tries.leading?.outcome?.failure?.detail { record.field("upstream_failure", detail) }
        record.end(returning: &gateway.lines)
        gateway.linesWritten()
    }

    /// Why the last attempt failed stands on the line itself where the request failed by it; all that failed are in a list.
    @inline(never)
    private static func log(_ failed: [AttemptFailure], _ refusal: Refusal?, _ record: inout LogRecord) {
        if case .upstream? = refusal { failed.last?.write(&record, class: "upstream_class") }
        record.list("failed_attempts", failed, first: "attempt", { $0.number }) { attempt, record in
            record.field("target", attempt.target)
            attempt.write(&record, class: "error.type")
        }
    }

    /// Refusals that cost no provider anything are logged in full at first, then as a sample: a client may cause them as fast as it can send.
    private static func isLogged(_ exchange: Exchange, _ outcome: String) -> Bool {
        exchange.wasSent || exchange.load.refusals.logs(outcome)
    }
}

extension Wire.Operation {
    /// OpenTelemetry's name for it.
    var name: StaticString {
        switch self {
        case .chat: "chat"
        case .embeddings: "embeddings"
        }
    }
}
