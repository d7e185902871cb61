// The race of a request's attempts, told as conversations: on the left what happens, on the right what follows.
import Testing

@testable import Node

@Suite struct RaceTests {
    /// Plays a conversation line by line; a route allows `most` attempts.
    private func play(most: Int = 3, _ lines: String, _ line: SourceLocation = #_sourceLocation) {
        var race = Race()
        for text in lines.split(separator: "\n") {
            let sides = text.split(separator: "→").map { $0.split(separator: " ").map(String.init) }
            let answer = RaceTests.answer(&race, sides[0], most: most)
            #expect(answer == sides[1].joined(separator: " "), "\(text)", sourceLocation: line)
        }
    }

    private static func answer(_ race: inout Race, _ event: [String], most: Int) -> String {
        let number = event.count > 1 ? Int(event[1]) ?? 0 : 0
        switch event[0] {
        case "begin": return "\(race.begin())"
        case "beside": return race.beginBeside().map(String.init) ?? "no"
        case "piece":
            return switch race.piece(number) {
            case .begins(cancel: nil): "begins"
            case .begins(cancel: let other?): "begins, cancel \(other)"
            case .deliver: "deliver"
            case .ignore: "ignore"
            }
        case "answered", "failed":
            return switch race.ended(number, event[0] == "answered" ? .answered : .failed, most: most) {
            case .tryNext: "try next"
            case .end(cancel: nil): "end"
            case .end(cancel: let other?): "end, cancel \(other)"
            case .ignore: "ignore"
            }
        case "stop":
            race.stop()
            return "-"
        case "leads": return race.leading.map(String.init) ?? "nobody"
        case "hedgeable": return race.isHedgeable ? "yes" : "no"
        case "next": return race.mayTryNext ? "yes" : "no"
        case "begun": return "\(race.begun)"
        default: return "?"
        }
    }

    // MARK: - One attempt

    @Test func `an attempt that answers ends the request`() {
        play(
            """
            leads → nobody
            begin → 1
            leads → 1
            piece 1 → begins
            piece 1 → deliver
            piece 1 → deliver
            answered 1 → end
            leads → nobody
            """)
    }

    @Test func `an answer without a piece is an answer`() {
        play(
            """
            begin → 1
            answered 1 → end
            next → no
            """)
    }

    @Test func `before its first piece a failure may be tried elsewhere`() {
        play(
            """
            begin → 1
            failed 1 → try next
            next → yes
            begin → 2
            piece 2 → begins
            answered 2 → end
            begun → 2
            """)
    }

    @Test func `behind the first piece a failure is the end`() {
        play(
            """
            begin → 1
            piece 1 → begins
            failed 1 → end
            next → no
            """)
    }

    @Test func `a route's attempts are all there are`() {
        play(
            most: 2,
            """
            begin → 1
            failed 1 → try next
            begin → 2
            failed 2 → end
            next → no
            begun → 2
            """)
    }

    @Test func `one attempt allowed: a failure is the end`() {
        play(
            most: 1,
            """
            begin → 1
            failed 1 → end
            """)
    }

    @Test func `nothing can be tried again before anything was tried`() {
        play("next → no")
    }

    @Test func `an end that was heard already changes nothing`() {
        play(
            """
            begin → 1
            failed 1 → try next
            failed 1 → ignore
            begin → 2
            failed 1 → ignore
            piece 1 → ignore
            leads → 2
            piece 2 → begins
            """)
    }

    // MARK: - Two attempts

    @Test func `the first stays in front when its piece comes first, and the second is cancelled`() {
        play(
            """
            begin → 1
            beside → 2
            leads → 1
            piece 1 → begins, cancel 2
            failed 2 → ignore
            piece 1 → deliver
            answered 1 → end
            """)
    }

    @Test func `the second leads when its piece comes first, and the first is cancelled`() {
        play(
            """
            begin → 1
            beside → 2
            piece 2 → begins, cancel 1
            leads → 2
            failed 1 → ignore
            piece 2 → deliver
            answered 2 → end
            """)
    }

