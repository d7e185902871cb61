// The example of Docs/client.md: compiled here, run by `ExampleTests`, and held equal to the page.
import Client
import Net
import Wire

// example begins
/// One client for the whole service: it holds the connections.
func makeClient(address: String, ca: String, key: String) throws -> SluiceClient {
    var options = try ClientOptions(
        address: address, trust: .file(ca), serverName: "localhost", apiKey: key)
    options.name = "search-service 1.4"
    return try SluiceClient(options)
}

/// Streams an answer to a reader as it comes; returns its cost in millionths of a dollar.
func explain(
    _ question: String, with client: SluiceClient, to reader: (String) async -> Void
) async throws(ClientFailure) -> UInt64 {
    var request = ChatRequest(model: "chat-default") { body in
        body.message(.system, "Answer in one sentence.")
        body.message(.user, question)
        body.parameter(.temperature, "0.2")
    }
    request.deadline = .seconds(30)
    request.feature = "search"
    var cost: UInt64 = 0
    for try await event in try await client.chat(request) {
        switch event {
        case .text(let text, _): await reader(text)
        case .end(let end): cost = end.costMicroUSD
        default: break
        }
    }
    return cost
}

/// Asks for a whole answer, and says what a failure means to the caller of this service.
func summary(of text: String, with client: SluiceClient) async -> String {
    do {
        return try await client.answer(ChatRequest(model: "fast", prompt: "Summarise: \(text)")).text
    } catch {
        switch (error.retry, error.retryAfter) {
        case (.safeHere, let pause?): return "busy, again in \(pause)"
        case (.safeHere, nil), (.safeElsewhere, _): return "busy, again soon"
        case (.unsafe, _): return "it may have run and been billed: ask the user before asking again"
        case (.never, _): return "no: \(error)"
        }
    }
}
// example ends
