// An answer as an asynchronous sequence of its pieces.

/// One answer, read by one task. It ends after `end`, or throws the one failure.
///
/// What is not read is not sent: the cluster stays at most 64 KiB ahead of the reader, and gives up on one that reads nothing for 30 s.
/// Leaving the loop early, dropping the stream or cancelling the task sends CANCEL at once.
public struct ChatStream: AsyncSequence, Sendable {
    /// A piece of the answer.
    public typealias Element = ChatEvent
    /// The one outcome of an answer that is not whole.
    public typealias Failure = ClientFailure

    /// Keeps the client while somebody may read the answer, and cancels when nobody can any more.
    fileprivate final class Hold: Sendable {
        let mailbox: AnswerMailbox
        private let client: SluiceClient

        init(_ mailbox: AnswerMailbox, _ client: SluiceClient) {
            self.mailbox = mailbox
            self.client = client
        }

        deinit { mailbox.abandon() }
    }

    private let hold: Hold

    init(_ mailbox: AnswerMailbox, of client: SluiceClient) { hold = Hold(mailbox, client) }

    /// Says that the answer is not wanted. The sequence goes on to its outcome, `CANCELLED` with what was used until then.
    public func cancel() { hold.mailbox.cancel() }

    /// Reads the answer. One iterator, one task.
    public func makeAsyncIterator() -> Iterator { Iterator(hold) }

    /// Reads one answer.
    public struct Iterator: AsyncIteratorProtocol {
        private let hold: Hold
        private var assembler = EventAssembler()
        private var pieces: ArraySlice<EventAssembler.Piece> = []
        private var isDone = false

        fileprivate init(_ hold: Hold) { self.hold = hold }

        /// The next event; nil behind the last one.
        public mutating func next(
            isolation actor: isolated (any Actor)? = #isolation
        ) async throws(ClientFailure) -> ChatEvent? {
            if Task.isCancelled {
                // What was taken already is not handed out any more.
                hold.mailbox.abandon()
                pieces = []
            }
            while !isDone {
                while let piece = pieces.popFirst() {
                    if let event = assembler.event(piece) { return event }
                }
                hold.mailbox.readerIsDone()
                switch await hold.mailbox.next() {
                case .pieces(let fresh): pieces = fresh[...]
                case .outcome(let result):
                    isDone = true
                    return .end(try result.get())
                }
            }
            return nil
        }

        /// The next event; nil behind the last one.
        public mutating func next() async throws(ClientFailure) -> ChatEvent? { try await next(isolation: nil) }
    }
}
