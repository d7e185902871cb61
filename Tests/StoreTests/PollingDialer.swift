// A lane in miniature for tests: one thread, poll(2), Unix and TCP sockets, timers. Drives real connections to a real Redis.

import Core
import Glibc

@testable import Store

final class PollingDialer: RedisDialer {
    final class Link: RedisLink {
        let socket: Int32
        unowned let dialer: PollingDialer
        let connection: RedisConnection
        var machine: RedisMachine
        var input = ByteBuffer()
        var output = ByteBuffer()

        init(_ socket: Int32, _ dialer: PollingDialer, _ connection: RedisConnection, _ machine: consuming RedisMachine)
        {
            self.socket = socket
            self.dialer = dialer
            self.connection = connection
            self.machine = machine
        }

        func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
            machine.send(deadline: deadline, write)
        }

        func abort() { dialer.close(self, "aborted") }
    }

    private struct Timer {
        let id: Int
        let at: Instant
        let body: () -> Void
    }

    /// Kept alive as long as something talks to it.
    private let server: RedisServer
    private var links: [Link] = []
    private var timers: [Timer] = []
    private var nextTimer = 0
    /// Writes to sockets so far: commands of one turn must share one.
    private(set) var writes = 0
    /// The longest time between two looks at the clock: on a busy machine nothing can be noticed sooner.
    private(set) var longestTurn = Duration.zero

    init(_ server: RedisServer) { self.server = server }

    var now: Instant {
        var time = timespec()
        clock_gettime(CLOCK_MONOTONIC, &time)
        return Instant(nanoseconds: Int64(time.tv_sec) * 1_000_000_000 + Int64(time.tv_nsec))
    }

    func dial(_ connection: RedisConnection, timeout: Duration) {
        let socket = Glibc.socket(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: Array(server.socketPath.utf8) + [0]) }
        let result = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                Glibc.connect(socket, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        guard result == 0 else {
            Glibc.close(socket)
            _ = after(.zero) { connection.linkClosed(nil, "connection refused") }
            return
        }
        let link = Link(socket, self, connection, RedisMachine(limits: connection.limits))
        links.append(link)
        _ = after(.zero) { connection.linkOpened(link) }
    }

    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void {
        nextTimer += 1
        let id = nextTimer
        timers.append(Timer(id: id, at: now + delay, body: body))
        return { [unowned self] in timers.removeAll { $0.id == id } }
    }

    fileprivate func close(_ link: Link, _ reason: String) {
        guard let index = links.firstIndex(where: { $0 === link }) else { return }
        links.remove(at: index)
        Glibc.close(link.socket)
        link.connection.linkClosed(link, reason)
    }

    /// Turns the loop until `done` or until `seconds` have passed; returns whether it was done.
    @discardableResult
    func run(seconds: Double = 5, until done: () -> Bool = { false }) -> Bool {
        let end = now + .milliseconds(Int64(seconds * 1000))
        while !done() {
            let began = now
            if began >= end { return false }
            turn()
            longestTurn = max(longestTurn, now - began)
        }
        return true
    }

    private func turn() {
        for link in links { flush(link) }
        var polls = links.map { pollfd(fd: $0.socket, events: Int16(POLLIN), revents: 0) }
        poll(&polls, nfds_t(polls.count), 1)
        let polled = links
        for (link, entry) in zip(polled, polls) where entry.revents != 0 { read(link) }
        for link in links {
            while let event = link.machine.advance(to: now) { link.connection.linkEvent(event, from: link) }
        }
        let due = timers.filter { $0.at <= now }
        timers.removeAll { $0.at <= now }
        for timer in due { timer.body() }
    }

    private func flush(_ link: Link) {
        link.machine.transmit(into: &link.output, at: now)
        guard link.output.count > 0 else { return }
        writes += 1
        let sent = link.output.withUnsafeReadableBytes {
            Glibc.send(link.socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        if sent > 0 { link.output.consume(sent) }
    }

    private func read(_ link: Link) {
        var received = 0
        _ = link.input.withUnsafeWritableBytes(minimum: 65_536) { room in
            received = Glibc.recv(link.socket, room.baseAddress, room.count, 0)
            return max(0, received)
        }
        if received == 0 || (received < 0 && errno != EAGAIN) { return close(link, "the server closed the connection") }
        while let event = link.machine.receive(&link.input, at: now) { link.connection.linkEvent(event, from: link) }
    }
}
