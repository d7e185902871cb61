// One stream of a client's connection, as its request or a continued answer sees it.
import Core
import Net
import Wire

/// A stream of a session: the one place where answers meet the connection. Confined to the session's lane.
final class SessionStream {
    let session: Session
    let number: UInt32

    init(_ session: Session, _ number: UInt32) { (self.session, self.number) = (session, number) }

    /// True while the client waits for something on this stream.
    var isOpen: Bool { session.channel.machine.isOpen(stream: number) }

    /// Response bytes that the client may leave unconfirmed.
    var window: Int { session.channel.machine.responseWindow }

    /// Response bytes in front of this were confirmed by the client.
    var acknowledged: UInt32 { session.channel.machine.acknowledged(stream: number) }

    /// Tells by what the answer can be continued; false when its client is gone already.
    func promise(_ grant: ResumeGrant) -> Bool {
        guard session.channel.isOpen, isOpen else { return false }
        accepted(Accepted(resumption: grant))
        return true
    }

    /// Sends a piece as it was kept; `flush` follows. False when the connection has no room for more.
    func send(_ kind: KeptAnswer.Kind, _ payload: RawSpan) -> Bool {
        session.channel.machine.sendKept(stream: number, kind, payload: payload)
    }

    /// What was sent goes out in this turn.
    func flush() { session.channel.wake() }

    /// The settlement is handed over: the client may open another stream.
    func release() { session.release(number) }
}

extension SessionStream: Downstream {
    var waitingBytes: Int { session.channel.machine.bufferedBytes(stream: number) }

    var continuations: Int? { nil }

    func grantBody() {
        session.channel.machine.grantBody(stream: number)
        flush()
    }

    func accepted(_ accepted: Accepted) {
        session.channel.machine.sendAccepted(stream: number, accepted)
        flush()
    }

    func delta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) -> Bool {
        let goesOn = session.channel.machine.sendDelta(stream: number, choice: choice, kind: kind, bytes: bytes)
        flush()
        return goesOn
    }

    func event(_ event: StreamEvent) -> Bool {
        let goesOn = session.channel.machine.sendEvent(stream: number, event)
        flush()
        return goesOn
    }

    func finish(_ word: LastWord) {
        guard session.channel.isOpen, isOpen else { return }
        switch word {
        case .end(let end): session.channel.machine.end(stream: number, end)
        case .error(let error): session.channel.machine.fail(stream: number, error)
        }
        flush()
    }

    func detach() -> Bool { false }
}
