// What the tests of the client share: options for a scripted server, outcomes as values.
import Client
import Core
import Foundation
import Net
import TestSupport
import Wire

/// Options that lead to `server`; `change` adjusts them.
func options(
    _ server: ScriptedServer, connections: Int = 1, _ change: (inout ClientOptions) -> Void = { _ in }
) throws -> ClientOptions {
    try options(port: server.port, connections: connections, change)
}

func options(
    port: UInt16, connections: Int = 1, _ change: (inout ClientOptions) -> Void = { _ in }
) throws -> ClientOptions {
    var options = ClientOptions(
        endpoint: .host("127.0.0.1", port: port), tls: try TestAuthority.shared.client(), serverName: "localhost",
        apiKey: Array("slk_k1_0123456789abcdef".utf8))
    options.connections = connections
    change(&options)
    return options
}

/// The failure of `body`; nil when it succeeds.
func failure<T>(_ body: () async throws(ClientFailure) -> T) async -> ClientFailure? {
    do throws(ClientFailure) {
        _ = try await body()
        return nil
    } catch {
        return error
    }
}

/// All events of an answer, and what it failed with.
func events(_ stream: ChatStream) async -> (events: [ChatEvent], failure: ClientFailure?) {
    var events: [ChatEvent] = []
    do {
        for try await event in stream { events.append(event) }
    } catch {
        return (events, error)
    }
    return (events, nil)
}

extension SluiceClient {
    /// Waits until that many connections are ready.
    func ready(_ wanted: Int) async throws {
        try await eventually("\(wanted) connections are ready", pause: .milliseconds(2)) {
            await readyConnections() == wanted
        }
    }
}

func ask(_ prompt: String = "hello", deadline: Duration = .seconds(20)) -> ChatRequest {
    var request = ChatRequest(model: "chat-default", prompt: prompt)
    request.deadline = deadline
    return request
}
