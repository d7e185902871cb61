// What becomes of wrong admin secrets: each source waits longer for its next refusal, and nobody else waits at all.
import Core
import Net

/// Counts failed logins by source. A value without clock: the caller says what time it is.
struct LoginGuard {
    enum Verdict: Equatable {
        /// Say no after so long.
        case refuse(after: Duration)
        /// Say nothing: too many refusals of this source wait already.
        case close
    }

    /// Sources that are remembered.
    static let sourceLimit = 1_024
    /// Refusals of one source that wait: with the delay, they bound how many secrets it can try.
    static let waitingLimit = 16
    /// A source is forgotten so long after its last failure.
    static let memory = Duration.seconds(600)

    private struct Source {
        var failures = 0
        var waiting = 0
        var lastAt: Instant
    }

    private var sources: [String: Source] = [:]
    private var lineAt: Instant?
    /// Failed logins since the start.
    private(set) var denied: UInt64 = 0
    /// Those since the last line of the log.
    private var untold = 0

    /// Who an address counts as: an IPv6 subscriber has a whole /64.
    static func source(_ address: SocketAddress) -> String {
        guard case .ipv6(let bytes, _) = address else { return address.host }
        return bytes.prefix(8).map { String($0, radix: 16) }.joined(separator: ":") + "::/64"
    }

    /// A login failed. The first refusal comes after 250 ms, each further one of this source after twice the time, up to 4 s.
    mutating func failed(_ source: String, at now: Instant) -> Verdict {
        denied &+= 1
        var known = sources[source] ?? Source(lastAt: now)
        if now - known.lastAt >= LoginGuard.memory { known.failures = 0 }
        if sources[source] == nil, sources.count >= LoginGuard.sourceLimit, !makeRoom() { return .close }
        known.lastAt = now
        known.failures += 1
        let isFull = known.waiting >= LoginGuard.waitingLimit
        if !isFull { known.waiting += 1 }
        sources[source] = known
        return isFull ? .close : .refuse(after: .milliseconds(250 << min(known.failures - 1, 4)))
    }

    /// A refusal that waited was given.
    mutating func refused(_ source: String) { sources[source]?.waiting -= 1 }

    /// Whether the log has a line now, one a second at most, and how many failures it did not have one for.
    mutating func line(at now: Instant) -> Int? {
        if let lineAt, now - lineAt < .seconds(1) {
            untold += 1
            return nil
        }
        lineAt = now
        defer { untold = 0 }
        return untold
    }

    /// Forgets the source that has been quiet the longest; false when all of them wait.
    private mutating func makeRoom() -> Bool {
        let quiet = sources.filter { $0.value.waiting == 0 }
        guard let oldest = quiet.min(by: { $0.value.lastAt < $1.value.lastAt }) else { return false }
        sources[oldest.key] = nil
        return true
    }
}
