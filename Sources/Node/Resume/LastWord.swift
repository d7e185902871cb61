// The terminal frame of a stream, before it is known which connection will carry it.
import Net
import Wire

/// How a stream ends for its client.
enum LastWord: Sendable {
    case end(End)
    case error(StreamError)
}

extension Channel where M == ServerConnection {
    /// Ends an open stream; nothing happens when there is nobody to tell.
    func say(_ word: LastWord, stream: UInt32) {
        guard isOpen, machine.isOpen(stream: stream) else { return }
        switch word {
        case .end(let end): machine.end(stream: stream, end)
        case .error(let error): machine.fail(stream: stream, error)
        }
        wake()
    }
}
