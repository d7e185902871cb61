// The joint between a Redis connection's life and the socket that carries it: Net in the programs, a plain socket in tests.

import Core
import Net

/// One open socket with a `RedisMachine` on it.
public protocol RedisLink: AnyObject {
    /// Queues a command on the machine and sees to it that it is sent at the end of this turn.
    func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64?
    /// Closes at once; `linkClosed` follows, in this call or later.
    func abort()
}

/// Reaches any address; used on one lane only.
public protocol RedisNetwork: AnyObject {
    /// The lane's present moment.
    var now: Instant { get }
    /// Opens links to one address.
    func dialer(to endpoint: Endpoint) -> any RedisDialer
    /// Calls `body` later, on the same lane. Returns how to prevent it.
    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void
}

/// Opens links and tells the time; used on one lane only.
public protocol RedisDialer: AnyObject {
    /// The lane's present moment.
    var now: Instant { get }
    /// Opens a socket with a machine of `connection.limits` and reports to `connection`: `linkOpened` or `linkClosed`.
    func dial(_ connection: RedisConnection, timeout: Duration)
    /// Calls `body` later, on the same lane. Returns how to prevent it.
    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void
}
