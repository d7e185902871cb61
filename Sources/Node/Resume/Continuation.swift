// A stream of this connection that continues an answer of another: the connection's end of the bridge between two lanes.
import Core
import Net
import Wire

/// A continued stream. Confined to the lane of its session; the answer's own lane holds it, and calls what says so.
///
/// Both directions are messages between lanes, in order. Pieces are confirmed when the connection has room for more, so that a
/// client that does not read stops its provider as if there were no bridge.
final class Continuation: @unchecked Sendable {
    let stream: SessionStream
    private let id: Identifier128
    /// The lane where the request runs.
    private let home: Gateway
    /// Response bytes that the connection took and that wait for room to be confirmed.
    private var owed = 0
    private var isOver = false

    init(_ stream: SessionStream, id: Identifier128, home: Gateway) {
        self.stream = stream
        self.id = id
        self.home = home
    }

    // MARK: - On the session's lane

    /// Asks for the answer in the name of a key.
    func ask(key: String, _ credentials: Credentials, behind received: UInt32) {
        home.lane.execute { [self] in
            home.resumptions.resume(id, key: key, credentials, behind: received, on: self)
        }
    }

    /// The connection has room again.
    func writable() {
        confirm(owed)
        owed = 0
    }

    /// The stream must end.
    func stop(_ reason: Refusal) {
        home.lane.execute { [self] in home.resumptions.find(id)?.stop(self, reason) }
    }

    /// The connection is gone.
    func lost() {
        isOver = true
        home.lane.execute { [self] in home.resumptions.find(id)?.lost(self) }
    }

    private func confirm(_ bytes: Int) {
        let acknowledged = stream.acknowledged
        home.lane.execute { [self] in
            home.resumptions.find(id)?.confirmed(self, bytes, acknowledged: acknowledged)
        }
    }

    private func end(_ word: LastWord) {
        guard !isOver else { return }
        isOver = true
        stream.session.end(self, word)
    }

    private func onSessionsLane(_ body: @escaping @Sendable () -> Void) { stream.session.gateway.lane.execute(body) }

    // MARK: - Called on the answer's lane

    /// The answer is this stream's from here on.
    func begin(_ grant: ResumeGrant) {
        onSessionsLane { [self] in
            if !isOver, stream.isOpen { stream.accepted(Accepted(resumption: grant)) }
        }
    }

    /// The next pieces of the answer.
    func deliver(_ pieces: [UInt8], count: Int) {
        onSessionsLane { [self] in
            guard !isOver else { return }
            var goesOn = true
            KeptAnswer.each(of: pieces) { kind, payload in goesOn = stream.send(kind, payload) }
            stream.flush()
            if goesOn { confirm(count) } else { owed += count }
        }
    }

    /// The answer's last word.
    func finish(_ word: LastWord) { onSessionsLane { [self] in end(word) } }

    /// Another connection has the answer.
    func cut() { finish(.error(StreamError(code: .moved, text: "the stream goes on on another connection"))) }

    /// There is nothing to continue.
    func refuse() {
        finish(.error(StreamError(code: .resumeUnknown, text: "no stream of this key can be continued by that id")))
    }
}
