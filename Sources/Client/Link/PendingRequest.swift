// One request on its way, and who hears of its answer.
import Core
import Net
public import Wire

/// Receives one answer. All calls are made on the client's lane; `finished` comes exactly once and last.
public protocol AnswerHandler: AnyObject {
    /// A provider has the request; it is not repeated from here on.
    func accepted(_ accepted: Accepted)
    /// A piece of the answer; the bytes are lent for the call.
    func received(choice: UInt8, kind: DeltaKind, _ bytes: RawSpan)
    /// Something that is not text.
    func received(_ event: StreamEvent)
    /// The end, with what was used, or the failure.
    func finished(_ result: Result<End, ClientFailure>)
}

extension AnswerHandler {
    /// Most handlers wait for the answer itself.
    public func accepted(_ accepted: Accepted) {}
}

/// By what, where, and from where on an answer can be continued.
struct StreamHold {
    /// What the node gave.
    let grant: ResumeGrant
    /// The node that has it.
    let node: UInt32
    /// Response bytes that came, and those that the reader took, when the connection broke and since.
    var received: UInt32 = 0
    var consumed: UInt32 = 0
    /// When the node gives up; set when the connection broke.
    var until = Instant.distantFuture
    /// Why it broke.
    var reason = ""
}

/// One request on its way; a handle to cancel it. Confined to its client's lane.
public final class PendingRequest {
    var head: RequestHead
    let body: [UInt8]
    let deadline: Instant
    let credit: ClientConnection.ResponseCredit
    unowned let client: LaneClient
    /// Nil once the outcome was told.
    var handler: (any AnswerHandler)?
    /// How often it was sent and could have run.
    var attempts = 0
    /// How often a node that goes away handed it back.
    var moves = 0
    /// Something of the answer came: no repetition.
    var hasBegun = false
    /// An attempt was lost with its connection: what became of it is not known.
    var wasLost = false
    /// CANCEL went out because its time is over.
    var isOverdue = false
    /// The connection that has it, and the stream there.
    var link: ClientLink?
    var stream: UInt32 = 0
    /// How the answer goes on should the connection break; nil when it cannot.
    var hold: StreamHold?
    /// The connection that should not serve the next attempt, when there is another.
    var avoid = 0
    /// Since when it waits in the client.
    var waitingSince: Instant
    /// Among those that wait for a connection or for stream credit.
    var isWaiting = false

    init(
        head: RequestHead, body: [UInt8], deadline: Instant, credit: ClientConnection.ResponseCredit,
        client: LaneClient, handler: any AnswerHandler
    ) {
        self.head = head
        self.body = body
        self.deadline = deadline
        self.credit = credit
        self.client = client
        self.handler = handler
        waitingSince = client.lane.now
    }

    /// Says that the answer is not wanted. A request that was sent still has its outcome from the cluster, with what was used;
    /// any other one fails at once as `cancelled`.
    public func cancel() {
        if let link { return link.cancel(stream, .unwanted) }
        // An answer between two connections is still made; it is cancelled over the next one.
        client.finish(self, .failure(.cancelled))
    }

    /// Gives response credit back for bytes that the reader took; needed with `manual` credit only.
    public func consumed(_ bytes: Int) {
        if let link { link.consumed(stream, bytes) } else { hold?.consumed += UInt32(clamping: bytes) }
    }
}
