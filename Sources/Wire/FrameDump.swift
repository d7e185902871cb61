// Turns bytes into lines that people can read, for `sluice dump` and for tests.

import Core

/// Reads frames and says what they are. Keys in HELLO and prompts are shown by their length only.
public enum FrameDump {
    /// One line a frame; what cannot be decoded is said in its place.
    public static func describe(_ bytes: [UInt8]) -> [String] {
        let buffer = ByteBuffer(bytes)
        var lines: [String] = []
        var offset = 0
        while buffer.count - offset >= FrameHeader.size {
            let header = FrameHeader(buffer, at: offset)
            let size = FrameHeader.size + Int(header.length)
            guard buffer.count - offset >= size else { break }
            let payload = buffer.slice(at: offset + FrameHeader.size, count: Int(header.length))
            lines.append("\(offset): \(line(header, buffer.bytes(of: payload)))")
            offset += size
        }
        let rest = buffer.count - offset
        if rest >= FrameHeader.size {
            let header = FrameHeader(buffer, at: offset)
            let name = FrameType(rawValue: header.type)?.name ?? "type \(header.type)"
            lines.append(
                "\(offset): incomplete \(name): \(rest - FrameHeader.size) of \(header.length) payload bytes")
        } else if rest > 0 {
            lines.append("\(offset): incomplete header: \(rest) of 8 bytes")
        }
        return lines
    }

    /// Reads hexadecimal text, ignoring white space; nil with the place of the first character that is neither.
    public static func bytes(hex: String) -> (bytes: [UInt8]?, badCharacter: Int?) {
        var bytes: [UInt8] = []
        var half: UInt8?
        for (place, character) in hex.utf8.enumerated() {
            let digit: UInt8
            switch character {
            case UInt8(ascii: "0")...UInt8(ascii: "9"): digit = character - UInt8(ascii: "0")
            case UInt8(ascii: "a")...UInt8(ascii: "f"): digit = character - UInt8(ascii: "a") + 10
            case UInt8(ascii: "A")...UInt8(ascii: "F"): digit = character - UInt8(ascii: "A") + 10
            case 0x09, 0x0A, 0x0D, 0x20: continue
            default: return (nil, place)
            }
            if let high = half {
                bytes.append(high << 4 | digit)
                half = nil
            } else {
                half = digit
            }
        }
        return half == nil ? (bytes, nil) : (nil, hex.utf8.count)
    }

    private static func line(_ header: FrameHeader, _ payload: RawSpan) -> String {
        guard let type = FrameType(rawValue: header.type) else {
            let kind = header.type & FrameType.ignorableBit != 0 ? "ignorable" : "unknown, critical"
            return "type \(header.type) (\(kind)) stream \(header.stream), \(header.length) bytes"
        }
        var text = type.name
        if header.stream != 0 { text += " stream \(header.stream)" }
        if header.flags.contains(.more) { text += " MORE" }
        if header.flags.contains(.fields) { text += " EXT" }
        if !header.flags.isKnown { text += " flags \(header.flags.rawValue)!" }
        do throws(WireFault) {
            let content = try content(type, header, payload)
            return content.isEmpty ? text : text + ": " + content
        } catch {
            return text + ": MALFORMED, \(error.code.name) (\(error.violation)), \(header.length) bytes"
        }
    }

    private static func content(
        _ type: FrameType, _ header: FrameHeader, _ payload: RawSpan
    ) throws(WireFault) -> String {
        var reader = FieldReader(payload)
        switch type {
        case .hello:
            let hello = try Hello(&reader, flags: header.flags)
            return "\(hello.role) \(hello.authentication), versions \(hello.minimumVersion)-\(hello.maximumVersion), "
                + "capabilities \(hello.capabilities.rawValue), window \(hello.windowKiB) KiB, key of "
                + "\(hello.apiKey.count) bytes, client '\(hello.client)'"
        case .helloOK:
            let answer = try HelloOK(&reader, flags: header.flags)
            return "version \(answer.version), node \(answer.node), streams to \(answer.maximumStream), frames to "
                + "\(answer.maximumFrame), bodies to \(answer.maximumBodyKiB) KiB, \(answer.models.count) models"
        case .ping, .pong: return String(try reader.integer(UInt64.self), radix: 16)
        case .credit: return "up to \(try reader.integer(UInt32.self))"
        case .goAway:
            let message = try GoAway(&reader)
            let last = message.isAnnouncement ? "announcement" : "last stream \(message.lastStream)"
            return "\(last), \(message.reason), drain \(message.drainMilliseconds) ms" + quoted(message.text)
        case .connectionError: return try ConnectionError(&reader).description
        case .request:
            let head = try RequestHead(&reader)
            return "\(request(head)), body \(reader.remaining) of \(head.bodyLength)"
        case .body: return "\(reader.remaining) bytes"
        case .cancel:
            let reason: UInt8 = try reader.integer()
            return CancelReason(rawValue: reason).map { "\($0)" } ?? "reason \(reason)"
        case .resume:
            let message = try Resume(&reader)
            return "behind \(message.received) bytes, up to \(message.credit)"
        case .delta:
            let tag: UInt8 = try reader.integer()
            let kind = DeltaKind(rawValue: tag & 15).map { "\($0)" } ?? "kind \(tag & 15)"
            return "choice \(tag >> 4) \(kind), \(reader.remaining) bytes"
        default: return try answer(type, header, &reader)
        }
    }

