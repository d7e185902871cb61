// What the simulator saw, for tests and benchmarks to compare with what the other side says.
import Core
import Synchronization

/// One answer that its caller did not wait for.
struct Cancellation: Equatable, Sendable {
    /// The answer's id.
    let id: UInt64
    /// When the caller's end of the connection was seen to be gone, in microseconds since 1970.
    let closedAtMicroseconds: Int64
    /// Output tokens sent by then.
    let outputTokens: Int
}

/// What one lane saw. Lanes add up.
struct SimulatorStats: Equatable, Sendable {
    /// Latest cancellations that are kept.
    static let cancellationLimit = 256
    /// Different keys that are counted; callers with further keys are counted as `other`.
    static let keyLimit = 1000

    var connections = 0
    var requests = 0
    var chats = 0
    var streams = 0
    var embeddings = 0
    var completed = 0
    var refused = 0
    var cancelled = 0
    var inputTokens = 0
    var outputTokens = 0
    var faults: [String: Int] = [:]
    var requestsPerKey: [String: Int] = [:]
    var cancellations: [Cancellation] = []

    /// Remembers a cancellation; the oldest is forgotten when there are too many.
    mutating func cancel(_ cancellation: Cancellation) {
        cancelled += 1
        if cancellations.count == SimulatorStats.cancellationLimit { cancellations.removeFirst() }
        cancellations.append(cancellation)
    }

    /// Counts a request for a key, of which only the end is kept.
    mutating func count(keyEnding ending: String) {
        if requestsPerKey[ending] != nil || requestsPerKey.count < SimulatorStats.keyLimit {
            requestsPerKey[ending, default: 0] += 1
        } else {
            requestsPerKey["other", default: 0] += 1
        }
    }

    /// Adds what another lane saw.
    mutating func merge(_ other: SimulatorStats) {
        connections += other.connections
        requests += other.requests
        chats += other.chats
        streams += other.streams
        embeddings += other.embeddings
        completed += other.completed
        refused += other.refused
        cancelled += other.cancelled
        inputTokens += other.inputTokens
        outputTokens += other.outputTokens
        faults.merge(other.faults, uniquingKeysWith: +)
        requestsPerKey.merge(other.requestsPerKey, uniquingKeysWith: +)
        cancellations.append(contentsOf: other.cancellations)
        cancellations.sort { $0.closedAtMicroseconds < $1.closedAtMicroseconds }
        cancellations.removeFirst(max(0, cancellations.count - SimulatorStats.cancellationLimit))
    }

    /// Appends the statistics as a JSON object.
    func write(concurrency: Concurrency, into buffer: inout ByteBuffer) {
        let counts: [(StaticString, Int)] = [
            ("connections", connections), ("requests", requests), ("chats", chats), ("streams", streams),
            ("embeddings", embeddings), ("completed", completed), ("refused", refused), ("cancelled", cancelled),
            ("input_tokens", inputTokens), ("output_tokens", outputTokens), ("open", concurrency.open),
            ("max_open", concurrency.maximum), ("streams_open", concurrency.streams),
        ]
        buffer.append(UInt8(ascii: "{"))
        for (name, count) in counts {
            buffer.append(UInt8(ascii: "\""))
            buffer.append(literal: name)
            buffer.append(literal: "\":")
            buffer.append(decimal: count)
            buffer.append(UInt8(ascii: ","))
        }
        SimulatorStats.write("faults", faults, into: &buffer)
        SimulatorStats.write("requests_per_key", requestsPerKey, into: &buffer)
        buffer.append(literal: "\"cancellations\":[")
        for (index, cancellation) in cancellations.enumerated() {
            buffer.append(literal: index == 0 ? "{\"id\":\"" : ",{\"id\":\"")
            ChatAnswer.write(id: cancellation.id, into: &buffer)
            buffer.append(literal: "\",\"closed_at_us\":")
            buffer.append(decimal: cancellation.closedAtMicroseconds)
            buffer.append(literal: ",\"output_tokens\":")
            buffer.append(decimal: cancellation.outputTokens)
            buffer.append(UInt8(ascii: "}"))
        }
        buffer.append(literal: "]}\n")
    }

    private static func write(_ name: StaticString, _ counts: [String: Int], into buffer: inout ByteBuffer) {
        buffer.append(UInt8(ascii: "\""))
        buffer.append(literal: name)
        buffer.append(literal: "\":{")
        for (index, (key, count)) in counts.sorted(by: { $0.key < $1.key }).enumerated() {
            buffer.append(literal: index == 0 ? "\"" : ",\"")
            APIError.append(escaping: key, to: &buffer)
            buffer.append(literal: "\":")
            buffer.append(decimal: count)
        }
        buffer.append(literal: "},")
    }
}

/// How many answers are under way in all lanes together. A sum of the lanes' own maxima would be too high, so this is the one
/// number that they share.
final class Concurrency: Sendable {
    private let underWay = Atomic<Int>(0)
    private let most = Atomic<Int>(0)
    private let streaming = Atomic<Int>(0)

    /// Answers under way now.
    var open: Int { underWay.load(ordering: .relaxed) }
    /// Most answers that were under way at once.
    var maximum: Int { most.load(ordering: .relaxed) }
    /// Streams among the answers under way.
    var streams: Int { streaming.load(ordering: .relaxed) }

    func begin(isStream: Bool) {
        let count = underWay.add(1, ordering: .relaxed).newValue
        if isStream { streaming.add(1, ordering: .relaxed) }
        most.max(count, ordering: .relaxed)
    }

    func end(isStream: Bool) {
        underWay.subtract(1, ordering: .relaxed)
        if isStream { streaming.subtract(1, ordering: .relaxed) }
    }

    /// Forgets the maximum.
    func reset() { most.store(open, ordering: .relaxed) }
}
