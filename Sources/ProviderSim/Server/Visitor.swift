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
        do throws(APIError) {
            if !request.path.hasPrefix("/sim/") { try checkKey(of: request) }
            switch (request.method, request.path) {
            case ("POST", "/v1/chat/completions"): try takeChat(request)
            case ("POST", "/v1/embeddings"): try takeEmbeddings()
            case ("GET", "/v1/models"): respondModels()
            case ("GET", "/sim/stats"): respondStats()
            case ("POST", "/sim/reset"): reset()
            case ("GET", "/sim/faults"): respondSettings()
            case ("POST", "/sim/faults"): try changeSettings()
            case ("GET", let path) where path.hasPrefix("/v1/models/"):
                try respondModel(String(path.dropFirst("/v1/models/".utf8.count)))
            default: throw .unknownPath(request.method, request.path)
            }
        } catch {
            home.stats.refused += 1
            respond(error)
        }
    }

    private func checkKey(of request: SimulatorRequest) throws(APIError) {
        guard let key = request.apiKey else {
            guard home.options.apiKeys.isEmpty else { throw .unauthorized }
            return
        }
        guard home.options.apiKeys.isEmpty || home.options.apiKeys.contains(key) else { throw .unauthorized }
        home.stats.count(keyEnding: String(key.utf8.suffix(4)) ?? "other")
    }

    // MARK: - Answers in one piece

    /// Ends the request with a refusal.
    func respond(_ refusal: APIError, fields: String = "") {
        home.scratch.removeAll()
        refusal.write(into: &home.scratch)
        respondScratch(status: refusal.status, fields: "\(Visitor.json)\(fields)")
    }

    /// The header line of JSON bodies.
    static let json = "content-type: application/json\r\n"

    /// Ends the request with the lane's scratch as its body.
    func respondScratch(status: Int = 200, fields: String = Visitor.json) {
        channel.machine.respond(status: status, fields: fields, body: home.scratch)
        answerEnded()
    }

    /// Sends what was written and takes the next request, if it is here already.
    func answerEnded() {
        channel.wake()
        if channel.transport.input.count > 0 { channel.transport.becomeHungry() }
    }

    private func takeEmbeddings() throws(APIError) {
        home.stats.embeddings += 1
        home.scratch.removeAll()
        let inputTokens = try channel.machine.withBody { body throws(APIError) in
            let embeddings = try EmbeddingsRequest.read(body)
            try checkModel(body, embeddings.model)
            try strikeEmbeddings()
            embeddings.write(for: body, into: &home.scratch)
            return embeddings.inputTokens
        }
        home.stats.inputTokens += inputTokens
        completeScratch()
    }

    /// Of the faults, those that are a whole answer strike embeddings too; the others belong to chat completions.
    private func strikeEmbeddings() throws(APIError) {
        switch home.behaviour.fault {
        case .status, .quota: break
        default: return
        }
        switch home.nextFault(of: home.behaviour) {
        case .status(let code): throw .simulated(code)
        case .quota: throw .quota
        default: return
        }
    }

    private func completeScratch() {
        home.stats.completed += 1
        respondScratch()
    }

    func checkModel(_ body: RawSpan, _ model: Range<Int>) throws(APIError) {
        guard !home.options.models.isEmpty else { return }
        let name = body.string(model)
        guard home.options.models.contains(name) else { throw .unknownModel(name) }
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
        completeScratch()
    }

    private func respondModel(_ name: String) throws(APIError) {
        guard home.options.models.isEmpty || models.contains(name) else { throw .unknownModel(name) }
        home.scratch.removeAll()
        writeModel(name)
        completeScratch()
    }

    private func writeModel(_ name: String) {
        home.scratch.append(literal: "{\"id\":\"")
        APIError.append(escaping: name, to: &home.scratch)
        home.scratch.append(
            literal: "\",\"object\":\"model\",\"created\":1767225600,\"owned_by\":\"sluice-provider-sim\"}")
    }
}
