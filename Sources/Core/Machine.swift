// The joint of the house: a protocol endpoint as a value that takes bytes and instants and gives bytes, deadlines and events.

/// A protocol endpoint without I/O. A driver owns the socket and the clock; the machine owns the meaning.
///
/// The driver's turn: `receive` until it returns nil, hand each event to the owner (who may call the machine's own sending
/// methods), then `transmit` once. `receive` is never on the stack while an event is handled, so the owner may call back freely.
///
/// Slices inside an event point into `input` and are readable until the driver appends to it again: copy what must outlive the event.
public protocol Machine: ~Copyable {
    /// What the owner must know or do.
    associatedtype Event

    /// Takes at most one event out of `input`; nil when more bytes are needed. Never waits, never grows `input`.
    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Event?

    /// The peer will send no more bytes.
    mutating func inputEnded(at now: Instant) -> Event?

    /// The deadline passed; called again until it returns nil.
    mutating func advance(to now: Instant) -> Event?

    /// Moves what waits to be sent into `output`, up to what the machine thinks should be under way.
    mutating func transmit(into output: inout ByteBuffer, at now: Instant)

    /// When `advance` must be called at the latest; nil for never. Cheap: asked once a turn.
    var deadline: Instant? { get }

    /// False while the machine wants the socket left unread (back-pressure).
    var wantsInput: Bool { get }

    /// True once the connection must be closed after what `transmit` gave has been sent.
    var isFinished: Bool { get }
}
