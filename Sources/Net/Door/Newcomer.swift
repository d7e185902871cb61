// A connection that was accepted and is not established yet: a socket and little else, until it has said a word.
import CLinux
import Core
import Glibc

/// One newcomer at a door. Confined to its lane.
///
/// Before its first byte it costs no TLS engine and no buffer: who says nothing holds next to nothing.
final class Newcomer: Pollable {
    private let door: Door
    /// Who connected: the socket's peer, or whom a balancer named.
    private(set) var client: SocketAddress
    /// Where it stands in the door's table; -1 when it does not any more.
    var place = -1
    /// First the time for the first byte, then that for the handshake.
    var timer: LaneTimer?
    /// The connection that it became.
    weak var transport: Transport?
    /// What came of a balancer's header; nil when none is expected, or any more.
    private var header: [UInt8]?
    var isAwaitingHeader: Bool { header != nil }
    private var isRefused = false
    /// True once the connection is gone, or the descriptor was closed without one.
    private var hasLeft = false

    init(door: Door, descriptor: Int32, peer: SocketAddress, isBehindBalancer: Bool) {
        self.door = door
        client = peer
        header = isBehindBalancer ? [] : nil
        super.init(lane: door.lane)
        self.descriptor = descriptor
    }

    /// Reads what has come already, else waits for it.
    func start() {
        if header != nil {
            readHeader()
        } else {
            awaitFirstByte()
        }
    }

    /// Gives the descriptor away; it is closed by whoever has it.
    func takeDescriptor() -> Int32 {
        if ticket != 0 { unwatch() }
        defer { descriptor = -1 }
        return descriptor
    }

    override func ready(_ events: UInt32) {
        withExtendedLifetime(self) {
            if header != nil { readHeader() } else { awaitFirstByte() }
        }
    }

    private func readHeader() {
        while let bytes = header {
            guard let step = try? ProxyHeader.read(bytes) else { return refuse(.proxyHeader) }
            switch step {
            case .needs(let total): guard receive(total - bytes.count) else { return }
            case .whole(let found):
                header = nil
                timer?.cancel()
                if let address = found.client { client = address }
                door.named(self)
            }
        }
        awaitFirstByte()
    }

    /// False when nothing more is there, or it has ended.
    private func receive(_ count: Int) -> Bool {
        var room = [UInt8](repeating: 0, count: count)
        // Safe: the kernel writes at most the array's bytes.
        switch Socket.outcome(unsafe recv(descriptor, &room, count, 0)) {
        case .bytes(let got):
            header?.append(contentsOf: room[..<got])
            return true
        case .wouldBlock: wait()
        case .ended, .failed: leave()
        }
        return false
    }

    private func awaitFirstByte() {
        var byte: UInt8 = 0
        // Safe: one byte of a local value; it stays in the socket.
        switch Socket.outcome(unsafe recv(descriptor, &byte, 1, Int32(MSG_PEEK))) {
        case .bytes:
            // It waits for its turn, without being told of the same byte again and again.
            if ticket != 0 { unwatch() }
            timer?.cancel()
            timer = lane.schedule(after: door.limits.handshakeTime) { [weak self] in self?.refuse(.handshakeTime) }
            door.spoke(self)
        case .wouldBlock: wait()
        case .ended, .failed: leave()
        }
    }

    private func wait() {
        watch(EPOLLIN.rawValue)
        guard timer?.isPending != true else { return }
        let time = min(door.limits.firstByteTime, door.limits.handshakeTime)
        timer = lane.schedule(after: time) { [weak self] in self?.refuse(.silent) }
    }

    /// Closes it, with a reset: there is nothing to say to a stranger.
    func refuse(_ reason: ConnectionRefusal) {
        guard !isRefused else { return }
        isRefused = true
        withExtendedLifetime(self) {
            door.note(reason, from: client)
            if let transport { return transport.reset() }
            if descriptor >= 0 { Socket.resetOnClose(descriptor) }
            switch reason {
            case .source where descriptor >= 0, .crowded where descriptor >= 0:
                door.part(with: takeDescriptor())
            case .source, .crowded, .connections, .descriptors, .silent, .handshakeTime, .proxyHeader: break
            }
            leave()
        }
    }

    /// What the peer wants was understood.
    func greeted() { door.greeted(self) }

    /// The handshake is done.
    func shookHands() { door.shookHands(self) }

    /// The handshake ended without a connection, for another reason than a limit.
    func failed() { if !isRefused { door.handshakeFailed() } }

    private func leave() {
        guard !hasLeft else { return }
        hasLeft = true
        if ticket != 0 { unwatch() }
        timer?.cancel()
        if descriptor >= 0 { Glibc.close(descriptor) }
        descriptor = -1
        door.left(self)
    }
}
