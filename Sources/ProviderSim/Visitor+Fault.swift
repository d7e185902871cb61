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
        if case .errorAfter = fault {
            APIError.simulated(500).write(into: &home.scratch)
            exchangeEnded()
            respondScratch()
            return true
        }
        answer.writeWhole(
            id: exchange.id, tokens: exchange.tokens, isCut: exchange.isCut, usage: exchange.usage, into: &home.scratch)
        let half = home.scratch.count / 2
        if case .malformedAfter = fault {
            exchangeEnded()
            channel.machine.respond(status: 200, fields: Visitor.json, body: home.scratch, first: half)
            answerEnded()
            return true
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
        case .resetAfter: resetSoon()
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
        case .errorAfter:
            home.scratch.append(literal: "data: ")
            APIError.simulated(500).write(into: &home.scratch)
            home.scratch.append(literal: "\n\n")
            sendScratch()
            breakOff(sending: "")
        case .cutAfter:
            sendScratch()
            breakOff(sending: "")
        case .resetAfter:
            sendScratch()
            resetSoon()
        default: sendScratch()
        }
        return false
    }

    private func fail(with refusal: APIError) {
        var fields = ""
        if let wait = exchange.behaviour.retryAfter, refusal.status == 429 || refusal.status == 503 {
            let milliseconds = wait.milliseconds
            fields = "retry-after: \((milliseconds + 999) / 1000)\r\nretry-after-ms: \(milliseconds)\r\n"
        }
        exchangeEnded()
        respond(refusal, fields: fields)
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

    // MARK: - Heads that take too long

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

    /// Most bytes of a head that does not end; a caller that takes more has no limit at all.
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
}
