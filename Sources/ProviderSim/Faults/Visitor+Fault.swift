// How each fault strikes.
import Core
import Net

extension Visitor {
    /// Strikes instead of an answer; false when this request's fault, if any, comes later.
    func strikeBeforeHead() -> Bool {
        switch exchange.fault {
        case .status(let code): fail(with: .simulated(code))
        case .quota: fail(with: .quota)
        case .hang: break
        case .notHTTP:
            breakOff(sending: "This is no HTTP at all.\r\n\r\n")
        case .contentType:
            home.scratch.removeAll()
            home.scratch.append(literal: "<html><body><h1>It works!</h1></body></html>\n")
            exchangeEnded()
            respondScratch(fields: "content-type: text/html\r\n")
        case .gzip:
            home.scratch.removeAll()
            // The first bytes of a gzip file; what would follow does not matter to a caller that reads the head.
            for byte in [0x1F, 0x8B, 8, 0, 0, 0, 0, 0, 0, 3] as [UInt8] { home.scratch.append(byte) }
            exchangeEnded()
            let type = exchange.isStream ? "text/event-stream" : "application/json"
            respondScratch(fields: "content-type: \(type)\r\ncontent-encoding: gzip\r\n")
        case .slowHead: sendSlowHead(from: 0)
        case .endlessHeaders: sendEndlessHeaders(sent: 0)
        default: return false
        }
        return true
    }

    /// Strikes in the middle of a body in one piece; false when the fault leaves it whole.
    func strikeInBody() -> Bool {
        guard exchange.strikesAfter != nil, let fault = exchange.fault else { return false }
        home.scratch.removeAll()
        switch fault {
        case .errorAfter, .overloadedAfter:
            (fault.word == "error-after" ? APIError.simulated(500) : .overloaded).write(into: &home.scratch)
            exchangeEnded()
            respondScratch()
            return true
        case .endlessAfter:
            home.scratch.append("HTTP/1.1 200 OK\r\n\(Visitor.json)\r\n{\"id\":\"")
            exchange.hasBegun = true
            exchange.hasStruck = true
            sendEndlessLine(sent: 0, inChunks: false)
            return true
        default: break
        }
        answer.writeWhole(
            id: exchange.id, tokens: exchange.tokens, isCut: exchange.isCut, usage: exchange.usage, into: &home.scratch)
        let half = home.scratch.count / 2
        switch fault {
        case .malformedAfter:
            exchangeEnded()
            channel.machine.respond(status: 200, fields: Visitor.json, body: home.scratch, first: half)
            answerEnded()
            return true
        case .badTextAfter:
            home.scratch.removeAll()
            home.scratch.append(literal: "{\"choices\":[{\"index\":0,\"message\":{\"content\":\"bad ")
            home.scratch.append(0xFF as UInt8)
            home.scratch.append(literal: "\"},\"finish_reason\":\"stop\"}]}")
            exchangeEnded()
            respondScratch()
            return true
        default: break
        }
        exchange.hasBegun = true
        exchange.hasStruck = true
        var head = ByteBuffer()
        head.append("HTTP/1.1 200 OK\r\n\(Visitor.json)content-length: \(home.scratch.count)\r\n\r\n")
        channel.machine.write(raw: head)
        channel.machine.write(raw: home.scratch, first: half)
        channel.wake()
        switch fault {
        case .cutAfter: breakOff(sending: "")
        case .resetAfter, .tornAfter: resetSoon()
        default: break
        }
        return true
    }

    /// Strikes in the middle of a stream; true when the stream goes on behind it.
    func strikeInStream() -> Bool {
        guard let fault = exchange.fault else { return true }
        exchange.hasStruck = true
        switch fault {
        case .malformedAfter:
            answer.writeMalformed(into: &home.scratch)
            return true
        case .badTextAfter:
            answer.writeBadText(into: &home.scratch)
            return true
        case .errorAfter: breakOff(telling: .simulated(500))
        case .overloadedAfter: breakOff(telling: .overloaded)
        case .commentsAfter:
            sendScratch()
            sendComments()
        case .endlessAfter:
            home.scratch.append(literal: "data: {\"id\":\"")
            sendEndlessLine(sent: 0, inChunks: true)
        case .cutAfter:
            sendScratch()
            breakOff(sending: "")
        case .resetAfter:
            sendScratch()
            resetSoon()
        case .tornAfter:
            home.scratch.append(literal: "data: {\"choices\":[{\"index\":0,\"delta\":{\"con")
            sendScratch()
            resetSoon()
        default: sendScratch()
        }
        return false
    }

