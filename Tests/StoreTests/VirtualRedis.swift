// A network of Redis servers in virtual time: real machines, no sockets; servers are functions from command to reply.

import Core
import Net

@testable import Store

final class VirtualRedis: RedisNetwork {
    /// Answers a command; nil: never.
    typealias Server = (_ command: [String]) -> RedisReply?

    private struct Timer {
        let id: Int
        let at: Instant
        let body: () -> Void
    }

    private(set) var now = Instant(nanoseconds: 1_000_000_000)
    /// The servers that can be reached.
    var servers: [Endpoint: Server] = [:] {
        didSet { for link in links where servers[link.endpoint] == nil { close(link, "the server died") } }
    }
    /// Every command that arrived, as "host COMMAND first-argument"; preparations are left out.
    private(set) var log: [String] = []
    /// What each server knows as its marker; a server that is taken away forgets it.
    var markers: [Endpoint: String] = [:]
    private var links: [Link] = []
    private var timers: [Timer] = []
    private var nextTimer = 0

    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void {
        nextTimer += 1
        let id = nextTimer
        timers.append(Timer(id: id, at: now + delay, body: body))
        return { [unowned self] in timers.removeAll { $0.id == id } }
    }

    func dialer(to endpoint: Endpoint) -> any RedisDialer { Dialer(self, endpoint) }

    func clearLog() { log = [] }

    /// Lets time pass in steps of a millisecond, until `done`.
    @discardableResult
    func run(_ time: Duration = .seconds(5), until done: () -> Bool = { false }) -> Bool {
        let end = now + time
        while true {
            settle()
            if done() { return true }
            if now >= end { return false }
            now = now + .milliseconds(1)
        }
    }

    private func settle() {
        var isBusy = true
        while isBusy {
            isBusy = false
            for link in links { isBusy = link.turn() || isBusy }
            let due = timers.filter { $0.at <= now }
            timers.removeAll { timer in due.contains { $0.id == timer.id } }
            for timer in due { timer.body() }
            isBusy = isBusy || !due.isEmpty
        }
    }

    fileprivate func close(_ link: Link, _ reason: String) {
        guard let index = links.firstIndex(where: { $0 === link }) else { return }
        links.remove(at: index)
        link.connection?.linkClosed(link, reason)
    }

    private final class Dialer: RedisDialer {
        let network: VirtualRedis
        let endpoint: Endpoint

        init(_ network: VirtualRedis, _ endpoint: Endpoint) { (self.network, self.endpoint) = (network, endpoint) }

        var now: Instant { network.now }

        func dial(_ connection: RedisConnection, timeout: Duration) {
            _ = network.after(.milliseconds(1)) { [network, endpoint] in
                guard network.servers[endpoint] != nil else {
                    return connection.linkClosed(nil, "connection refused")
                }
                let link = Link(network, endpoint, connection)
                network.links.append(link)
                connection.linkOpened(link)
            }
        }

        func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void { network.after(delay, body) }
    }

    fileprivate final class Link: RedisLink {
        unowned let network: VirtualRedis
        let endpoint: Endpoint
        weak var connection: RedisConnection?
        var machine = RedisMachine()

        init(_ network: VirtualRedis, _ endpoint: Endpoint, _ connection: RedisConnection) {
            (self.network, self.endpoint, self.connection) = (network, endpoint, connection)
        }

        func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
            machine.send(deadline: deadline, write)
        }

        func abort() { network.close(self, "aborted") }

        /// Carries what was sent to the server and its answers back; true when something happened.
        func turn() -> Bool {
            var sent = ByteBuffer()
            machine.transmit(into: &sent, at: network.now)
            var answers = ByteBuffer()
            for command in RESP.commands(sent.array()) {
                if let reply = network.reply(to: command, at: endpoint) { RESP.append(reply, to: &answers) }
            }
            var isBusy = sent.count > 0
            while let event = machine.receive(&answers, at: network.now) {
                connection?.linkEvent(event, from: self)
                isBusy = true
            }
            while let event = machine.advance(to: network.now) {
                connection?.linkEvent(event, from: self)
                isBusy = true
            }
            return isBusy
        }
    }

    private func reply(to command: [String], at endpoint: Endpoint) -> RedisReply? {
        guard let server = servers[endpoint], case .host(let host, _) = endpoint else { return nil }
        switch command[0] {
        case "INFO": return .bytes(Array("run_id:\(host)\r\n".utf8))
        case "SCRIPT": return .bytes(Array(repeating: UInt8(ascii: "a"), count: 40))
        case "PING": return .status("PONG")
        case "SET" where command[1].hasPrefix("meta:{marker"):
            guard markers[endpoint] == nil else { return .null }
            markers[endpoint] = command[2]
            return .status("OK")
        case "GET" where command[1].hasPrefix("meta:{marker"):
            return markers[endpoint].map { .bytes(Array($0.utf8)) } ?? .null
        default:
            log.append(([host] + command.prefix(2)).joined(separator: " "))
            return server(command)
        }
    }
}

/// The protocol's text, for servers that are functions.
enum RESP {
    static func commands(_ bytes: [UInt8]) -> [[String]] {
        var rest = bytes[...]
        func line() -> Int {
            let end = rest.firstIndex(of: 13) ?? rest.endIndex
            defer { rest = rest[(end + 2)...] }
            return Int(String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self)) ?? 0
        }
        var commands: [[String]] = []
        while !rest.isEmpty {
            commands.append(
                (0..<line()).map { _ in
                    let length = line()
                    defer { rest = rest.dropFirst(length + 2) }
                    return String(decoding: rest.prefix(length), as: UTF8.self)
                })
        }
        return commands
    }

    static func append(_ reply: RedisReply, to output: inout ByteBuffer) {
        switch reply {
        case .status(let text): output.append("+\(text)\r\n")
        case .error(let text): output.append("-\(text)\r\n")
        case .integer(let value): output.append(":\(value)\r\n")
        case .null: output.append("$-1\r\n")
        case .bytes(let bytes):
            output.append("$\(bytes.count)\r\n")
            output.append(bytes)
            output.append("\r\n")
        case .array(let parts):
            output.append("*\(parts.count)\r\n")
            for part in parts { append(part, to: &output) }
        }
    }
}
