// Chat completions: reads the request, waits as the settings say, answers whole or in events.
import Core
import Net

extension Visitor {
    /// Most bytes of events that are written in one turn, so that a long answer leaves time for others.
    private static let turnLimit = 64 * 1024

    /// `POST /v1/chat/completions`.
    func takeChat(_ request: SimulatorRequest) throws(APIError) {
        home.stats.chats += 1
        try channel.machine.withBody { body throws(APIError) in
            let chat = try ChatRequest.read(body)
            try checkModel(body, chat.model)
            var behaviour = home.behaviour
            for setting in request.settings { try apply(setting, to: &behaviour) }
            let prompt = body.extracting(chat.prompt)
            exchange = Exchange()
            exchange.id = home.nextID()
            guard let found = PromptLine.find(in: prompt) else {
                return beginAnswer(chat, model: body.extracting(chat.model), prompt: prompt, behaviour)
            }
            try apply(promptSettings: prompt.string(found.settings), to: &behaviour)
            var rest = ByteBuffer()
            rest.append(prompt.extracting(0..<found.line.lowerBound))
            rest.append(prompt.extracting(found.line.upperBound..<prompt.byteCount))
            beginAnswer(chat, model: body.extracting(chat.model), prompt: rest.bytes, behaviour)
        }
        home.concurrency.begin(isStream: exchange.isStream)
        home.stats.inputTokens += exchange.inputTokens
        if exchange.isStream { home.stats.streams += 1 }
        let pauses = exchange.isStream ? 0 : max(0, exchange.events - 1)
        let wait = exchange.behaviour.firstToken + exchange.behaviour.pace * pauses
        if wait > .zero { schedule(after: wait) } else { goOn() }
    }

    private func beginAnswer(_ chat: ChatRequest, model: RawSpan, prompt: RawSpan, _ behaviour: Behaviour) {
        exchange.isActive = true
        exchange.isStream = chat.isStream
        exchange.includesUsage = chat.includesUsage
        exchange.behaviour = behaviour
        exchange.fault = home.nextFault(of: behaviour)
        exchange.tokens = min(behaviour.tokens, chat.outputLimit ?? .max)
        exchange.isCut = exchange.tokens < behaviour.tokens
        exchange.inputTokens = chat.inputTokens
        answer.begin(
            id: exchange.id, createdSeconds: home.lane.wallClockMicroseconds / 1_000_000, model: model, prompt: prompt,
            behaviour: behaviour, includesUsage: chat.isStream && chat.includesUsage)
    }

    private func apply(_ setting: SimulatorRequest.Setting, to behaviour: inout Behaviour) throws(APIError) {
        do throws(SettingProblem) {
            try behaviour.set(setting.key[...], to: setting.value[...])
        } catch {
            throw .invalid("x-sim-\(error.description)")
        }
    }

    private func apply(promptSettings: String, to behaviour: inout Behaviour) throws(APIError) {
        do throws(SettingProblem) {
            try behaviour.set(all: promptSettings[...])
        } catch {
            throw .invalid("sim: \(error.description)", parameter: "messages")
        }
    }

    // MARK: - Time

    func schedule(after delay: Duration) {
        timer = home.lane.schedule(after: delay) { [weak self] in self?.goOn() }
    }

    /// What waited for the caller to read goes on.
    func drained() {
        guard isWaitingForDrain else { return }
        isWaitingForDrain = false
        goOn()
    }

    /// The next part of the answer is due.
    func goOn() {
        guard exchange.isActive else { return }
        if !exchange.hasBegun, strikeBeforeHead() { return }
        if exchange.isStream { sendEvents() } else { sendWhole() }
    }

    private func sendWhole() {
        if strikeInBody() { return }
        home.scratch.removeAll()
        answer.writeWhole(
            id: exchange.id, tokens: exchange.tokens, isCut: exchange.isCut, usage: exchange.usage, into: &home.scratch)
        count(sent: exchange.tokens)
        home.stats.completed += 1
        exchangeEnded()
        respondScratch(fields: Visitor.json + requestFields)
    }

