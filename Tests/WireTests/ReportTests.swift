// Reports with canaries: what fits a frame, and what is refused.

import Core
import Testing

@testable import Wire

@Suite struct ReportTests {
    private func encoded(_ report: Report) -> [UInt8] {
        var buffer = ByteBuffer()
        report.encode(into: &buffer, stream: 1)
        return buffer.array(of: buffer.slice)
    }

    private func decoded(_ frame: [UInt8]) throws -> Report {
        let input = ByteBuffer(Array(frame.dropFirst(8)))
        var reader = FieldReader(input.bytes(of: input.slice))
        return try Report(&reader)
    }

    private func canary(_ number: Int, buckets: Int) -> ReportedCanary {
        var canary = ReportedCanary(route: "route-\(number)", run: UInt32(number))
        canary.baseline.attempts = 7
        canary.baseline.firstTokens = (0..<buckets).map { .init(UInt8($0), 1) }
        canary.canary.firstTokens = canary.baseline.firstTokens
        return canary
    }

    @Test func `as many canaries travel as fit a frame, in their order`() throws {
        var report = Report(node: 1)
        report.canaries = (0..<20).map { canary($0, buckets: 10) }
        #expect(try decoded(encoded(report)).canaries == Array(report.canaries.prefix(ReportedCanary.maximum)))
        report.canaries = (0..<16).map { canary($0, buckets: 242) }
        report.targets = (0..<Report.maximumTargets).map { number in
            .init(name: "\(number)/" + String(repeating: "m", count: number < 10 ? 126 : 125))
        }
        var frame = encoded(report)
        #expect(frame.count <= 8 + WireLimits.standard.frameBytes)
        #expect(try decoded(frame).canaries == Array(report.canaries.prefix(1)))
        report.targets = []
        frame = encoded(report)
        #expect(frame.count <= 8 + WireLimits.standard.frameBytes)
        #expect(try decoded(frame).canaries == Array(report.canaries.prefix(6)))
        report.canaries = []
        #expect(try decoded(encoded(report)) == report && encoded(report)[13] & 4 == 0)
    }

    @Test func `counts that cannot be are refused`() {
        var report = Report(node: 1)
        for change in [
            { $0.baseline.costSquares = -1 }, { $0.canary.costSquares = .nan },
            { $0.baseline.firstTokens = [.init(4, 1), .init(4, 1)] }, { $0.canary.firstTokens = [.init(4, 0)] },
            { $0.baseline.firstTokens = [.init(4, 1), .init(3, 1)] },
        ] as [(inout ReportedCanary) -> Void] {
            var canary = canary(1, buckets: 0)
            change(&canary)
            report.canaries = [canary]
            #expect(throws: WireFault.self) { try decoded(encoded(report)) }
        }
        report.canaries = [canary(1, buckets: 0)]
        for count in [0, 17] as [UInt8] {
            var frame = encoded(report)
            frame[8 + 60] = count
            #expect(throws: WireFault.self) { try decoded(frame) }
        }
        var frame = encoded(report)
        frame[13] |= 8
        #expect(throws: WireFault.self) { try decoded(frame) }
    }

    /// Where the counts of a report with one canary and no target begin, behind the frame's header.
    private static let counts: [(name: String, offset: Int)] = {
        let arms = 8 + 60 + 1 + 4 + 1 + 7
        let names = ["attempts", "failures", "answers", "cost"]
        let (baseline, canary) = (arms, arms + 41)
        return [("requests", 44), ("errors", 52), ("resident bytes", 60)]
            + names.enumerated().map { ($1, baseline + 8 * $0) } + names.enumerated().map { ($1, canary + 8 * $0) }
    }()

    private func write(_ value: UInt64, at offset: Int, of frame: inout [UInt8]) {
        for byte in 0..<8 { frame[offset + byte] = UInt8(truncatingIfNeeded: value >> UInt64(8 * (7 - byte))) }
    }

    @Test func `a count that no node can have reached is refused in each field`() throws {
        var report = Report(node: 1)
        report.canaries = [canary(1, buckets: 0)]
        let good = encoded(report)
        for (name, offset) in Self.counts {
            for (value, isTaken) in [(UInt64.max, false), (1 << 63, false), ((1 << 40) + 1, false), (1 << 40, true)] {
                var frame = good
                write(value, at: offset, of: &frame)
                #expect(((try? decoded(frame)) != nil) == isTaken, "\(name) \(value)")
            }
        }
        for squares in [Double.infinity, 1.3e24, .greatestFiniteMagnitude] {
            var frame = good
            write(squares.bitPattern, at: Self.counts[3].offset + 32, of: &frame)
            #expect(throws: WireFault.self) { try decoded(frame) }
        }
    }

    @Test func `a node that counted further stops at the largest count`() throws {
        var report = Report(node: 1, requests: .max, errors: .max, residentBytes: .max)
        var canary = canary(1, buckets: 0)
        (canary.baseline.attempts, canary.baseline.cost, canary.baseline.costSquares) = (.max, .max, 1e300)
        report.canaries = [canary]
        let read = try decoded(encoded(report))
        #expect(read.requests == 1 << 40 && read.errors == 1 << 40 && read.residentBytes == 1 << 40)
        #expect(read.canaries.first?.baseline.attempts == 1 << 40 && read.canaries.first?.baseline.cost == 1 << 40)
    }
}
