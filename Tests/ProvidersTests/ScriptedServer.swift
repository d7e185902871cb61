// A provider of a test's own: real sockets, and bytes exactly as the script says.
import Core
import Foundation
import Glibc

/// Listens on loopback; each connection follows `script` on a thread of its own.
final class ScriptedServer: @unchecked Sendable {
    let port: UInt16
    private let listener: Int32
    private let lock = NSLock()
    private var accepted = 0

    /// One accepted connection, numbered from 0.
    struct Peer: Sendable {
        let socket: Int32
        let number: Int

        /// Reads one request, head and body; false when the client closed.
        @discardableResult func request() -> Bool {
            var bytes: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 65_536)
            while true {
                let text = String(decoding: bytes, as: UTF8.self)
                if let end = text.range(of: "\r\n\r\n") {
                    let length = text[..<end.lowerBound].split(separator: "\r\n")
                        .first { $0.lowercased().hasPrefix("content-length:") }
                        .flatMap { Int($0.split(separator: ":")[1].trimmingCharacters(in: .whitespaces)) }
                    if bytes.count >= text[..<end.upperBound].utf8.count + (length ?? 0) { return true }
                }
                let count = recv(socket, &buffer, buffer.count, 0)
                guard count > 0 else { return false }
                bytes += buffer[..<count]
            }
        }

        /// Sends all of it; false when the client went away.
        @discardableResult func send(_ text: String) -> Bool { send(Array(text.utf8)) }

        /// Sends all of it; false when the client went away.
        @discardableResult func send(_ bytes: [UInt8]) -> Bool {
            var sent = 0
            while sent < bytes.count {
                let count = bytes[sent...].withUnsafeBytes {
                    Glibc.send(socket, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
                }
                guard count > 0 else { return false }
                sent += count
            }
            return true
        }

        /// What is sent leaves at once.
        func withoutDelay() {
            var isOn: Int32 = 1
            setsockopt(socket, Int32(IPPROTO_TCP), TCP_NODELAY, &isOn, socklen_t(MemoryLayout<Int32>.size))
        }

        /// A whole response with its length.
        func respond(_ status: Int, _ body: String, type: String = "application/json", headers: String = "") {
            send(
                "HTTP/1.1 \(status) X\r\nContent-Type: \(type)\r\n\(headers)Content-Length: \(body.utf8.count)\r\n\r\n\(body)"
            )
        }

        /// The head of a stream that ends with the connection or with `chunk("")`.
        func beginStream() {
            send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        }

        @discardableResult func chunk(_ text: String) -> Bool {
            send("\(String(text.utf8.count, radix: 16))\r\n\(text)\r\n")
        }

        /// One piece of text as an event.
        @discardableResult func delta(_ text: String) -> Bool {
            chunk("data: {\"choices\":[{\"index\":0,\"delta\":{\"content\":\"\(text)\"}}]}\n\n")
        }

        func endStream() {
            chunk(
                "data: {\"choices\":[{\"index\":0,\"delta\":{},\"finish_reason\":\"stop\"}]}\n\n"
                    + "data: {\"choices\":[],\"usage\":{\"prompt_tokens\":5,\"completion_tokens\":2}}\n\ndata: [DONE]\n\n"
            )
            chunk("")
        }

        /// Waits until the client closes; false after ten seconds.
        func waitForClose() -> Bool {
            var limit = timeval(tv_sec: 10, tv_usec: 0)
            setsockopt(socket, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
            var byte: UInt8 = 0
            return recv(socket, &byte, 1, 0) == 0
        }

        /// Waits until the client has sent something, and leaves it unread.
        func waitForBytes() {
            var byte: UInt8 = 0
            _ = recv(socket, &byte, 1, Int32(MSG_PEEK))
        }

        /// Closes with a reset.
        func reset() {
            var option = linger(l_onoff: 1, l_linger: 0)
            setsockopt(socket, SOL_SOCKET, SO_LINGER, &option, socklen_t(MemoryLayout<linger>.size))
        }
    }

    init(_ script: @escaping @Sendable (Peer) -> Void) throws {
        let listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 64) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        self.listener = listener
        port = UInt16(bigEndian: address.sin_port)
        Thread.detachNewThread { [weak self] in
            while true {
                let peer = accept(listener, nil, nil)
                guard peer >= 0 else { return }
                let number = self?.count() ?? 0
                Thread.detachNewThread {
                    script(Peer(socket: peer, number: number))
                    close(peer)
                }
            }
        }
    }

    deinit {
        shutdown(listener, Int32(SHUT_RDWR))
        close(listener)
    }

    private func count() -> Int {
        lock.withLock {
            accepted += 1
            return accepted - 1
        }
    }

    /// Connections accepted so far.
    var connections: Int { lock.withLock { accepted } }
}

/// Listens on loopback, accepts nobody, and has its queue full: the kernel drops what asks for a connection.
final class Crowd {
    let port: UInt16
    private let listener: Int32
    private var waiting: [Int32] = []

    init() throws {
        listener = socket(AF_INET, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let listener = listener
        let isBound = withUnsafeMutablePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                bind(listener, $0, length) == 0 && listen(listener, 0) == 0 && getsockname(listener, $0, &length) == 0
            }
        }
        guard isBound else { throw POSIXError(.EADDRINUSE) }
        port = UInt16(bigEndian: address.sin_port)
        for _ in 0..<64 {
            let client = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
            waiting.append(client)
            _ = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { connect(client, $0, length) }
            }
            var poll = pollfd(fd: client, events: Int16(POLLOUT), revents: 0)
            // The first that is not connected within this time is the first that was dropped.
            if Glibc.poll(&poll, 1, 200) == 0 { return }
        }
        throw POSIXError(.EISCONN)
    }

    deinit { for descriptor in waiting + [listener] { close(descriptor) } }
}
