// A stream whose reader takes nothing.
import Core

/// Since when an answer waits for its reader.
struct Stall {
    let since: Instant
    /// Bytes that waited for the reader then.
    let waiting: Int

    /// Who takes so many bytes a second is slow and not stalled: the same as for bodies that come.
    static let slowest: Int64 = 4_096
    /// After so long a stream gives its provider's place up when another team's request waits for one.
    static let patience = Duration.milliseconds(250)
    /// The same when only requests of its own team wait.
    static let ownPatience = Duration.seconds(2)
}
