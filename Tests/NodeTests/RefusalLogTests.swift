// Which refusals of a key are logged, and that none is lost from the count.
import Testing

@testable import Node

@Suite struct RefusalLogTests {
    @Test func `all at first, then one in a hundred, and the rest is counted`() {
        var log = RefusalLog()
        var logged = 0
        for _ in 0..<1_050 where log.logs("INVALID_REQUEST") { logged += 1 }
        #expect(logged == 100 + 9)
        for _ in 0..<3 {
            let isLogged = log.logs("FORBIDDEN")
            #expect(isLogged)
        }
        var told: [String] = []
        log.end { told.append("\($0) \($1) \($2)") }
        #expect(told == ["INVALID_REQUEST 1050 109"], "outcomes of which each refusal has its line are not told again")
        #expect(log.isEmpty)
        let isLogged = log.logs("INVALID_REQUEST")
        #expect(isLogged, "a new minute begins with full lines")
    }

    @Test func `a flood has a bounded number of lines, however fast it is`() {
        var log = RefusalLog()
        var logged = 0
        for _ in 0..<1_000_000 where log.logs("UNKNOWN_MODEL") { logged += 1 }
        // 100 in full, then each 100th below 10,000, each 1,000th below 100,000, each 10,000th below a million, and the millionth.
        #expect(logged == 100 + 98 + 90 + 90 + 1)
    }
}
