// Who the primary is, as several sentinels tell it: the newest answer counts, and one that is cut off cannot turn time back. Pure.

import Core
import Net

/// What the sentinels said last.
struct SentinelView {
    /// One sentinel's answer.
    struct Answer: Hashable {
        let primary: Endpoint
        /// Rises with each failover.
        let epoch: Int64

        init(primary: Endpoint, epoch: Int64) {
            self.primary = primary
            self.epoch = epoch
        }

        /// Reads the reply to `SENTINEL MASTER name`: names and values in turn.
        init(_ reply: RedisReply) throws(StoreError) {
            guard case .array(let parts) = reply else { throw Self.misfit(reply.shape) }
            var fields: [String: String] = [:]
            for index in stride(from: 0, to: parts.count - 1, by: 2) {
                if let name = parts[index].text, let value = parts[index + 1].text { fields[name] = value }
            }
            guard let host = fields["ip"], !host.isEmpty, let port = fields["port"].flatMap({ UInt16($0) }), port > 0,
                let epoch = fields["config-epoch"].flatMap({ Int64($0) })
            else { throw Self.misfit("no address, or no epoch") }
            self.init(primary: .host(host, port: port), epoch: epoch)
        }

        private static func misfit(_ words: String) -> StoreError {
            .unexpectedReply("SENTINEL MASTER replied \(words)")
        }
    }

    private var answers: [Answer?]
    /// The answer in use.
    private(set) var current: Answer?

    init(sentinels: Int) { answers = Array(repeating: nil, count: sentinels) }

    /// Takes what a sentinel says; nil: it cannot be reached. True when the primary is another one now.
    mutating func take(_ answer: Answer?, from sentinel: Int) -> Bool {
        answers[sentinel] = answer
        guard let best = answers.compactMap(\.self).max(by: { $0.epoch < $1.epoch }), best != current else {
            return false
        }
        if let current {
            // Older than what was known: one sentinel that was cut off, unless most say so, as after a new set-up.
            let agreeing = answers.filter { $0 == best }.count
            if best.epoch <= current.epoch, agreeing * 2 <= answers.count { return false }
        }
        let isOther = best.primary != current?.primary
        current = best
        return isOther
    }
}
