// What a Redis connection counts; a lane owns it, a scrape merges copies.

import Telemetry

/// Counts of one connection over its whole life, reconnects included.
public struct RedisMetrics: Sendable {
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

    /// Adds the counts of another lane.
    public mutating func merge(_ other: RedisMetrics) {
        latency.merge(other.latency)
        commands.merge(other.commands)
        errors.merge(other.errors)
        timeouts.merge(other.timeouts)
        refused.merge(other.refused)
        connects.merge(other.connects)
        disconnects.merge(other.disconnects)
        scriptReloads.merge(other.scriptReloads)
        redirections.merge(other.redirections)
    }

    /// Writes all families onto a page.
    public func write(onto page: inout MetricsPage) {
        page.add("sluice_redis_command_duration_seconds", help: "From a command's call to its reply.", latency)
        page.add("sluice_redis_commands_total", help: "Commands sent to Redis.", commands)
        page.add("sluice_redis_errors_total", help: "Error replies of Redis.", errors)
        page.add("sluice_redis_timeouts_total", help: "Commands without a reply within their deadline.", timeouts)
        page.add("sluice_redis_refused_total", help: "Commands refused: no connection, or too many waiting.", refused)
        page.add("sluice_redis_connects_total", help: "Connections to Redis that became ready.", connects)
        page.add("sluice_redis_disconnects_total", help: "Connections to Redis that ended or failed.", disconnects)
        page.add("sluice_redis_script_reloads_total", help: "Scripts that Redis had forgotten.", scriptReloads)
        page.add("sluice_redis_redirections_total", help: "Commands that a cluster sent elsewhere.", redirections)
    }
}
