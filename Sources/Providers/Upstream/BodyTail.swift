// The rest of a body whose answer is whole: read in the background, so that its connection can carry the next request.
import Core
import HTTP
import Net

/// Waits for the proper end of a body that nobody reads any more. Keeps itself alive until then, within bounds.
final class BodyTail {
    private let pool: ConnectionPool<HTTPClientConnection>
    private let channel: Channel<HTTPClientConnection>
    private var timer: LaneTimer?
    private var read = 0
    private var isOver = false

    /// How long the end of the body is waited for.
    static let time = Duration.seconds(1)
    /// Bytes that are read until then: an end mark and trailers have a few.
    static let limit = 16 * 1024

    /// Takes over a leased channel: it returns to the pool at the end of its body, or is closed.
    static func follow(_ channel: Channel<HTTPClientConnection>, of target: UpstreamTarget) {
        let tail = BodyTail(channel, target.pool)
        channel.onEvent = { _, event in tail.received(event) }
        channel.onClose = { _, _ in tail.end(reusable: false) }
        tail.timer = target.lane.schedule(after: time) { tail.end(reusable: false) }
        channel.resumeReading()
    }

    private init(_ channel: Channel<HTTPClientConnection>, _ pool: ConnectionPool<HTTPClientConnection>) {
        self.channel = channel
        self.pool = pool
    }

    private func received(_ event: HTTPClientConnection.Event) {
        switch event {
        case .head: break
        case .body(let slice):
            read += slice.count
            if read > BodyTail.limit { end(reusable: false) }
        case .end(let reusable): end(reusable: reusable)
        case .failed: end(reusable: false)
        }
    }

    private func end(reusable: Bool) {
        guard !isOver else { return }
        isOver = true
        timer?.cancel()
        timer = nil
        if reusable { pool.giveBack(channel) } else { pool.discard(channel) }
    }
}