    private func fail(with refusal: APIError) {
        var fields = ""
        if let wait = exchange.behaviour.retryAfter, refusal.status == 429 || refusal.status == 503 {
            let now = home.lane.wallClockMicroseconds
            fields = exchange.behaviour.retryForm.fields(wait, wallClockMicroseconds: now)
        }
        exchangeEnded()
        respond(refusal, fields: fields)
    }

    /// An `error` event, and the end.
    private func breakOff(telling error: APIError) {
        home.scratch.append(literal: "data: ")
        error.write(into: &home.scratch)
        home.scratch.append(literal: "\n\n")
        sendScratch()
        breakOff(sending: "")
    }

    private func sendComments() {
        guard exchange.isActive else { return }
        home.scratch.append(literal: ": still here\n\n")
        sendScratch()
        timer = home.lane.schedule(after: .milliseconds(100)) { [weak self] in self?.sendComments() }
    }

    private func breakOff(sending text: StaticString) {
        exchangeEnded()
        home.scratch.removeAll()
        home.scratch.append(literal: text)
        channel.machine.write(raw: home.scratch)
        channel.machine.abandon()
        channel.wake()
    }

    /// Gives the caller a moment to read what was sent, because a reset throws away what is still under way.
    private func resetSoon() {
        exchange.due = .distantFuture
        timer = home.lane.schedule(after: .milliseconds(5)) { [weak self] in
            guard let self else { return }
            exchangeEnded()
            channel.transport.reset()
        }
    }

    // MARK: - Heads and lines that take too long

    private static let slowHead = Array(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\nconnection: close\r\nserver: snail\r\n\r\n".utf8)

    private func sendSlowHead(from place: Int) {
        guard exchange.isActive else { return }
        home.scratch.removeAll()
        exchange.hasBegun = true
        guard place < Visitor.slowHead.count else {
            answer.writeWhole(
                id: exchange.id, tokens: exchange.tokens, isCut: exchange.isCut, usage: exchange.usage,
                into: &home.scratch)
            channel.machine.write(raw: home.scratch)
            return breakOff(sending: "")
        }
        home.scratch.append(Visitor.slowHead[place])
        channel.machine.write(raw: home.scratch)
        channel.wake()
        timer = home.lane.schedule(after: .milliseconds(100)) { [weak self] in self?.sendSlowHead(from: place + 1) }
    }

    /// Most bytes of a head or a line that does not end; a caller that takes more has no limit at all.
    private static let endlessLimit = 64 << 20

    private func sendEndlessHeaders(sent: Int) {
        guard exchange.isActive else { return }
        guard sent < Visitor.endlessLimit else { return breakOff(sending: "") }
        home.scratch.removeAll()
        if !exchange.hasBegun { home.scratch.append(literal: "HTTP/1.1 200 OK\r\n") }
        exchange.hasBegun = true
        // A caller that does not read is not sent more.
        if channel.transport.outputBacklog < 256 * 1024 {
            for line in 0..<256 {
                home.scratch.append(literal: "x-endless-")
                home.scratch.append(decimal: line)
                home.scratch.append(literal: ": on and on and on and on and on and on and on\r\n")
            }
        }
        channel.machine.write(raw: home.scratch)
        channel.wake()
        let total = sent + home.scratch.count
        timer = home.lane.schedule(after: .milliseconds(1)) { [weak self] in self?.sendEndlessHeaders(sent: total) }
    }

    /// Sends what waits in the lane's scratch, and more of the same line without end.
    private func sendEndlessLine(sent: Int, inChunks: Bool) {
        guard exchange.isActive else { return }
        guard sent < Visitor.endlessLimit else { return breakOff(sending: "") }
        // A caller that does not read is not sent more.
        if channel.transport.outputBacklog < 256 * 1024 {
            for _ in 0..<2_048 { home.scratch.append(literal: "on and on and on and on and on ") }
        }
        let total = sent + home.scratch.count
        if inChunks { channel.machine.write(home.scratch) } else { channel.machine.write(raw: home.scratch) }
        home.scratch.removeAll()
        channel.wake()
        timer = home.lane.schedule(after: .milliseconds(1)) { [weak self] in
            self?.sendEndlessLine(sent: total, inChunks: inChunks)
        }
    }
}
