// Chance, checksums, hexadecimal digits, identifiers, money, secrets, bounded queues: each against known answers or a model.
import Core
import Testing

@Suite struct MaterialsTests {
    @Test func `chance repeats itself from its seed`() {
        // xoshiro256++ seeded by splitmix64, from an independent implementation.
        var zero = Chance(seed: 0)
        #expect(
            (0..<3).map { _ in zero.next() } == [0x5317_5D61_490B_23DF, 0x61DA_6F3D_C380_D507, 0x5C0F_DF91_EC9A_7BFC])
        var other = Chance(seed: 20_261_123)
        #expect(other.next() == 0xF553_F7F3_6FDB_85C5)
    }

    @Test func `chance is spread evenly`() {
        var chance = Chance(seed: 7)
        var counts = [Int](repeating: 0, count: 10)
        for _ in 0..<100_000 { counts[Int(chance.below(10))] += 1 }
        // Six standard deviations of a tenth of 100,000 draws are 569.
        #expect(counts.allSatisfy { abs($0 - 10_000) < 569 }, "\(counts)")
        #expect((0..<10_000).allSatisfy { _ in (0..<1).contains(chance.unit()) })
    }

    static let checksums: [(bytes: [UInt8], sum: UInt32)] = [
        ([UInt8](repeating: 0, count: 32), 0x8A91_36AA), ([UInt8](repeating: 0xFF, count: 32), 0x62A8_AB43),
        (Array(0..<32), 0x46DD_794E), (Array((0..<32).reversed()), 0x113F_DB5C),
        (Array("123456789".utf8), 0xE306_9283), ([], 0),
    ]

    @Test(arguments: checksums) func `CRC-32C gives the checksums of RFC 3720`(_ bytes: [UInt8], _ expected: UInt32) {
        #expect(CRC32C.checksum(bytes) == expected)
    }

    @Test func `a checksum continues over every cut`() {
        let bytes = (0..<61).map { UInt8($0 &* 37 & 0xFF) }
        let whole = CRC32C.checksum(bytes)
        for cut in 0...bytes.count {
            let first = CRC32C.checksum(Array(bytes[..<cut]))
            #expect(CRC32C.checksum(Array(bytes[cut...]), continuing: first) == whole)
        }
    }

    @Test func `hexadecimal digits go both ways, and others are refused`() {
        let bytes = (0...255).map { UInt8($0) }
        #expect(Hexadecimal.bytes(Hexadecimal.text(bytes)) == bytes)
        #expect(Hexadecimal.bytes("00fFA0") == [0, 255, 160])
        for text in ["0", "0g", "é0", " 00", "0x00"] { #expect(Hexadecimal.bytes(text) == nil) }
        #expect(Identifier128(high: 1, low: 0xABC).hex == "00000000000000010000000000000abc")
    }

    @Test(arguments: [
        (0, "$0.00"), (1, "$0.000001"), (12_500_000, "$12.50"), (-42, "-$0.000042"), (1_000_000, "$1.00"),
        (Int64.max, "$9223372036854.775807"), (Int64.min, "-$9223372036854.775808"),
    ])
    func `money is written with every digit that counts`(_ amount: Int64, _ text: String) {
        #expect(MicroUSD(amount).description == text)
    }

    @Test func `sums of money stay at the ends instead of wrapping`() {
        #expect(MicroUSD(.max) + MicroUSD(1) == MicroUSD(.max))
        #expect(MicroUSD(.min) + MicroUSD(-1) == MicroUSD(.min))
        #expect(MicroUSD(.max) + MicroUSD(-1) == MicroUSD(.max - 1))
    }

    @Test func `a secret never shows itself`() {
        let secret = Secret("hunter2")
        var dumped = ""
        dump(secret, to: &dumped)
        for text in ["\(secret)", String(describing: secret), String(reflecting: secret), dumped] {
            #expect(!text.contains("hunter2"))
        }
        #expect(secret.equals(Array("hunter2".utf8)))
        for other in ["", "hunter", "hunter3", "Hunter2", "hunter22"] { #expect(!secret.equals(Array(other.utf8))) }
    }

    @Test func `a bounded queue keeps order and refuses what is too much`() {
        var chance = Chance(seed: 99)
        var queue = BoundedQueue<Int>(limit: 13)
        var model: [Int] = []
        for number in 0..<20_000 {
            if chance.below(2) == 0 {
                let isTaken = queue.append(number)
                #expect(isTaken == (model.count < 13))
                if isTaken { model.append(number) }
            } else {
                #expect(queue.popFirst() == (model.isEmpty ? nil : model.removeFirst()))
            }
            #expect(queue.count == model.count && queue.first == model.first && queue.isEmpty == model.isEmpty)
        }
    }

    @Test func `instants stay within their ends`() {
        let late = Instant(nanoseconds: .max - 5)
        #expect(late + .seconds(1) == .distantFuture)
        #expect(Instant(nanoseconds: 10) - Instant(nanoseconds: 4) == .nanoseconds(6))
        #expect(Duration.seconds(Int64.max / 1_000).nanoseconds == .max)
        #expect(Duration.seconds(Int64.min / 1_000).nanoseconds == .min)
        #expect(Duration.milliseconds(1_500).nanoseconds == 1_500_000_000)
    }
}
