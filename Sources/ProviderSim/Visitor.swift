// One connection of a caller: takes its requests and sends each to the code that answers it.
import Core
import Net

/// One connection of a caller. Confined to its lane; lives as long as the connection.
final class Visitor: @unchecked Sendable {
    let home: SimulatorLane
    let channel: Channel<SimulatorConnection>
    var answer = ChatAnswer()
    var exchange = Exchange()
    var timer: LaneTimer?
    var isWaitingForDrain = false

    init(home: SimulatorLane, channel: Channel<SimulatorConnection>) {
        self.home = home
        self.channel = channel
    }

    /// Takes the connection over; its callbacks keep this object alive until it closes.
    func begin() {
        home.stats.connections += 1
        channel.onEvent = { [self] _, event in
            switch event {
            case .request(let request): take(request)
            case .refused: home.stats.refused += 1
            case .peerGone: callerLeft()
            }
        }
        channel.onDrained = { [self] _ in drained() }
        channel.onClose = { [self] _, _ in callerLeft() }
    }

    private func take(_ request: SimulatorRequest) {
        home.stats.requests += 1
        let path = channel.withBytes(of: request.path) { Path($0) }
        do {
            if path.isOfAPI { try checkKey(of: request) }
            switch (request.method, path) {
            case (.post, .chatCompletions): try takeChat(request)
            case (.post, .embeddings): try takeEmbeddings(request)
            case (.get, .models): respondModels()
            case (.get, .model(let name)): try respondModel(name)
            case (.get, .stats): respondStats()
            case (.post, .reset): reset()
            case (.get, .faults): respondSettings()
            case (.post, .faults): try changeSettings(request)
            default:
                let method = request.method == .post ? "POST" : request.method == .get ? "GET" : "other method"
                throw APIError.unknownPath(method, channel.transport.input.string(of: request.path))
            }
        } catch let refusal as APIError {
            home.stats.refused += 1
            respond(refusal)
        } catch {
            preconditionFailure("answering a request throws refusals only")
        }
    }

    /// The paths that are served.
    enum Path: Equatable {
        case chatCompletions, embeddings, models, stats, reset, faults, unknown
        case model(String)

        init(_ path: RawSpan) {
            let bytes = Span<UInt8>(_bytes: path)
            func isPath(_ text: String) -> Bool { SimulatorRequest.equals(bytes, 0..<bytes.count, text) }
            if isPath("/v1/chat/completions") {
                self = .chatCompletions
            } else if isPath("/v1/embeddings") {
                self = .embeddings
            } else if isPath("/v1/models") {
                self = .models
            } else if isPath("/sim/stats") {
                self = .stats
            } else if isPath("/sim/reset") {
                self = .reset
            } else if isPath("/sim/faults") {
                self = .faults
            } else if bytes.count > 11, bytes.count < 200, SimulatorRequest.equals(bytes, 0..<11, "/v1/models/") {
                self = .model(String(decoding: (11..<bytes.count).map { bytes[$0] }, as: UTF8.self))
            } else {
                self = .unknown
            }
        }

        var isOfAPI: Bool {
            switch self {
            case .stats, .reset, .faults: false
            case .chatCompletions, .embeddings, .models, .model, .unknown: true
            }
        }
    }

    private func checkKey(of request: SimulatorRequest) throws {
        guard let slice = request.apiKey, slice.count > 0 else {
            if home.keys.isEmpty { return }
            throw APIError.unauthorized
        }
        let isKnown =
            home.keys.isEmpty
            || channel.withBytes(of: slice) { given in
                let given = Span<UInt8>(_bytes: given)
                return home.keys.contains { key in
                    key.count == given.count && key.indices.allSatisfy { key[$0] == given[$0] }
                }
            }
        guard isKnown else { throw APIError.unauthorized }
        home.stats.count(keyEnding: channel.transport.input.string(of: slice.dropFirst(max(0, slice.count - 4))))
    }

    // MARK: - Answers in one piece

    /// Ends the request with a refusal.
    func respond(_ refusal: APIError, fields: String = "") {
        home.scratch.removeAll()
        refusal.write(into: &home.scratch)
        channel.machine.respond(
            status: refusal.status, fields: fields, body: home.scratch, at: home.lane.now)
        answerEnded()
    }

    /// Ends the request with the lane's scratch as its body.
    func respondScratch() {
        home.stats.completed += 1
        channel.machine.respond(status: 200, body: home.scratch, at: home.lane.now)
        answerEnded()
    }

    /// Sends what was written and takes the next request, if it is here already.
    func answerEnded() {
        channel.wake()
        if channel.transport.input.count > 0 { channel.transport.becomeHungry() }
    }

    private func takeEmbeddings(_ request: SimulatorRequest) throws {
        home.stats.embeddings += 1
        home.scratch.removeAll()
        var inputTokens = 0
        try channel.withBytes(of: request.body) { body in
            let embeddings = try EmbeddingsRequest.read(body)
            try checkModel(body.extracting(embeddings.model))
            inputTokens = embeddings.inputTokens
            if let fault = home.nextFault(of: home.behaviour), case .status(let code) = fault {
                throw APIError.simulated(code)
            }
            embeddings.write(for: body, into: &home.scratch)
        }
        home.stats.inputTokens += inputTokens
        respondScratch()
    }

    func checkModel(_ model: RawSpan) throws(APIError) {
        guard !home.options.models.isEmpty else { return }
        let bytes = Span<UInt8>(_bytes: model)
        let isKnown = home.options.models.contains { name in
            SimulatorRequest.equals(bytes, 0..<bytes.count, name)
        }
        guard isKnown else { throw .unknownModel(String(decoding: bytes.indices.map { bytes[$0] }, as: UTF8.self)) }
    }

    private var models: [String] { home.options.models.isEmpty ? ["gpt-6-luna", "gpt-6-sol"] : home.options.models }

    private func respondModels() {
        home.scratch.removeAll()
        home.scratch.append(literal: "{\"object\":\"list\",\"data\":[")
        for (index, name) in models.enumerated() {
            if index > 0 { home.scratch.append(UInt8(ascii: ",")) }
            writeModel(name)
        }
        home.scratch.append(literal: "]}")
        respondScratch()
    }

    private func respondModel(_ name: String) throws(APIError) {
        guard home.options.models.isEmpty || models.contains(name) else { throw .unknownModel(name) }
        home.scratch.removeAll()
        writeModel(name)
        respondScratch()
    }

    private func writeModel(_ name: String) {
        home.scratch.append(literal: "{\"id\":\"")
        APIError.append(escaping: name, to: &home.scratch)
        home.scratch.append(
            literal: "\",\"object\":\"model\",\"created\":1767225600,\"owned_by\":\"sluice-provider-sim\"}")
    }
}
