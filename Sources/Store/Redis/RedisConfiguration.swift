// How a connection to Redis behaves: credentials, deadlines, reconnecting.

import Core

/// The settings of a Redis connection that do not depend on how its bytes travel.
public struct RedisConfiguration: Sendable {
    /// The ACL user; nil for the default user.
    public var user: String?
    /// The password; nil for none. A `Secret` never prints itself.
    public var password: Secret?
    /// The deadline of a command, from the call to its reply. Beyond it the caller goes on in degraded mode.
    public var commandTimeout = Duration.milliseconds(50)
    /// The deadline of connecting and of the first commands (AUTH, SCRIPT LOAD).
    public var connectTimeout = Duration.seconds(2)
    /// The first pause before connecting again; doubles up to `longestPause`, each shortened by chance to half at least.
    public var firstPause = Duration.milliseconds(20)
    /// The longest pause before connecting again: recovery is noticed within 2 s.
    public var longestPause = Duration.seconds(1)
    /// How often an idle or failing connection is asked with PING whether it lives.
    public var probeInterval = Duration.milliseconds(500)
    /// How often a degraded connection is asked: after a burst that was too much for Redis, all goes on as soon as it has caught up.
    public var degradedProbeInterval = Duration.milliseconds(50)
    /// Timeouts in a row after which the store counts as degraded.
    public var timeoutsUntilDegraded = 3
    /// Bounds of replies and of commands under way.
    public var limits = RedisLimits()

    /// The defaults, without credentials.
    public init(user: String? = nil, password: Secret? = nil) {
        self.user = user
        self.password = password
    }
}
