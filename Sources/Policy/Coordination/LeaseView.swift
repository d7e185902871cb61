// What a coordinator knows of the lease by its own clock: whether it may speak, and when to ask again.
import Core

/// One coordinator's view. Times are of its own monotonic clock: a process that was stopped finds its trust run out when it wakes.
public struct LeaseView: Sendable {
    /// How long Redis gives the lease.
    public static let length = Duration.seconds(10)
    /// How long its holder believes to have it, from the moment it asked: three seconds of margin for clocks that differ in speed.
    public static let trust = Duration.seconds(7)
    /// How often it is renewed.
    public static let renewal = Duration.seconds(3)
    /// How soon after an error it is asked for again.
    public static let retry = Duration.milliseconds(500)
    /// A leader that renewed within this time is taken to be alive: one renewal and a failed try.
    public static let freshness = Duration.seconds(4)

    /// Another coordinator that has the lease.
    public struct Rival: Sendable, Equatable {
        /// Its name.
        public let name: String
        /// Where its admin interface is.
        public let place: String
        /// When it renewed last.
        public let renewedAt: Instant
        /// When its lease ends.
        public let endsAt: Instant
    }

    /// What an answer changed.
    public enum Change: Equatable, Sendable {
        /// Nothing.
        case none
        /// The lease is ours, under a new term.
        case granted(epoch: UInt64)
        /// It was ours and is somebody else's.
        case lost
    }

    /// The term that we have, or had last; nil before the first.
    public private(set) var epoch: UInt64?
    /// Who has the lease instead.
    public private(set) var rival: Rival?
    private var trustedUntil: Instant?

    /// Nothing is known.
    public init() {}

    /// True while the lease is provably ours.
    public func holds(at now: Instant) -> Bool { trustedUntil.map { now < $0 } ?? false }

    /// True while another coordinator shows that it lives.
    public func isLedElsewhere(at now: Instant) -> Bool {
        rival.map { now - $0.renewedAt < LeaseView.freshness } ?? false
    }

    /// Takes the answer to what was asked at `asked`.
    public mutating func take(_ reply: LeaseReply, asked: Instant) -> Change {
        if reply.isMine {
            rival = nil
            trustedUntil = asked + LeaseView.trust
            guard epoch != reply.epoch else { return .none }
            epoch = reply.epoch
            return .granted(epoch: reply.epoch)
        }
        let had = trustedUntil != nil
        trustedUntil = nil
        let left = Duration.microseconds(reply.left)
        rival =
            reply.left == 0
            ? nil
            : Rival(
                name: reply.name, place: reply.place, renewedAt: asked + left - LeaseView.length, endsAt: asked + left)
        return had ? .lost : .none
    }

    /// How long to wait before the next question, after one was answered, or failed.
    public func pause(failed: Bool, at now: Instant) -> Duration {
        if failed { return LeaseView.retry }
        if trustedUntil != nil { return LeaseView.renewal }
        guard let rival else { return LeaseView.retry }
        // A little after its end: Redis decides by its own clock.
        return min(.seconds(1), max(.milliseconds(20), rival.endsAt - now + .milliseconds(20)))
    }
}
