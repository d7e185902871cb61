// The shared circuit breakers, against Redis: the only caller of breaker.lua.

import Core
import Policy

/// The breakers of all targets, as seen from one lane. One command for each call; none is needed while a target works.
public final class BreakerStore {
    private let redis: Redis
    private let times: BreakerTimes

    /// Breakers kept in `redis`. All nodes of a cluster must use the same times.
    public init(_ redis: Redis, times: BreakerTimes = .standard) {
        self.redis = redis
        self.times = times
    }

    /// Asks or changes the record of a target. `jitter`: 0…200 thousandths, see `BreakerModel`. After an error it is not known whether a
    /// report counted; a probe that was granted unheard ends with its lease.
    public func run(
        _ call: BreakerCall, on provider: String, _ model: String, jitter: Int64,
        then: @escaping (Result<BreakerReply, StoreError>) -> Void
    ) {
        let key = BreakerStore.key(provider, model)
        redis.send(
            WrittenCall(.breaker, slot: BreakerStore.slot) { [times] name, output in
                BreakerStore.write(call, key: key, jitter: jitter, times, name, into: &output)
            } then: { result in
                then(result.flatMap { reply in Result { () throws(StoreError) in try BreakerStore.read(reply) } })
            })
    }

    private static let slot = RedisSlot(key: KeySchema.breakers)

    /// True when Redis is not worth asking about breakers.
    public var isDegraded: Bool { redis.isDegraded(slot: BreakerStore.slot) }

    /// A number that is another one after each change of a record.
    public func changes(then: @escaping (Result<[UInt8], StoreError>) -> Void) {
        redis.send(RedisCommand(parts: [Array("GET".utf8), KeySchema.breakers])) { result in
            then(
                result.flatMap { reply in
                    switch reply {
                    case .bytes(let bytes): .success(bytes)
                    case .null: .success([])
                    default: .failure(.unexpectedReply("GET replied \(reply.shape)"))
                    }
                })
        }
    }

    /// The most records that one command reads.
    public static let readLimit = 256

    /// The records of some targets, at most `readLimit`, in their order, and Redis' clock (µs since 1970) at about that moment.
    public func records(
        _ targets: [(provider: String, model: String)],
        then: @escaping (Result<(atMicroseconds: Int64, records: [BreakerRecord]), StoreError>) -> Void
    ) {
        precondition(!targets.isEmpty && targets.count <= BreakerStore.readLimit, "one command reads some records")
        var now: Int64?
        // The same slot as the records: in a cluster the same server.
        redis.send(RedisCommand("TIME"), slot: BreakerStore.slot) { result in
            guard case .success(.array(let parts)) = result, parts.count == 2, let seconds = parts[0].text,
                let micros = parts[1].text, let seconds = Int64(seconds), let micros = Int64(micros)
            else { return }
            now = seconds * 1_000_000 + micros
        }
        let keys = targets.map { BreakerStore.key($0.provider, $0.model) }
        redis.send(RedisCommand(parts: [Array("MGET".utf8)] + keys)) { result in
            then(
                result.flatMap { reply in
                    Result { () throws(StoreError) in
                        guard let now, case .array(let parts) = reply, parts.count == keys.count else {
                            throw .unexpectedReply("MGET replied \(reply.shape)")
                        }
                        var records: [BreakerRecord] = []
                        for part in parts { records.append(try BreakerStore.stored(part)) }
                        return (now, records)
                    }
                })
        }
    }

    private static func stored(_ reply: RedisReply) throws(StoreError) -> BreakerRecord {
        guard reply != .null else { return .healthy }
        guard case .bytes(let bytes) = reply, bytes.count == 14 * 8 else {
            throw .unexpectedReply("a breaker's record is \(reply.shape)")
        }
        return try record(numbers(bytes[...]))
    }

    static func key(_ provider: String, _ model: String) -> [UInt8] {
        var key = ByteBuffer()
        KeySchema.appendBreaker(provider, model, to: &key)
        return key.array()
    }

    static func write(
        _ call: BreakerCall, key: [UInt8], jitter: Int64, _ times: BreakerTimes, _ name: ScriptName,
        into output: inout ByteBuffer
    ) {
        precondition((0...200).contains(jitter), "jitter is 0 to 200 thousandths")
        let asked: [Int64] =
            switch call {
            case .read: [0, 0, 0, 0, 0, 0]
            case .report(let epoch, let node, let successes, let failures, let isTripped):
                [1, epoch, node, successes, failures, isTripped ? 1 : 0]
            case .admit: [2, 0, 0, 0, 0, 0]
            case .probed(let epoch, let isGood): [3, epoch, isGood ? 1 : 0, 0, 0, 0]
            case .order(let order, let microseconds): [4, order.rawValue, microseconds, 0, 0, 0]
            case .renew(let epoch): [5, epoch, 0, 0, 0, 0]
            case .release(let epoch): [6, epoch, 0, 0, 0, 0]
            }
        let numbers = asked + [jitter, times.open, times.openLimit, times.lease, times.window, times.relapse]
        RedisWriter.begin(5 + numbers.count, in: &output)
        name.write(into: &output)
        RedisWriter.part(decimal: 2, in: &output)
        RedisWriter.part(key, in: &output)
        RedisWriter.part(KeySchema.breakers, in: &output)
        for number in numbers { RedisWriter.part(decimal: Int(number), in: &output) }
    }

    /// Reads the script's reply: one byte and fifteen doubles.
    static func read(_ reply: RedisReply) throws(StoreError) -> BreakerReply {
        guard case .bytes(let bytes) = reply, bytes.count == 1 + 15 * 8,
            let verdict = BreakerVerdict(rawValue: Int64(bytes[0]))
        else { throw .unexpectedReply("breaker.lua replied \(reply.shape)") }
        let numbers = try numbers(bytes[1...])
        return BreakerReply(verdict, at: numbers[0], try record(numbers.dropFirst()))
    }

    private static func numbers(_ bytes: ArraySlice<UInt8>) throws(StoreError) -> [Int64] {
        var numbers: [Int64] = []
        for place in stride(from: bytes.startIndex, to: bytes.endIndex, by: 8) {
            let bits = bytes[place..<place + 8].reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
            guard let number = Int64(exactly: Double(bitPattern: bits)) else {
                throw .unexpectedReply("a breaker's record holds a number that is not whole")
            }
            numbers.append(number)
        }
        return numbers
    }

    private static func record(_ numbers: some Collection<Int64>) throws(StoreError) -> BreakerRecord {
        let numbers = Array(numbers)
        guard let state = BreakerRecord.State(rawValue: numbers[0]),
            let order = BreakerRecord.Order(rawValue: numbers[7])
        else { throw .unexpectedReply("a breaker's record has an unknown state") }
        var record = BreakerRecord()
        (record.state, record.epoch, record.until, record.leaseUntil) = (state, numbers[1], numbers[2], numbers[3])
        (record.step, record.successes, record.recoveredAt) = (numbers[4], numbers[5], numbers[6])
        (record.order, record.orderUntil, record.windowStart) = (order, numbers[8], numbers[9])
        (record.windowSuccesses, record.windowFailures) = (numbers[10], numbers[11])
        (record.tripNode, record.tripAt) = (numbers[12], numbers[13])
        return record
    }
}
