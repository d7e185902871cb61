// Slots: the checksum against the specification's figures, and that every command of the store keeps to one slot.

import Core
import Policy
import Testing

@testable import Store

@Suite struct SlotTests {
    private static func slot(_ key: String) -> Int { Int(RedisSlot(key: Array(key.utf8)).number) }

    @Test func slotsAreThoseOfTheSpecification() {
        // CRC-16/XMODEM of "123456789" is 0x31C3; the others are CLUSTER KEYSLOT's answers.
        #expect(Self.slot("123456789") == 0x31C3)
        #expect(Self.slot("") == 0 && Self.slot("foo") == 12_182 && Self.slot("somekey") == 11_058)
        #expect(Self.slot("foo{hash_tag}") == 2515 && Self.slot("bar{hash_tag}") == 2515)
    }

    @Test func onlyTheFirstTagCountsAndOnlyWhenItHoldsSomething() {
        #expect(Self.slot("{user1000}.following") == Self.slot("{user1000}.followers"))
        #expect(Self.slot("{user1000}.following") == Self.slot("user1000"))
        #expect(Self.slot("foo{{bar}}zap") == Self.slot("{bar"))
        #expect(Self.slot("foo{bar}{zap}") == Self.slot("bar"))
        #expect(Self.slot("foo{}{bar}") != Self.slot("bar") && Self.slot("foo{") != Self.slot(""))
    }

    @Test(arguments: ["acme", "a.b_c-d", "with space", "br{ace}", "a%7B", "ümlaut", "x/y:z", "{", "}"])
    func allKeysOfAnOrgShareTheSlotOfItsName(org: String) throws {
        let tenant = Tenant(org: org, team: "te{am}", key: "k:1", feature: "{other}/f")
        var keys: [[UInt8]] = []
        func key(_ write: (inout ByteBuffer) -> Void) {
            var name = ByteBuffer()
            write(&name)
            keys.append(name.array())
        }
        for scope in [LimitScope.org, .team, .key, .feature] {
            key { KeySchema.appendScope(scope, of: tenant, to: &$0) }
            key { KeySchema.appendLog("sr60", scope: scope, of: tenant, to: &$0) }
        }
        key {
            KeySchema.appendRecordPrefix(of: tenant, to: &$0)
            KeySchema.appendRecord(Identifier128(high: .max, low: 7), to: &$0)
        }
        key { KeySchema.appendLedger(of: org, to: &$0) }
        key {
            KeySchema.appendRollups(of: org, to: &$0)
            $0.append("490000")
        }
        #expect(Set(keys).count == keys.count && keys.count == 11)
        for key in keys {
            #expect(RedisSlot(key: key) == KeySchema.slot(ofOrg: org), "\(String(decoding: key, as: UTF8.self))")
        }
    }

