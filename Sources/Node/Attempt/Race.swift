// Which of a request's attempts is answered with, which is cancelled, and whether another may be tried: events in, steps out. Pure.

/// The attempts of one request, by their numbers. At most two run at a time.
///
///     idle → alone ⇄ both → answering → over
///
/// The first piece of an answer decides: nothing is tried behind it, and nobody else is asked. An attempt that fails before it leaves
/// the lead to the other, if there is one.
struct Race {
    private enum State {
        /// Nothing is under way. Next: alone, over.
        case idle
        /// One attempt without a piece of its answer. Next: idle, both, answering, over.
        case alone(Int)
        /// Two of them; the first leads. Next: alone, answering, over.
        case both(Int, beside: Int)
        /// A piece was taken. `loser` was cancelled and has not ended. Next: over.
        case answering(Int, loser: Int?)
        /// The request must end, and with it those that run. Next: over.
        case stopping(Int?, beside: Int?)
        /// Nothing is begun any more.
        case over
    }

    private var state = State.idle
    /// Attempts that began.
    private(set) var begun = 0

    // MARK: - Events

    /// Another attempt goes out; its number.
    mutating func begin() -> Int {
        guard case .idle = state else {
            preconditionFailure("an attempt begins when none runs and the request goes on")
        }
        begun += 1
        state = .alone(begun)
        return begun
    }

    /// A second attempt goes out beside the only one; its number. Nil where that makes no sense any more.
    mutating func beginBeside() -> Int? {
        guard case .alone(let first) = state else { return nil }
        begun += 1
        state = .both(first, beside: begun)
        return begun
    }

    /// What becomes of a piece of an answer.
    enum Piece: Equatable {
        /// The answer begins with it; this attempt is cancelled, if there is one.
        case begins(cancel: Int?)
        case deliver
        case ignore
    }

    /// A piece of the answer to attempt `number` came.
    mutating func piece(_ number: Int) -> Piece {
        switch state {
        case .answering(number, _): return .deliver
        case .alone(number):
            state = .answering(number, loser: nil)
            return .begins(cancel: nil)
        case .both(number, let loser), .both(let loser, beside: number):
            state = .answering(number, loser: loser)
            return .begins(cancel: loser)
        case .idle, .alone, .both, .answering, .stopping, .over: return .ignore
        }
    }

    /// How an attempt ended.
    enum Ending {
        case answered
        case failed
    }

    /// What follows the end of an attempt.
    enum Next: Equatable {
        /// Another attempt may be tried.
        case tryNext
        /// The request ends; this attempt is cancelled, if there is one.
        case end(cancel: Int?)
        /// The request goes on with another attempt.
        case ignore
    }

    /// Attempt `number` has ended. `most`: attempts that its route allows.
    mutating func ended(_ number: Int, _ ending: Ending, most: Int) -> Next {
        switch (state, ending) {
        case (.alone(number), .failed) where begun < most:
            state = .idle
            return .tryNext
        case (.both(number, let other), .failed), (.both(let other, beside: number), _):
            state = .alone(other)
            return .ignore
        case (.alone(number), _): return end(cancel: nil)
        case (.both(number, let other), .answered): return end(cancel: other)
        case (.answering(number, let loser), _), (.stopping(number, let loser), _): return end(cancel: loser)
        case (.answering(let winner, number), _):
            state = .answering(winner, loser: nil)
            return .ignore
        case (.stopping(let first, number), _):
            state = .stopping(first, beside: nil)
            return .ignore
        case (.idle, _), (.alone, _), (.both, _), (.answering, _), (.stopping, _), (.over, _): return .ignore
        }
    }

    private mutating func end(cancel number: Int?) -> Next {
        state = .over
        return .end(cancel: number)
    }

    /// The request must end: nothing more is tried, nobody else takes the lead.
    mutating func stop() {
        switch state {
        case .idle: state = .over
        case .alone(let first): state = .stopping(first, beside: nil)
        case .both(let first, let other): state = .stopping(first, beside: other)
        case .answering(let winner, let loser): state = .stopping(winner, beside: loser)
        case .stopping, .over: break
        }
    }

    // MARK: - Who is who

    /// The attempt whose answer is taken, as long as another does not come before it; nil while none runs.
    var leading: Int? {
        switch state {
        case .alone(let number), .both(let number, _), .answering(let number, _): number
        case .stopping(let number, _): number
        case .idle, .over: nil
        }
    }

    /// True when all attempts failed and another may be tried.
    var mayTryNext: Bool { if case .idle = state { begun > 0 } else { false } }

    /// True while a second attempt could go out beside the first of all.
    var isHedgeable: Bool { if case .alone(1) = state { begun == 1 } else { false } }
}
