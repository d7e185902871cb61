// What the provider sends goes to the session as it comes.
import Core
import Net
import Policy
import Providers
import Wire

extension Exchange: AnswerSink {
    func answerDelta(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan) {
        guard begin() else { return drained() }
        let goesOn: Bool
        if let resumption {
            goesOn = resumption.take(choice: choice, kind: kind, bytes)
        } else {
            goesOn = session.channel.machine.sendDelta(stream: stream, choice: choice, kind: kind, bytes: bytes)
            session.channel.wake()
        }
        if !goesOn { readerIsFull() }
        if let step = watch?.pass(bytes.byteCount), step != .goOn { Pipeline.extend(self, step) }
    }

    func answerEvent(_ event: StreamEvent) {
        guard begin() else { return }
        let goesOn: Bool
        if let resumption {
            goesOn = resumption.take(event)
        } else {
            goesOn = session.channel.machine.sendEvent(stream: stream, event)
            session.channel.wake()
        }
        if !goesOn { readerIsFull() }
    }

    /// Notes the first sign of the answer. False when nobody listens any more.
    private func begin() -> Bool {
        guard stopReason == nil, resumption != nil || session.channel.machine.isOpen(stream: stream) else {
            return false
        }
        if firstDeltaAt == nil {
            answerBegins()
            // The answer may be between two connections.
            if head.flags.contains(.stream), session.channel.machine.isOpen(stream: stream) {
                session.sendAccepted(self)
            }
        }
        return true
    }
}
