// Who gives the bytes of a transport a meaning.

/// The side of a transport that gives its bytes a meaning. `Channel` is the one implementation.
@usableFromInline protocol TransportOwner: AnyObject {
    /// The connection, and TLS on it, is established.
    func transportOpened()
    /// New bytes are in `transport.input`. Returns true when it stopped for fairness and wants to go on next turn.
    func transportReceived() -> Bool
    /// The peer will send no more.
    func transportInputEnded()
    /// The turn ends: append to `transport.output` what should be sent.
    func transportWillFlush()
    /// `transport.output` fell below the low mark after it had been above the high mark.
    func transportDrained()
    /// The connection is gone; called exactly once, after which nothing else is called.
    func transportClosed(_ reason: CloseReason)
}