    /// What the stores really send: every script with the most keys that it can have.
    @Test("h4: every script names keys of the one slot that it says it has")
    func everyScriptNamesKeysOfTheSlotThatItSaysItHas() throws {
        let limits = try LimitSet(
            version: 1,
            limits: [LimitScope.org, .team, .key, .feature].flatMap { scope in
                [
                    try Limit(scope: scope, unit: .requests, amount: 10, algorithm: .slidingWindow),
                    try Limit(scope: scope, unit: .totalTokens, amount: 10, algorithm: .slidingWindow),
                ]
            })
        let reserve = ReserveCall(
            id: Identifier128(high: 1, low: 2), tenant: Tenant(org: "ac{m}e", team: "a}b", key: "{k}", feature: "f{"),
            estimate: QuotaUse(inputTokens: 1, outputTokens: 1, microUSD: 1), holdMilliseconds: 1000, limits: limits)
        let entry = LedgerEntry(
            attempt: 1, provider: "sim", model: "m", tokens: TokenCounts(), microUSD: 1,
            priceVersion: PriceVersion(1), provenance: .counted, firstTokenMilliseconds: 1, durationMilliseconds: 1,
            outcome: "OK")
        let recorder = SlotRecorder()
        let connection = RedisConnection(dialer: recorder, configuration: RedisConfiguration(), seed: 1)
        connection.start()
        connection.linkOpened(recorder)
        recorder.answerPreparation(of: connection)
        let store = QuotaStore(Redis(connection))
        store.reserve(reserve) { _ in }
        store.extend(ExtendCall(of: reserve, to: reserve.estimate)) { _ in }
        store.peek(reserve) { _ in }
        store.settle(SettleCall(of: reserve, attempts: [entry])) { _ in }
        let use = BlockUse(id: Identifier128(high: 3, low: 4), feature: "{f}", use: reserve.estimate, attempts: [entry])
        let part = PartCall(
            of: reserve, number: 1, requests: 1, covers: reserve.estimate, isLast: true, uses: [use])
        store.settle(part) { _ in }
        KeyDirectory(Redis(connection)).replace(id: "a", expected: [1], record: [2]) { _ in }
        let lease = LeaseCall(name: "a", incarnation: 1, place: "p", length: 1, seen: 0, wish: .hold)
        CoordinationStore(Redis(connection)).lead(lease) { _ in }
        CoordinationStore(Redis(connection)).keep([("x", [1])], epoch: 1) { _ in }
        BreakerStore(Redis(connection)).run(.admit, on: "s{i}m", "a:b", jitter: 0) { _ in }
        let calls = recorder.calls(of: connection)
        #expect(calls.map(\.script) == [.reserve, .reserve, .peek, .settle, .settle, .replace, .lead, .keep, .breaker])
        #expect(calls.map(\.keys.count) == [13, 13, 13, 11, 15, 2, 1, 2, 2])
        for call in calls {
            #expect(Set(call.keys.map { RedisSlot(key: $0) }) == [call.slot], "\(call.script)")
        }
        #expect(Set(calls.map(\.script)) == Set(RedisScript.allCases), "a new script must be called here, too")
    }
}

/// A link that keeps what is sent.
private final class SlotRecorder: RedisDialer, RedisLink {
    private var sent: [[UInt8]] = []
    var now: Instant { Instant(nanoseconds: 1) }

    func dial(_ connection: RedisConnection, timeout: Duration) {}
    func after(_ delay: Duration, _ body: @escaping () -> Void) -> () -> Void { {} }
    func abort() {}

    func send(deadline: Instant, _ write: (inout ByteBuffer) -> Void) -> UInt64? {
        var bytes = ByteBuffer()
        write(&bytes)
        sent.append(bytes.array())
        return UInt64(sent.count - 1)
    }

    /// As a server would: an identity, and a digest for each script.
    func answerPreparation(of connection: RedisConnection) {
        let count = sent.count
        for number in 0..<count {
            connection.linkEvent(.reply(UInt64(number), .bytes(Array("run_id:x\r\n".utf8))), from: self)
        }
        sent.removeAll()
    }

    func calls(of connection: RedisConnection) -> [(script: RedisScript, slot: RedisSlot, keys: [[UInt8]])] {
        zip(sent, connection.pending).compactMap { command, pending in
            guard case .call(let call)? = pending?.listener else { return nil }
            let parts = Self.parts(command)
            let count = Int(String(decoding: parts[2], as: UTF8.self)) ?? 0
            return (call.script, call.slot, Array(parts[3..<3 + count]))
        }
    }

    /// `*n` and then `$length` with its bytes, n times.
    private static func parts(_ command: [UInt8]) -> [[UInt8]] {
        var rest = command[...]
        func line() -> Int {
            let end = rest.firstIndex(of: 13) ?? rest.endIndex
            defer { rest = rest[(end + 2)...] }
            return Int(String(decoding: rest[(rest.startIndex + 1)..<end], as: UTF8.self)) ?? 0
        }
        return (0..<line()).map { _ in
            let length = line()
            defer { rest = rest.dropFirst(length + 2) }
            return Array(rest.prefix(length))
        }
    }
}
