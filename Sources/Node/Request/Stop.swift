// Whether a request goes on, or why not: the first reason counts. Pure.

/// The will to go on with a request.
enum Stop {
    /// Next: draining, stopped.
    case running
    /// It has ended for its client; the rest of its answer is read for its usage, so many pieces more. Next: stopped.
    case draining(Refusal, rest: Int)
    /// It has ended.
    case stopped(Refusal)

    /// True while nothing has stopped it.
    var isRunning: Bool { if case .running = self { true } else { false } }

    /// Why nobody waits for it any more; nil while somebody does.
    var reason: Refusal? {
        switch self {
        case .running: nil
        case .draining(let reason, _), .stopped(let reason): reason
        }
    }

    /// What is done with the attempt that runs.
    enum Step: Equatable {
        case cancel
        /// It is read on.
        case drain
        case nothing
    }

    /// The request must end. `pieces`: how many of its answer are still read, where they are. Any further reason ends that.
    mutating func end(_ reason: Refusal, draining pieces: Int?) -> Step {
        switch self {
        case .running:
            guard let pieces else {
                self = .stopped(reason)
                return .cancel
            }
            self = .draining(reason, rest: pieces)
            return .drain
        case .draining: return drained()
        case .stopped: return .nothing
        }
    }

    /// A piece came that nobody wants.
    mutating func piece() -> Step {
        guard case .draining(let reason, let rest) = self else { return .nothing }
        guard rest > 1 else { return drained() }
        self = .draining(reason, rest: rest - 1)
        return .nothing
    }

    /// What was to be read is, or its time is over.
    mutating func drained() -> Step {
        guard case .draining(let reason, _) = self else { return .nothing }
        self = .stopped(reason)
        return .cancel
    }
}
