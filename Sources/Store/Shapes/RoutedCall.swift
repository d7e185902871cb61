// A command that may be sent to several servers of a cluster before one answers it: within one deadline.

import Core

/// A command on its way through a cluster. It hears its reply once, on the lane.
final class RoutedCall {
    /// What is sent.
    enum Content {
        case call(any ScriptCall)
        case command(RedisCommand, RedisConnection.Completion)
    }

    let content: Content
    let slot: RedisSlot
    let deadline: Instant
    var journey = Journey()
    /// True when it must go behind `ASKING`.
    var isAsking = false

    init(_ content: Content, slot: RedisSlot, deadline: Instant) {
        self.content = content
        self.slot = slot
        self.deadline = deadline
    }

    func hear(_ result: Result<RedisReply, StoreError>) {
        switch content {
        case .call(let call): call.finish(result)
        case .command(_, let then): then(result)
        }
    }
}

/// Follows what servers of a cluster say about where commands belong.
protocol RedisRedirector: AnyObject {
    /// An error reply came to a call. True when the call is taken over and will hear another reply.
    func follow(_ message: String, _ pending: RedisConnection.Pending, on connection: RedisConnection) -> Bool
}