    /// The header lines that name an answer.
    private var requestFields: String {
        let digits = String(exchange.id, radix: 16)
        return "x-request-id: req_\(String(repeating: "0", count: 16 - digits.utf8.count))\(digits)\r\n"
            + "openai-version: 2020-10-01\r\n"
    }

    private func sendEvents() {
        let now = home.lane.now
        if channel.transport.outputBacklog > Self.highMark {
            isWaitingForDrain = true
            return
        }
        home.scratch.removeAll()
        if !exchange.hasBegun { beginEvents(at: now) }
        while true {
            if let limit = exchange.strikesAfter, exchange.sent >= limit {
                if strikeInStream() { continue }
                return
            }
            if exchange.sent == exchange.tokens { return endEvents() }
            if exchange.due > now || home.scratch.count > Self.turnLimit { break }
            let room = min(exchange.tokens, exchange.strikesAfter ?? .max) - exchange.sent
            let places = exchange.sent..<(exchange.sent + min(room, exchange.behaviour.tokensPerChunk))
            answer.write(words: places, of: exchange.tokens, into: &home.scratch)
            count(sent: places.count)
            exchange.due = exchange.due + exchange.behaviour.pace
        }
        sendScratch()
        // Never at once: a timer that is due in this turn would fire before what was written is sent.
        schedule(after: max(.microseconds(1), exchange.due - now))
    }

    /// What the transport holds at most before an answer waits for its reader.
    private static let highMark = 256 * 1024

    private func beginEvents(at now: Instant) {
        channel.machine.beginEvents(
            fields: "content-type: text/event-stream; charset=utf-8\r\ncache-control: no-cache\r\n" + requestFields)
        answer.writeRole(into: &home.scratch)
        exchange.hasBegun = true
        exchange.due = now
    }

    private func endEvents() {
        if exchange.fault != .noFinish {
            answer.writeFinish(isCut: exchange.isCut, into: &home.scratch)
            if exchange.includesUsage, let usage = exchange.usage { answer.write(usage, into: &home.scratch) }
            if exchange.fault != .noDone { home.scratch.append(literal: "data: [DONE]\n\n") }
        }
        sendScratch()
        home.stats.completed += 1
        exchangeEnded()
        channel.machine.finishEvents()
        answerEnded()
    }

    /// Sends the events in the lane's scratch.
    func sendScratch() {
        if exchange.fault == .split {
            channel.machine.writeSplit(home.scratch)
        } else {
            channel.machine.write(home.scratch)
        }
        home.scratch.removeAll()
        channel.wake()
    }

    private func count(sent tokens: Int) {
        exchange.sent += tokens
        home.stats.outputTokens += tokens
    }

    // MARK: - Ends

    /// The answer is over, whatever became of it.
    func exchangeEnded() {
        guard exchange.isActive else { return }
        exchange.isActive = false
        timer?.cancel()
        timer = nil
        isWaitingForDrain = false
        home.concurrency.end(isStream: exchange.isStream)
        if let tag = exchange.behaviour.tag { bill(tag) }
    }

    /// One line about what was served, for whoever compares it with what was recorded elsewhere.
    private func bill(_ tag: String) {
        let isWhole = exchange.sent == exchange.tokens
        let output = exchange.sent + (isWhole ? exchange.behaviour.reasoningTokens : 0)
        var line = ByteBuffer()
        line.append("served \(tag) \(exchange.inputTokens) \(output) \(isWhole ? "whole" : "cut")\n")
        home.lines.append(draining: &line)
    }

    /// The caller closed its end; an answer under way was given up by it.
    func callerLeft() {
        guard exchange.isActive else { return }
        home.stats.cancel(
            Cancellation(
                id: exchange.id, closedAtMicroseconds: home.lane.wallClockMicroseconds, outputTokens: exchange.sent))
        exchangeEnded()
    }
}
