// Blocks and their parts in the seeded stream of operations.

import Core
import Policy

@testable import Store

extension Operations {
    /// Reserves a block, or ends a part of one: in order, again, late, of a block that nobody knows.
    mutating func stepOfBlocks(on redis: BlockingRedis) throws -> Outcome {
        switch chance.below(10) {
        case 0..<3: return try reserveBlock(on: redis)
        case 3 where !parts.isEmpty: return try settle(parts[chance.below(parts.count)], on: redis)
        case 4:
            let call = block()
            return try settle(part(of: call, number: Int64(1 + chance.below(3))), on: redis)
        case 5 where blocks.count > 3:
            blocks.remove(at: chance.below(blocks.count))  // its node died
            return try reserveBlock(on: redis)
        default:
            guard !blocks.isEmpty else { return try reserveBlock(on: redis) }
            let place = chance.below(blocks.count)
            let part = part(of: blocks[place].call, number: blocks[place].next)
            if part.isLast { blocks.remove(at: place) } else { blocks[place].next += 1 }
            return try settle(part, on: redis)
        }
    }

    private mutating func block() -> ReserveCall {
        let one = fresh()
        return ReserveCall(
            block: one.id, of: Int64(1 + chance.below(12)), tenant: one.tenant, estimate: one.estimate,
            holdMilliseconds: one.holdMilliseconds, limits: one.limits)
    }

    private mutating func part(of call: ReserveCall, number: Int64) -> PartCall {
        let uses = (0..<chance.below(5)).map { _ in
            BlockUse(
                id: nextID(), feature: ["", "chat", "a/b"][chance.below(3)], use: use(),
                attempts: (0..<chance.below(3)).map { attempt(UInt8($0 + 1)) })
        }
        return PartCall(
            of: call, number: number, requests: Int64(chance.below(6)), covers: use(), isLast: chance.below(4) == 0,
            uses: uses)
    }

    private mutating func reserveBlock(on redis: BlockingRedis) throws -> Outcome {
        let call = block()
        let real = try redis.reserve(call)
        let (name, now): (String, Int64) =
            switch real {
            case .granted(let grant): ("block granted", grant.atMicroseconds)
            case .denied(let denial): ("block denied", denial.atMicroseconds)
            case .repeated(let record), .duplicate(let record): ("block repeated", record.atMicroseconds)
            }
        if case .granted = real { blocks.append((call, 1)) }
        let expected = model.reserve(call, at: now)
        return Outcome(
            name: name, isEqual: real == expected, difference: "script \(real)\nmodel  \(expected)\ncall \(call)")
    }

    private mutating func settle(_ call: PartCall, on redis: BlockingRedis) throws -> Outcome {
        let real = try redis.settle(call)
        let (name, record): (String, QuotaRecord) =
            switch real {
            case .settled(let record): (call.isLast ? "last part settled" : "part settled", record)
            case .late(let record): ("part late", record)
            case .repeated(let record): ("part settled again", record)
            case .unknown(let record): ("part unknown", record)
            }
        let expected = model.settle(call, at: record.atMicroseconds)
        if parts.count < 100 { parts.append(call) } else { parts[chance.below(100)] = call }
        return Outcome(
            name: name, isEqual: real == expected, difference: "script \(real)\nmodel  \(expected)\ncall \(call)")
    }
}
