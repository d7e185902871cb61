// The spool keeps what lives through any end of its process, and nothing else.
import Core
import Foundation
import Net
import Policy
import Testing

@testable import Store

@Suite struct SpoolTests {
    /// A path of its own, gone with it.
    final class Folder {
        let path = NSTemporaryDirectory() + "sluice-spool-\(UUID().uuidString)"
        init() throws { try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true) }
        deinit { try? FileManager.default.removeItem(atPath: path) }
        var file: String { path + "/lane.spool" }
    }

    /// Opens a spool again. Another test may be starting a process at this moment, whose copy of our descriptors still holds the lock until it
    /// becomes that process.
    private func reopen(_ path: String, size: Int) throws -> Spool {
        for _ in 0..<200 {
            if let spool = try? Spool(path: path, size: size) { return spool }
            usleep(10_000)
        }
        return try Spool(path: path, size: size)
    }

    private func add(_ kind: UInt8, _ bytes: [UInt8], to spool: Spool?) -> UInt64? {
        spool?.append(kind: kind, bytes.span.raw)
    }

    private func content(_ chance: inout SeededChance, upTo limit: Int) -> [UInt8] {
        (0..<chance.below(limit)).map { _ in UInt8(chance.below(256)) }
    }

    @Test func `what was appended and not dropped is there after every end, in its order`() throws {
        let folder = try Folder()
        var chance = SeededChance(state: 7)
        var expected: [(number: UInt64, kind: UInt8, content: [UInt8])] = []
        var spool: Spool? = try Spool(path: folder.file, size: 64 * 1024)
        var (full, reopened) = (0, 0)
        for _ in 0..<30_000 {
            switch chance.below(20) {
            case 0..<11:
                let bytes = content(&chance, upTo: 400)
                let kind = UInt8(1 + chance.below(3))
                guard let number = add(kind, bytes, to: spool) else {
                    full += 1
                    continue
                }
                expected.append((number, kind, bytes))
            case 11..<19 where !expected.isEmpty:
                // Mostly the oldest, sometimes any: some live long.
                let place = chance.below(4) == 0 ? chance.below(expected.count) : 0
                spool?.drop(expected.remove(at: place).number)
            default:
                guard chance.below(10) == 0 else { continue }
                spool = nil  // as if the process had ended here
                spool = try reopen(folder.file, size: 64 * 1024)
                reopened += 1
            }
            if chance.below(50) == 0 {
                let found = spool?.entries() ?? []
                #expect(found.map(\.number) == expected.map(\.number))
                #expect(found.map(\.kind) == expected.map(\.kind))
                #expect(found.map(\.content) == expected.map(\.content))
            }
        }
        #expect(full > 10 && reopened > 50, "\(full) times full, \(reopened) times reopened")
    }

    /// A spool of five entries of 64 bytes; the content of its file.
    private func five(in folder: Folder) throws -> (numbers: [UInt64], bytes: Data) {
        let spool = try Spool(path: folder.file, size: 16_384)
        var numbers: [UInt64] = []
        for place in 0..<5 {
            numbers.append(try #require(add(1, Array(repeating: UInt8(place), count: 40), to: spool)))
        }
        #expect(spool.damage == nil)
        return (numbers, try Data(contentsOf: URL(fileURLWithPath: folder.file)))
    }

    @Test func `a damaged byte costs its own entry, and is told with its bytes and a copy of the file`() throws {
        let folder = try Folder()
        let (numbers, whole) = try five(in: folder)
        // The fourth entry begins behind header and three others; the last eight bytes of its head hold state, kind and zeros.
        let fourth = 64 + 3 * 64
        for offset in fourth..<fourth + 64 {
            var broken = whole
            broken[offset] ^= 0x41
            try broken.write(to: URL(fileURLWithPath: folder.file))
            let spool = try reopen(folder.file, size: 16_384)
            #expect(spool.entries().map(\.number) == numbers.filter { $0 != 4 }, "byte \(offset - fourth)")
            #expect(spool.damage?.bytes == 64 && spool.damage?.isCopied == true)
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file + ".damaged")) == broken)
            // What is added goes behind them.
            let sixth = try #require(add(1, [6], to: spool))
            #expect(spool.entries().map(\.number) == numbers.filter { $0 != 4 } + [sixth])
        }
    }

    @Test func `an entry whose process died before the head said so is found, and is no damage`() throws {
        let folder = try Folder()
        let (numbers, whole) = try five(in: folder)
        var cut = whole
        // Little-endian: bytes of the first half in use, four entries instead of five.
        cut[24] = 0
        cut[25] = 1
        try cut.write(to: URL(fileURLWithPath: folder.file))
        let spool = try reopen(folder.file, size: 16_384)
        #expect(spool.entries().map(\.number) == numbers)
        #expect(spool.damage == nil)
    }

    @Test func `a file that is cut, random or of another make is told whole, copied, and used anew`() throws {
        let folder = try Folder()
        let (numbers, whole) = try five(in: folder)
        var chance = SeededChance(state: 3)
        var headless = whole
        headless[0] ^= 1
        for (bytes, damaged, left) in [
            (Data(whole.prefix(64 + 2 * 64 + 10)), 3 * 64, 2), (Data(whole.prefix(80)), 5 * 64, 0),
            (Data((0..<20_000).map { _ in UInt8(chance.below(256)) }), 20_000, 0), (headless, whole.count, 0),
            (Data("no spool\n".utf8), 9, 0),
        ] {
            try bytes.write(to: URL(fileURLWithPath: folder.file))
            let spool = try reopen(folder.file, size: 16_384)
            #expect(spool.damage?.bytes == damaged, "\(bytes.count) bytes: \(String(describing: spool.damage))")
            #expect(spool.entries().map(\.number) == Array(numbers.prefix(left)))
            #expect(try Data(contentsOf: URL(fileURLWithPath: folder.file + ".damaged")) == bytes)
            #expect(add(1, [1], to: spool) != nil)
        }
        for empty in [Data(), Data(count: 16_448)] {
            try empty.write(to: URL(fileURLWithPath: folder.file))
            let spool = try reopen(folder.file, size: 16_384)
            #expect(spool.damage == nil && spool.isEmpty, "an empty file held nothing")
        }
    }

    @Test func `two processes cannot use one spool`() throws {
        let folder = try Folder()
        let first = try Spool(path: folder.file, size: 16_384)
        #expect(throws: SystemFailure.self) { try Spool(path: folder.file, size: 16_384) }
        #expect(first.isEmpty)
    }

    @Test func `a spool that is mostly dropped finds room again without losing who lives`() throws {
        let folder = try Folder()
        let spool = try Spool(path: folder.file, size: 8 << 20)
        let veteran = try #require(add(2, Array("veteran".utf8), to: spool))
        for _ in 0..<200_000 {
            let number = try #require(add(1, [UInt8](repeating: 9, count: 200), to: spool))
            spool.drop(number)
        }
        #expect(spool.entries().map(\.number) == [veteran])
        #expect(spool.liveBytes == 32)
    }

    /// One limit of each algorithm and scope.
    private static func limits() throws -> LimitSet {
        try LimitSet(
            version: 9,
            limits: [
                Limit(scope: .org, unit: .requests, amount: 2_000_000), .concurrency(64, scope: .org),
                Limit(
                    scope: .team, unit: .microUSD, amount: 5_000_000, period: .calendarMonth, algorithm: .fixedWindow,
                    isSoft: true),
                Limit(
                    scope: .key, unit: .totalTokens, amount: 70_000, period: .microseconds(17_000),
                    algorithm: .tokenBucket, burst: 90_000),
                Limit(scope: .feature, unit: .outputTokens, amount: 50_000, algorithm: .slidingCounter),
            ])
    }

    @Test func `every record comes back as it was`() throws {
        let limits = try Self.limits()
        let tenant = Tenant(org: "acme", team: "a/b", key: "k:1", feature: "größe")
        let entry = LedgerEntry(
            attempt: 2, provider: "sim", model: "m",
            tokens: TokenCounts(input: 900, cached: 3, cacheWrite: 4, output: 300, reasoning: 7),
            microUSD: 450, priceVersion: PriceVersion(0x1234), provenance: .partial, firstTokenMilliseconds: 12,
            durationMilliseconds: 3_456, outcome: "CANCELLED")
        let id = Identifier128(high: 1, low: .max)
        let use = QuotaUse(inputTokens: 900, outputTokens: 300, microUSD: 450)
        let records: [SpoolRecord] = [
            .settlement(
                SettleCall(
                    id: id, claim: 0x8070_6050, tenant: tenant, use: use, ending: .onBlock, limits: limits,
                    attempts: [entry, entry]),
                keptAt: 1_795_000_000_000_000, mayBeBooked: true),
            .block(
                ReserveCall(
                    block: id, of: 321, tenant: tenant, estimate: use, holdMilliseconds: 181_800, limits: limits)),
            .use(
                block: id, part: 4_294_967_295, covers: use,
                BlockUse(id: Identifier128(high: 5, low: 6), feature: "größe", use: use, attempts: [entry]), tenant),
        ]
        for record in records {
            var bytes = ByteBuffer()
            record.append(to: &bytes)
            let whole = bytes.array()
            let back = try #require(SpoolRecord(SpoolEntry(number: 1, kind: record.kind, content: whole)))
            switch (record, back) {
            case (.settlement(let a, let aAt, let aFlag), .settlement(let b, let bAt, let bFlag)):
                #expect(a.id == b.id && a.tenant == b.tenant && a.use == b.use)
                #expect(a.claim == b.claim && a.ending == b.ending)
                #expect(a.attempts == b.attempts && aAt == bAt && aFlag == bFlag)
                #expect(a.limits.layout.plan == b.limits.layout.plan && a.limits.version == b.limits.version)
            case (.block(let a), .block(let b)):
                #expect(a.id == b.id && a.requests == b.requests && a.estimate == b.estimate && b.isBlock)
                #expect(a.tenant == b.tenant && a.holdMilliseconds == b.holdMilliseconds)
                #expect(a.limits.layout.plan == b.limits.layout.plan)
            case (.use(let a, let aPart, let aCovers, let aUse, _), .use(let b, let bPart, let bCovers, let bUse, _)):
                #expect(a == b && aPart == bPart && aCovers == bCovers && aUse == bUse)
            default: Issue.record("another kind came back")
            }
            // Cut or lengthened anywhere, it is no record.
            for length in 0..<whole.count {
                #expect(
                    SpoolRecord(SpoolEntry(number: 1, kind: record.kind, content: Array(whole.prefix(length)))) == nil)
            }
            #expect(SpoolRecord(SpoolEntry(number: 1, kind: record.kind, content: whole + [0])) == nil)
        }
        #expect(SpoolRecord(SpoolEntry(number: 1, kind: 9, content: [])) == nil)
    }
}