    @Test func `what the loser still says is heard by nobody`() {
        play(
            """
            begin → 1
            beside → 2
            piece 2 → begins, cancel 1
            piece 1 → ignore
            piece 2 → deliver
            """)
    }

    @Test func `a failure of the first is seen by nobody while the second runs`() {
        play(
            """
            begin → 1
            beside → 2
            failed 1 → ignore
            leads → 2
            piece 2 → begins
            answered 2 → end
            """)
    }

    @Test func `a failure of the second is seen by nobody while the first runs`() {
        play(
            """
            begin → 1
            beside → 2
            failed 2 → ignore
            leads → 1
            piece 1 → begins
            answered 1 → end
            """)
    }

    @Test func `when both failed a third may be tried`() {
        play(
            """
            begin → 1
            beside → 2
            failed 1 → ignore
            failed 2 → try next
            begin → 3
            piece 3 → begins
            """)
    }

    @Test func `when both failed and both were all, the request ends`() {
        play(
            most: 2,
            """
            begin → 1
            beside → 2
            failed 2 → ignore
            failed 1 → end
            """)
    }

    @Test func `the first ends without a piece: the second is cancelled`() {
        play(
            """
            begin → 1
            beside → 2
            answered 1 → end, cancel 2
            failed 2 → ignore
            """)
    }

    @Test func `the winner may end before the loser has`() {
        play(
            """
            begin → 1
            beside → 2
            piece 2 → begins, cancel 1
            answered 2 → end, cancel 1
            failed 1 → ignore
            """)
    }

    @Test func `a winner that breaks off is not followed by the loser`() {
        play(
            """
            begin → 1
            beside → 2
            piece 2 → begins, cancel 1
            failed 2 → end, cancel 1
            piece 1 → ignore
            """)
    }

    @Test func `there are never three at once`() {
        play(
            """
            begin → 1
            beside → 2
            beside → no
            begun → 2
            """)
    }

    @Test func `nobody is asked beside an answer, or beside nothing`() {
        play(
            """
            beside → no
            begin → 1
            piece 1 → begins
            beside → no
            answered 1 → end
            beside → no
            """)
    }

    @Test func `only the first attempt of all has another sent beside it by its slowness`() {
        play(
            """
            hedgeable → no
            begin → 1
            hedgeable → yes
            failed 1 → try next
            begin → 2
            hedgeable → no
            """)
        play(
            """
            begin → 1
            beside → 2
            hedgeable → no
            failed 2 → ignore
            hedgeable → no
            """)
    }

    // MARK: - A request that must end

    @Test func `stopped, an attempt is heard no more and its end is the request's`() {
        play(
            """
            begin → 1
            piece 1 → begins
            stop → -
            leads → 1
            piece 1 → ignore
            failed 1 → end
            next → no
            """)
    }

    @Test func `stopped, a failure is not tried elsewhere`() {
        play(
            """
            begin → 1
            stop → -
            failed 1 → end
            next → no
            """)
    }

    @Test func `stopped between two attempts, nothing more is tried`() {
        play(
            """
            begin → 1
            failed 1 → try next
            stop → -
            next → no
            """)
    }

    @Test func `stopped, the second does not take the lead`() {
        play(
            """
            begin → 1
            beside → 2
            stop → -
            piece 2 → ignore
            failed 2 → ignore
            leads → 1
            failed 1 → end
            """)
    }

    @Test func `stopped, the leading one may end first: then the other is cancelled`() {
        play(
            """
            begin → 1
            beside → 2
            stop → -
            failed 1 → end, cancel 2
            failed 2 → ignore
            """)
    }

    @Test func `stopped twice is stopped once`() {
        play(
            """
            begin → 1
            beside → 2
            stop → -
            failed 2 → ignore
            stop → -
            answered 1 → end
            stop → -
            """)
    }

    @Test func `stopped, nobody is asked beside it`() {
        play(
            """
            begin → 1
            stop → -
            hedgeable → no
            beside → no
            """)
    }
}
