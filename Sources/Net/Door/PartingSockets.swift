// Sockets that are closed a moment after they were given up.
import Core
import Glibc

/// Sockets of strangers who had to make room. Nobody reads them; each is closed, with a reset, after a tenth of a second. Confined to its lane.
///
/// They are bounded: beyond, one is closed immediately. Where descriptors are short, all are.
final class PartingSockets {
    private let lane: Lane
    private var sockets = BoundedQueue<(descriptor: Int32, due: Instant)>(limit: 1_024)
    private var timer: LaneTimer?

    private static let delay = Duration.milliseconds(100)

    init(lane: Lane) { self.lane = lane }

    /// True when no socket waits to be closed.
    var isEmpty: Bool { sockets.isEmpty }

    /// Takes a socket over.
    func append(_ descriptor: Int32) {
        guard sockets.append((descriptor, lane.now + PartingSockets.delay)) else {
            Glibc.close(descriptor)
            return
        }
        wait()
    }

    /// Closes them without waiting.
    func closeAll() { while let socket = sockets.popFirst() { Glibc.close(socket.descriptor) } }

    private func wait() {
        guard timer?.isPending != true, let first = sockets.first else { return }
        timer = lane.schedule(at: first.due) { [self] in
            while let socket = sockets.first, socket.due <= lane.now {
                _ = sockets.popFirst()
                Glibc.close(socket.descriptor)
            }
            wait()
        }
    }
}
