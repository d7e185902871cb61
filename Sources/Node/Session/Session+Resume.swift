// What a connection does for streams that outlive connections: takes over those of others, and gives up its own.
import Net
import Policy
import Telemetry
import Wire

extension Session {
    /// A client wants to continue a stream here.
    func resume(_ stream: UInt32, _ message: Resume) {
        let place = Resumptions.lane(of: message.id)
        var key: String?
        do throws(KeyRefusal) { key = try grant().record.id } catch { key = nil }
        let neighbours = gateway.neighbours
        let continuation = Continuation(
            SessionStream(self, stream), id: message.id, home: place < neighbours.count ? neighbours[place] : gateway)
        continuations[stream] = continuation
        guard let key, let credentials, place < neighbours.count, !gateway.isDrained else {
            // An id that names no lane was never given by this node.
            gateway.resumptions.refused.add()
            return continuation.refuse()
        }
        continuation.ask(key: key, credentials, behind: message.received)
    }

    /// A continued stream ends here; its request may run on elsewhere, and its settlement is its own lane's.
    func end(_ continuation: Continuation, _ word: LastWord) {
        continuations[continuation.stream.number] = nil
        continuation.stream.finish(word)
        continuation.stream.release()
        leaveWhenIdle()
    }

    /// The client continues one of this connection's streams on another: this one is half-open, or will be told.
    func cutOff(_ stream: SessionStream) {
        forget(stream.number)
        stream.finish(.error(StreamError(code: .moved, text: "the stream goes on on another connection")))
        leaveWhenIdle()
    }
}
