// Whether a request goes on, told as conversations: on the left what happens, on the right what is done with the attempt that runs.
import Testing

@testable import Node

@Suite struct StopTests {
    /// Plays a conversation line by line, and says how it stands at its end.
    private func play(_ lines: String, leaves reason: String?, _ line: SourceLocation = #_sourceLocation) {
        var stop = Stop.running
        for text in lines.split(separator: "\n") {
            let sides = text.split(separator: "→").map { $0.split(separator: " ").map(String.init) }
            let event = sides[0]
            let step: Stop.Step =
                switch event[0] {
                case "piece": stop.piece()
                case "time": stop.drained()
                default: stop.end(StopTests.refusal(event[0]), draining: event.count > 1 ? Int(event[1]) : nil)
                }
            #expect("\(step)" == sides[1].joined(), "\(text)", sourceLocation: line)
        }
        #expect(stop.reason?.outcome == reason.map { StopTests.refusal($0).outcome }, sourceLocation: line)
    }

    private static func refusal(_ word: String) -> Refusal {
        switch word {
        case "cancelled": .cancelled
        case "deadline": .deadline
        default: .draining
        }
    }

    @Test func `a request that nobody ends goes on`() {
        play(
            """
            piece → nothing
            time → nothing
            """, leaves: nil)
    }

    @Test func `what ends a request cancels what runs`() {
        play("deadline → cancel", leaves: "deadline")
    }

    @Test func `the first reason counts`() {
        play(
            """
            deadline → cancel
            cancelled → nothing
            cancelled 8 → nothing
            """, leaves: "deadline")
    }

    @Test func `an answer that is billed anyway is read on, so many pieces more`() {
        play(
            """
            cancelled 3 → drain
            piece → nothing
            piece → nothing
            piece → cancel
            piece → nothing
            """, leaves: "cancelled")
    }

    @Test func `bounds of one piece, or none, end with the next piece`() {
        play(
            """
            cancelled 1 → drain
            piece → cancel
            """, leaves: "cancelled")
        play(
            """
            cancelled 0 → drain
            piece → cancel
            """, leaves: "cancelled")
    }

    @Test func `the time for reading on ends it, once`() {
        play(
            """
            cancelled 100 → drain
            piece → nothing
            time → cancel
            time → nothing
            piece → nothing
            """, leaves: "cancelled")
    }

    @Test func `a further reason ends the reading, and the first one stays`() {
        play(
            """
            cancelled 100 → drain
            deadline → cancel
            time → nothing
            """, leaves: "cancelled")
    }

    @Test func `a further cancellation does not begin the reading anew`() {
        play(
            """
            cancelled 100 → drain
            cancelled 100 → cancel
            piece → nothing
            """, leaves: "cancelled")
    }
}
