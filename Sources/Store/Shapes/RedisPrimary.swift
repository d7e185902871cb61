// One primary of Redis as the metrics page shows it.

import Telemetry

/// A server that keeps shared state, as a lane sees it.
public struct RedisPrimary: Sendable {
    /// Where it is.
    public let address: String
    /// How many slots of a cluster it has; 0 in other shapes.
    public let slots: Int
    /// True when it can be used.
    public private(set) var isReady: Bool
    /// Commands sent to it over its present connection's life.
    public private(set) var commands: Counter
    /// Commands that it did not answer in time.
    public private(set) var timeouts: Counter

    init(_ address: String, slots: Int, _ connection: RedisConnection) {
        self.address = address
        self.slots = slots
        isReady = !connection.isDegraded
        commands = connection.metrics.commands
        timeouts = connection.metrics.timeouts
    }

    /// Puts what another lane sees beside `primaries`.
    public static func merge(_ others: [RedisPrimary], into primaries: inout [RedisPrimary]) {
        for other in others {
            guard let place = primaries.firstIndex(where: { $0.address == other.address }) else {
                primaries.append(other)
                continue
            }
            primaries[place].isReady = primaries[place].isReady && other.isReady
            primaries[place].commands.merge(other.commands)
            primaries[place].timeouts.merge(other.timeouts)
        }
    }

    /// Writes one family for each figure, labelled by address.
    public static func write(_ primaries: [RedisPrimary], onto page: inout MetricsPage) {
        func each(_ name: MetricName, _ help: String, _ type: MetricType, _ value: (RedisPrimary) -> SampleValue) {
            page.begin(name, help: help, type: type)
            for primary in primaries {
                page.sample(
                    name, labels: LabelText(names: ["primary"], values: [primary.address]), value: value(primary))
            }
        }
        each("sluice_redis_primary_ready", "1 when this primary can be used.", .gauge) { .signed($0.isReady ? 1 : 0) }
        each("sluice_redis_primary_slots", "Slots of a Redis Cluster that it has.", .gauge) { .signed(Int64($0.slots)) }
        each("sluice_redis_primary_commands_total", "Commands sent to it.", .counter) { .unsigned($0.commands.value) }
        each("sluice_redis_primary_timeouts_total", "Commands that it did not answer in time.", .counter) {
            .unsigned($0.timeouts.value)
        }
    }
}
