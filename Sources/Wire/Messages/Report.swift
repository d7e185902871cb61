// REPORT: what a node tells its coordinator at a fixed cadence.

import Core

/// A node's load and its view of the targets. PROTOCOL.md, section 5.11.
public struct Report: Sendable, Equatable {
    /// What the node would like to happen to a target.
    public enum Vote: UInt8, Sendable, CaseIterable {
        /// Works.
        case closed = 0
        /// Fails.
        case open = 1
        /// Being probed.
        case halfOpen = 2
    }

    /// One target, since the last report.
    public struct Target: Sendable, Equatable {
        /// `provider/model`, 1…128 bytes; or a provider alone, of which only the requests under way are told.
        public var name: String
        /// Requests under way.
        public var inFlight: UInt32
        /// Requests that succeeded.
        public var successes: UInt32
        /// Requests that failed by the target's fault.
        public var failures: UInt32
        /// Requests that the target throttled.
        public var throttled: UInt32
        /// The node's breaker.
        public var vote: Vote
        /// Half of the first tokens came sooner, in microseconds.
        public var firstTokenMedianMicroseconds: UInt32
        /// 99 % of the first tokens came sooner, in microseconds.
        public var firstTokenHighMicroseconds: UInt32
        /// 99 % of the answers were complete sooner, in microseconds.
        public var totalHighMicroseconds: UInt32

        /// A target's figures.
        public init(
            name: String, inFlight: UInt32 = 0, successes: UInt32 = 0, failures: UInt32 = 0, throttled: UInt32 = 0,
            vote: Vote = .closed, firstTokenMedianMicroseconds: UInt32 = 0, firstTokenHighMicroseconds: UInt32 = 0,
            totalHighMicroseconds: UInt32 = 0
        ) {
            self.name = name
            self.inFlight = inFlight
            self.successes = successes
            self.failures = failures
            self.throttled = throttled
            self.vote = vote
            self.firstTokenMedianMicroseconds = firstTokenMedianMicroseconds
            self.firstTokenHighMicroseconds = firstTokenHighMicroseconds
            self.totalHighMicroseconds = totalHighMicroseconds
        }
    }

    /// Most targets in one report.
    public static let maximumTargets = 80

    /// The node's number.
    public var node: UInt32
    /// 0 for idle, 255 for full.
    public var load: UInt8
    /// True while the node is draining.
    public var isDraining: Bool
    /// True while the node holds on to its routes because the published state would take most of them away.
    public var holdsRoutes: Bool
    /// Grows by one with each report.
    public var number: UInt32
    /// Epoch of the state in use.
    public var epoch: UInt64
    /// Sequence of the state in use.
    public var sequence: UInt64
    /// Open client connections.
    public var connections: UInt32
    /// Open streams.
    public var streams: UInt32
    /// Requests since start.
    public var requests: UInt64
    /// Errors since start.
    public var errors: UInt64
    /// Memory in use.
    public var residentBytes: UInt64
    /// The targets; more than `maximumTargets` are cut off.
    public var targets: [Target]
    /// Counts of canaries; those that do not fit are cut off.
    public var canaries: [ReportedCanary] = []

    /// A node's figures.
    public init(
        node: UInt32, load: UInt8 = 0, isDraining: Bool = false, holdsRoutes: Bool = false, number: UInt32 = 0,
        epoch: UInt64 = 0, sequence: UInt64 = 0, connections: UInt32 = 0, streams: UInt32 = 0, requests: UInt64 = 0,
        errors: UInt64 = 0,
        residentBytes: UInt64 = 0, targets: [Target] = []
    ) {
        self.node = node
        self.load = load
        self.isDraining = isDraining
        self.holdsRoutes = holdsRoutes
        self.number = number
        self.epoch = epoch
        self.sequence = sequence
        self.connections = connections
        self.streams = streams
        self.requests = requests
        self.errors = errors
        self.residentBytes = residentBytes
        self.targets = targets
    }

    func encode(into buffer: inout ByteBuffer, stream: UInt32) {
        let mark = buffer.beginFrame(.report, stream: stream)
        buffer.append(integer: node)
        buffer.append(load)
        let fitting = ReportedCanary.fitting(canaries, beside: targets.prefix(Self.maximumTargets))
        buffer.append((isDraining ? 1 : 0) | (holdsRoutes ? 2 : 0) | (fitting.isEmpty ? 0 : 4))
        buffer.append(integer: UInt16(min(targets.count, Self.maximumTargets)))
        buffer.append(integer: number)
        buffer.append(integer: connections)
        buffer.append(integer: streams)
        buffer.append(integer: epoch)
        buffer.append(integer: sequence)
        for count in [requests, errors, residentBytes] {
            buffer.append(integer: min(count, WireLimits.reportedCount))
        }
        for target in targets.prefix(Self.maximumTargets) {
            precondition((1...128).contains(target.name.utf8.count), "a target's name has 1 to 128 bytes")
            buffer.append(integer: target.inFlight)
            buffer.append(integer: target.successes)
            buffer.append(integer: target.failures)
            buffer.append(integer: target.throttled)
            buffer.append(integer: target.firstTokenMedianMicroseconds)
            buffer.append(integer: target.firstTokenHighMicroseconds)
            buffer.append(integer: target.totalHighMicroseconds)
            buffer.append(target.vote.rawValue)
            buffer.append(shortText: target.name)
        }
        if !fitting.isEmpty { ReportedCanary.encode(fitting, into: &buffer) }
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining >= 60 else { throw WireFault(.wrongFixedLength) }
        self.init(node: try reader.integer(), load: try reader.integer())
        let flags: UInt8 = try reader.integer()
        guard flags & 0xF8 == 0 else { throw WireFault(.reservedNotZero) }
        isDraining = flags & 1 != 0
        holdsRoutes = flags & 2 != 0
        let count = Int(try reader.integer(UInt16.self))
        guard count <= Self.maximumTargets else { throw WireFault(.fieldValue) }
        number = try reader.integer()
        connections = try reader.integer()
        streams = try reader.integer()
        epoch = try reader.integer()
        sequence = try reader.integer()
        requests = try reader.count()
        errors = try reader.count()
        residentBytes = try reader.count()
        for _ in 0..<count { targets.append(try Self.target(&reader)) }
        if flags & 4 != 0 { canaries = try ReportedCanary.decode(&reader) }
        try reader.expectEnd()
    }

    private static func target(_ reader: inout FieldReader) throws(WireFault) -> Target {
        var target = Target(name: "")
        target.inFlight = try reader.integer()
        target.successes = try reader.integer()
        target.failures = try reader.integer()
        target.throttled = try reader.integer()
        target.firstTokenMedianMicroseconds = try reader.integer()
        target.firstTokenHighMicroseconds = try reader.integer()
        target.totalHighMicroseconds = try reader.integer()
        guard let vote = Vote(rawValue: try reader.integer()) else { throw WireFault(.fieldValue) }
        target.vote = vote
        let length = Int(try reader.integer(UInt8.self))
        guard length >= 1, length <= 128 else { throw WireFault(.fieldValue) }
        target.name = try reader.text(length)
        return target
    }
}

extension FieldReader {
    /// A count of a report: a larger one than `WireLimits.reportedCount` is a mistake.
    mutating func count() throws(WireFault) -> UInt64 {
        let value: UInt64 = try integer()
        guard value <= WireLimits.reportedCount else { throw WireFault(.fieldValue) }
        return value
    }
}
