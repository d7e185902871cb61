// What a node counted of one canary: a block of REPORT that is there only while canaries run.

import Core

/// Sums since the canary's count began on the node. PROTOCOL.md, section 5.11.
public struct ReportedCanary: Sendable, Equatable {
    /// First tokens of one bucket.
    public struct Bucket: Sendable, Equatable {
        /// The bucket's number.
        public var number: UInt8
        /// How many; at least one.
        public var count: UInt32

        /// A bucket.
        public init(_ number: UInt8, _ count: UInt32) { (self.number, self.count) = (number, count) }
    }

    /// One side: the target on trial, or those that it is compared with.
    public struct Arm: Sendable, Equatable {
        /// First attempts that tell something, and those that failed.
        public var (attempts, failures): (UInt64, UInt64) = (0, 0)
        /// Whole answers, their cost in micro-USD, and the sum of its squares.
        public var (answers, cost): (UInt64, UInt64) = (0, 0)
        /// See `cost`; not negative.
        public var costSquares = 0.0
        /// First tokens by bucket, numbers rising.
        public var firstTokens: [Bucket] = []

        /// Nothing counted.
        public init() {}

        /// Equal in each count.
        public static func == (left: Arm, right: Arm) -> Bool {
            left.attempts == right.attempts && left.failures == right.failures && left.answers == right.answers
                && left.cost == right.cost && left.costSquares == right.costSquares
                && left.firstTokens == right.firstTokens
        }

        fileprivate var size: Int { 41 + 5 * firstTokens.count }
    }

    /// The route's alias, 1…64 bytes.
    public var route: String
    /// Which count it is, as published.
    public var run: UInt32
    /// The others, and the target on trial.
    public var (baseline, canary) = (Arm(), Arm())

    /// A canary without counts.
    public init(route: String, run: UInt32) { (self.route, self.run) = (route, run) }

    /// Equal in each part.
    public static func == (left: ReportedCanary, right: ReportedCanary) -> Bool {
        left.route == right.route && left.run == right.run && left.baseline == right.baseline
            && left.canary == right.canary
    }

    /// No sum of squares is larger than the square of the largest sum.
    private static let squaresLimit = Double(WireLimits.reportedCount) * Double(WireLimits.reportedCount)
    /// Most canaries in one report.
    public static let maximum = 16

    private var size: Int { 5 + route.utf8.count + baseline.size + canary.size }

    /// The first canaries that fit into a frame beside `targets`. Counts are sums, so that a later report makes up for what is left out.
    static func fitting(
        _ canaries: [ReportedCanary], beside targets: ArraySlice<Report.Target>
    ) -> ArraySlice<ReportedCanary> {
        var room = WireLimits.standard.frameBytes - 61 - targets.reduce(0) { $0 + 30 + $1.name.utf8.count }
        let count = canaries.prefix(maximum).prefix { canary in
            room -= canary.size
            return room >= 0
        }.count
        return canaries.prefix(count)
    }

    static func encode(_ canaries: ArraySlice<ReportedCanary>, into buffer: inout ByteBuffer) {
        buffer.append(UInt8(canaries.count))
        for canary in canaries {
            precondition((1...64).contains(canary.route.utf8.count), "a route's alias has 1 to 64 bytes")
            buffer.append(integer: canary.run)
            buffer.append(shortText: canary.route)
            for arm in [canary.baseline, canary.canary] {
                let squares = min(arm.costSquares, squaresLimit).bitPattern
                for value in [arm.attempts, arm.failures, arm.answers, arm.cost] {
                    buffer.append(integer: min(value, WireLimits.reportedCount))
                }
                buffer.append(integer: squares)
                buffer.append(UInt8(arm.firstTokens.count))
                for bucket in arm.firstTokens {
                    buffer.append(bucket.number)
                    buffer.append(integer: bucket.count)
                }
            }
        }
    }

    static func decode(_ reader: inout FieldReader) throws(WireFault) -> [ReportedCanary] {
        let count = Int(try reader.integer(UInt8.self))
        guard (1...maximum).contains(count) else { throw WireFault(.fieldValue) }
        var canaries: [ReportedCanary] = []
        for _ in 0..<count {
            let run: UInt32 = try reader.integer()
            let length = Int(try reader.integer(UInt8.self))
            guard (1...64).contains(length) else { throw WireFault(.fieldValue) }
            var canary = ReportedCanary(route: try reader.text(length), run: run)
            canary.baseline = try arm(&reader)
            canary.canary = try arm(&reader)
            canaries.append(canary)
        }
        return canaries
    }

    private static func arm(_ reader: inout FieldReader) throws(WireFault) -> Arm {
        var arm = Arm()
        arm.attempts = try reader.count()
        arm.failures = try reader.count()
        arm.answers = try reader.count()
        arm.cost = try reader.count()
        arm.costSquares = Double(bitPattern: try reader.integer())
        guard arm.costSquares.sign == .plus, arm.costSquares <= squaresLimit else { throw WireFault(.fieldValue) }
        let count = Int(try reader.integer(UInt8.self))
        for _ in 0..<count {
            let bucket = Bucket(try reader.integer(), try reader.integer())
            guard bucket.count > 0, bucket.number > arm.firstTokens.last?.number ?? 0 || arm.firstTokens.isEmpty else {
                throw WireFault(.fieldValue)
            }
            arm.firstTokens.append(bucket)
        }
        return arm
    }
}
