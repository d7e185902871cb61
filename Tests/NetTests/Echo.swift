// Machines and certificates for the tests of the engine.
import Core
import Foundation
import Net

/// Sends back what it receives, no more than `window` bytes at a time, and says how much it saw.
struct EchoMachine: Machine, ~Copyable {
    var pending = ByteBuffer()
    var received = 0
    var isFinished = false
    var deadline: Instant?
    var wantsInput: Bool { pending.count < 1 << 20 }

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Int? {
        guard input.count > 0 else { return nil }
        let count = input.count
        received += count
        pending.append(draining: &input)
        return count
    }

    mutating func inputEnded(at now: Instant) -> Int? { nil }
    mutating func advance(to now: Instant) -> Int? {
        deadline = nil
        return -1
    }
    mutating func transmit(into output: inout ByteBuffer, at now: Instant) { output.append(draining: &pending) }
}

/// Gathers what arrives and sends what the test gives it.
struct CollectMachine: Machine, ~Copyable {
    var toSend = ByteBuffer()
    var collected: [UInt8] = []
    var isFinished = false
    var deadline: Instant?
    var wantsInput = true

    mutating func receive(_ input: inout ByteBuffer, at now: Instant) -> Int? {
        guard input.count > 0 else { return nil }
        collected += input.array()
        input.removeAll()
        return collected.count
    }

    mutating func inputEnded(at now: Instant) -> Int? { nil }
    mutating func advance(to now: Instant) -> Int? { nil }
    mutating func transmit(into output: inout ByteBuffer, at now: Instant) { output.append(draining: &toSend) }
}

/// A lane's object that a test carries between threads; it is touched on its lane only.
struct OnLane<T>: @unchecked Sendable {
    let value: T
    init(_ value: T) { self.value = value }
}

/// Runs `body` on the lane and waits for what it hands over.
func on<T>(_ lane: Lane, _ body: @escaping (@escaping (T) -> Void) -> Void) async -> T {
    let carried = OnLane(body)
    let result: OnLane<T> = await withCheckedContinuation { continuation in
        lane.execute { carried.value { continuation.resume(returning: OnLane($0)) } }
    }
    return result.value
}
