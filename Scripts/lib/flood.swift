// An attacker at wire speed, for proofs: `flood silent PORT SOCKETS SOURCES SECONDS` keeps sockets open that say nothing and makes each anew
// as soon as it is closed, from SOURCES addresses of 127.0.1.0/24; `flood garbage …` says what looks like the beginning of a handshake and is
// none; `flood busy SECONDS` takes as much of a processor and does nothing.
import Glibc

let words = CommandLine.arguments
func number(_ place: Int) -> Int {
    guard words.count > place, let value = Int(words[place]), value > 0 else {
        print("usage: flood silent|garbage PORT SOCKETS SOURCES SECONDS | flood busy SECONDS")
        exit(64)
    }
    return value
}

func now() -> Double {
    var moment = timespec()
    clock_gettime(CLOCK_MONOTONIC, &moment)
    return Double(moment.tv_sec) + Double(moment.tv_nsec) / 1e9
}

func address(_ bits: UInt32, _ port: Int) -> sockaddr_in {
    var address = sockaddr_in()
    address.sin_family = sa_family_t(AF_INET)
    address.sin_port = UInt16(port).bigEndian
    address.sin_addr.s_addr = bits.bigEndian
    return address
}

func with(_ address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
    var address = address
    return withUnsafePointer(to: &address) {
        $0.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
    }
}

/// A connection that was begun, from the source of this number; -1 when the system has none to give.
func open(_ source: Int, _ port: Int) -> Int32 {
    let descriptor = socket(AF_INET, Int32(SOCK_STREAM.rawValue | SOCK_NONBLOCK.rawValue), 0)
    guard descriptor >= 0 else { return -1 }
    var one: Int32 = 1
    // The port is chosen when the connection is made, so that many connections may have the same one.
    setsockopt(descriptor, Int32(IPPROTO_IP), 24, &one, socklen_t(MemoryLayout<Int32>.size))
    _ = with(address(0x7F00_0100 + UInt32(source + 1), 0)) { bind(descriptor, $0, $1) }
    let code = with(address(0x7F00_0001, port)) { connect(descriptor, $0, $1) }
    guard code == 0 || errno == EINPROGRESS else {
        close(descriptor)
        return -1
    }
    return descriptor
}

/// Keeps `count` connections, each made anew when it is closed. Each says `words` once, as soon as it can.
func keep(_ port: Int, _ count: Int, _ sources: Int, until end: Double, saying words: [UInt8] = []) {
    let awaited = words.isEmpty ? Int16(POLLIN) : Int16(POLLIN | POLLOUT)
    var sockets = (0..<count).map { pollfd(fd: open($0 % sources, port), events: awaited, revents: 0) }
    var opened = count
    while now() < end {
        poll(&sockets, nfds_t(count), 5)
        for place in 0..<count where sockets[place].fd < 0 || sockets[place].revents != 0 {
            if sockets[place].revents == Int16(POLLOUT) {
                send(sockets[place].fd, words, words.count, Int32(MSG_NOSIGNAL))
                sockets[place].events = Int16(POLLIN)
                continue
            }
            if sockets[place].fd >= 0 { close(sockets[place].fd) }
            sockets[place] = pollfd(fd: open(place % sources, port), events: awaited, revents: 0)
            opened += 1
        }
    }
    print(opened)
}

switch words.dropFirst().first {
case "silent": keep(number(2), number(3), number(4), until: now() + Double(number(5)))
case "garbage":
    var random = SystemRandomNumberGenerator()
    let noise = (0..<600).map { _ in UInt8.random(in: 0...255, using: &random) }
    keep(
        number(2), number(3), number(4), until: now() + Double(number(5)),
        saying: [0x16, 0x03, 0x01, 0x02, 0x00, 0x01] + noise)
case "busy":
    let end = now() + Double(number(2))
    while now() < end {}
    print(0)
default: _ = number(.max - 1)
}