    private static func request(_ head: RequestHead) -> String {
        var flags = head.flags.contains(.stream) ? ["stream"] : []
        if head.flags.contains(.resumable) { flags.append("resumable") }
        return "\(head.operation) \(head.model.isEmpty ? "model number \(head.modelID)" : "'\(head.model)'"), "
            + "\(head.priority), cancel \(head.cancelPolicy), flags \(flags.isEmpty ? "none" : flags.joined(separator: " ")), "
            + "idempotency key \(head.idempotencyKey.hex), trace \(head.traceID.hex), span \(head.spanID), "
            + "timeout \(head.timeoutMilliseconds) ms, first token \(head.timeToFirstTokenMilliseconds) ms, "
            + "output limit \(head.maxOutputTokens), feature '\(head.feature)'"
    }

    private static func event(_ event: StreamEvent) -> String {
        let choice = "choice \(event.choice): "
        switch event {
        case .toolCallStart(_, let index, let id, let name):
            return choice + "tool call \(index) id '\(id)' name '\(name)'"
        case .toolCallResume(_, let index): return choice + "further arguments of tool call \(index)"
        case .choiceEnd(_, let finish): return choice + "complete, \(finish.word)"
        case .restart(_, let attempt): return choice + "restart, attempt \(attempt)"
        case .citation(_, let json): return choice + "citation, \(json.count) bytes"
        case .logProbabilities(_, let json): return choice + "log probabilities, \(json.count) bytes"
        case .usage(let input, let output, let cached):
            return "usage so far: \(input) in, \(output) out, \(cached) cached"
        case .other(let kind, _, let body): return choice + "kind \(kind), skipped, \(body.count) bytes"
        }
    }

    private static func end(_ end: End) -> String {
        var text =
            "\(end.finish.word), \(end.inputTokens) in, \(end.outputTokens) out, \(end.cachedTokens) cached, "
            + "\(end.costMicroUSD) µ$, \(end.totalMilliseconds) ms, first token after \(end.timeToFirstTokenMilliseconds) ms, "
            + "attempts \(end.attempts), provider \(end.provider), usage by \(end.usageSource)"
        if let reasoning = end.reasoningTokens { text += ", \(reasoning) reasoning" }
        if end.cacheWriteTokens != 0 { text += ", \(end.cacheWriteTokens) written to the cache" }
        return text + (end.providerFinish.isEmpty ? "" : ", provider's word '\(end.providerFinish)'")
    }

    private static func error(_ error: StreamError) -> String {
        let code = error.code == .unrecognized ? "code \(error.rawCode)" : error.code.name
        var text = "\(code), retry \(error.retry) after \(error.retryAfterMilliseconds) ms"
        if error.flags != [] {
            text += ", flags \(error.flags.rawValue), \(error.inputTokens) in, \(error.outputTokens) out, "
            text += "\(error.costMicroUSD) µ$, provider \(error.provider), status \(error.providerStatus)"
        }
        if !error.field.isEmpty { text += ", field \(error.field)" }
        if let limit = error.limit {
            text += ", limit of \(limit.scope): \(limit.remaining) of \(limit.amount) \(limit.unit) left"
        }
        return text + quoted(error.text)
    }

    private static func answer(
        _ type: FrameType, _ header: FrameHeader, _ reader: inout FieldReader
    ) throws(WireFault) -> String {
        switch type {
        case .accepted:
            let accepted = try Accepted(&reader, flags: header.flags)
            let kept = accepted.resumption.map { ", can be continued for \($0.keptMilliseconds) ms" } ?? ""
            let fallback = accepted.flags.contains(.fallback) ? " (fallback)" : ""
            return "provider \(accepted.provider)\(fallback), attempt \(accepted.attempt), "
                + "queued \(accepted.queueMilliseconds) ms\(kept)"
        case .event: return event(try StreamEvent(&reader))
        case .end: return end(try End(&reader, flags: header.flags))
        case .error: return error(try StreamError(&reader, flags: header.flags))
        case .hint:
            let hint = try Hint(&reader)
            let budget = hint.budget == .within ? "" : ", budget \(hint.budget == .near ? "near" : "over")"
            return
                "load \(hint.load), in flight \(hint.suggestedInFlight)\(hint.wantsRebalance ? ", rebalance" : "")\(budget)"
        case .subscribe:
            let message = try Subscribe(&reader, flags: header.flags)
            return "node \(message.node) '\(message.name)', has \(message.lastEpoch)/\(message.lastSequence)"
        case .report:
            let report = try Report(&reader)
            return "node \(report.node), number \(report.number), \(report.streams) streams, "
                + "\(report.targets.count) targets"
                + (report.canaries.isEmpty ? "" : ", canaries: \(report.canaries.map(\.route).joined(separator: " "))")
        default: return "\(reader.remaining) bytes"
        }
    }

    private static func quoted(_ text: String) -> String { text.isEmpty ? "" : " '\(text)'" }
}
