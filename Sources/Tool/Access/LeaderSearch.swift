// Asks one coordinator after another until one answers that leads.
import Client
import Core
import HTTP
import Net

/// One call on its way to the leader. Confined to its lane.
final class LeaderSearch: @unchecked Sendable {
    private var doors: [AdminCall.Door]
    private let request: String
    private let body: String
    private let hint: String
    private let then: @Sendable (Int, JSONValue) -> Void
    /// What was heard of those that do not lead, for the case that nobody does.
    private var answer: (status: Int, value: JSONValue)?
    private var silent: [String] = []

    init(
        doors: [AdminCall.Door], request: String, body: String, hint: String,
        then: @escaping @Sendable (Int, JSONValue) -> Void
    ) {
        self.doors = doors
        self.request = request
        self.body = body
        self.hint = hint
        self.then = then
    }

    /// Asks the next one. A coordinator that does not answer has two seconds where there is another, ten where there is none.
    func next(on lane: Lane) {
        guard !doors.isEmpty else { return giveUp() }
        let door = doors.removeFirst()
        let attempt = Attempt()
        let patience: Duration = doors.isEmpty && answer == nil ? .seconds(10) : .seconds(2)
        func failed(_ text: String) {
            guard attempt.isOpen else { return }
            attempt.isOpen = false
            silent.append("the coordinator at \(door.endpoint)\(text)")
            attempt.channel?.abort()
            next(on: lane)
        }
        lane.schedule(after: patience) { failed(" does not answer") }
        Connector.connect(
            on: lane, to: door.endpoint, tls: door.tls, serverName: door.serverName, timeout: patience,
            machine: { _ in HTTPClientConnection() },
            then: { [self] (result: Result<Channel<HTTPClientConnection>, ConnectFailure>) in
                switch result {
                case .failure(let failure): failed(": \(failure)")
                case .success(let channel):
                    guard attempt.isOpen else { return channel.abort() }
                    attempt.channel = channel
                    // Nodes have certificates of the same CA, but the admin secret is not for them.
                    guard door.tls == nil || CoordinatorLink.isCoordinator(channel.peer) else {
                        let uri = channel.peer.uri ?? "no URI"
                        return failed(": its certificate is not a coordinator's (\(uri))")
                    }
                    channel.onClose = { _, reason in failed(": \(reason)") }
                    ask(door, channel, attempt, lane)
                }
            })
    }

    private final class Attempt {
        var isOpen = true
        var channel: Channel<HTTPClientConnection>?
        var status = 0
        var body: [UInt8] = []
    }

    private func ask(
        _ door: AdminCall.Door, _ channel: Channel<HTTPClientConnection>, _ attempt: Attempt, _ lane: Lane
    ) {
        channel.onEvent = { [self] channel, event in
            switch event {
            case .head(let head): attempt.status = head.status
            case .body(let slice): attempt.body += channel.transport.input.array(of: slice)
            case .end:
                guard attempt.isOpen else { return }
                attempt.isOpen = false
                take(attempt.status, (try? JSONValue.parse(attempt.body)) ?? .null, lane)
            case .failed(let failure):
                Program.fail(ExitCode.unavailable, "the coordinator's answer: \(failure)", hint: hint)
            }
        }
        channel.machine.send(
            head: { output in
                output.append("\(request)Host: \(door.endpoint)\r\nAuthorization: Bearer ")
                door.secret.withBytes { output.append($0) }
                output.append("\r\nContent-Type: application/json\r\n")
            }, body: { $0.append(body) })
        channel.wake()
    }

    private func take(_ status: Int, _ value: JSONValue, _ lane: Lane) {
        if status == 401 {
            Program.fail(
                ExitCode.notAllowed, value["error"]?.text ?? "the admin secret was refused",
                hint: "the coordinator began with another admin secret than the one read here")
        }
        guard status == 421 || value["leads"]?.bool == false else { return then(status, value) }
        answer = (status, value)
        next(on: lane)
    }

    private func giveUp() {
        guard let answer else {
            Program.fail(ExitCode.unavailable, silent.joined(separator: "\n"), hint: hint)
        }
        guard answer.status == 421 else { return then(answer.status, answer.value) }
        let text = answer.value["error"]?.text ?? "no coordinator leads"
        Program.fail(ExitCode.tryLater, ([text] + silent).joined(separator: "\n"))
    }
}

extension AdminCall.Door {
    /// The name that the certificate must have: an address that means "all of this machine" is reached through loopback.
    fileprivate var serverName: String? {
        guard case .host(let host, _) = endpoint, host == "0.0.0.0" || host == "::" else { return nil }
        return "localhost"
    }
}
