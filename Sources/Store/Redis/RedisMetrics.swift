// What a Redis connection counts; a lane owns it, a scrape merges copies.

import Telemetry

/// Counts of one connection over its whole life, reconnects included.
public struct RedisMetrics: MetricSet {
    /// From the call to the reply.
    public var latency = Histogram()
    /// Commands that were sent.
    public var commands = Counter()
    /// Replies that were errors.
    public var errors = Counter()
    /// Commands whose deadline passed.
    public var timeouts = Counter()
    /// Commands that were refused because there was no connection or too many waited.
    public var refused = Counter()
    /// Connections that became ready.
    public var connects = Counter()
    /// Connections that ended, or could not be made.
    public var disconnects = Counter()
    /// Scripts that Redis had forgotten and that were sent again in full.
    public var scriptReloads = Counter()

    /// Commands that a cluster's servers sent on to others, or back to come again.
    public var redirections = Counter()

    /// Nothing counted yet.
    public init() {}

    /// One row for each.
    public static let rows: [MetricRow<RedisMetrics>] = [
        .one("sluice_redis_command_duration_seconds", "From a command's call to its reply.", \.latency),
        .one("sluice_redis_commands_total", "Commands sent to Redis.", \.commands),
        .one("sluice_redis_errors_total", "Error replies of Redis.", \.errors),
        .one("sluice_redis_timeouts_total", "Commands without a reply within their deadline.", \.timeouts),
        .one("sluice_redis_refused_total", "Commands refused: no connection, or too many waiting.", \.refused),
        .one("sluice_redis_connects_total", "Connections to Redis that became ready.", \.connects),
        .one("sluice_redis_disconnects_total", "Connections to Redis that ended or failed.", \.disconnects),
        .one("sluice_redis_script_reloads_total", "Scripts that Redis had forgotten.", \.scriptReloads),
        .one("sluice_redis_redirections_total", "Commands that a cluster sent elsewhere.", \.redirections),
    ]
}
