// A request's hold on its limits, told as a conversation: on the left what happens, on the right what has to be done.
import Core
import Policy
import Testing

@testable import Node

/// A request, and the block that it may run on: 4 requests and 1,000 output tokens, good until 100 s.
private struct Holder {
    var hold: Hold
    let block: Leases.Block
    private let call: ReserveCall

    init() throws {
        let limits = try LimitSet(version: 1, limits: [try Limit.parse("100000 output tokens / minute", scope: .team)])
        let tenant = Tenant(org: "acme", team: "search", key: "k1")
        let whole = ReserveCall(
            block: Identifier128(high: 9, low: 9), of: 4, tenant: tenant, estimate: Holder.use(1_000),
            holdMilliseconds: 60_000, limits: limits)
        let end = Instant(nanoseconds: 100_000_000_000)
        block = Leases.Block(LeaseBlock(whole, expires: end), grant: nil, at: Instant(nanoseconds: 0), ticket: nil)
        call = ReserveCall(
            id: Identifier128(high: 1, low: 2), claim: 7, tenant: tenant, estimate: Holder.use(100),
            holdMilliseconds: 60_000, limits: limits)
        hold = .asked(call)
    }

    static func use(_ output: Int64) -> QuotaUse { QuotaUse(inputTokens: 0, outputTokens: output, microUSD: 0) }

    mutating func asks() { hold = .asked(call) }
    mutating func isReserved() { hold = .reserved(call) }
    mutating func isLetInAlone() { hold = .alone(call) }
    mutating func isRefused(mayExist: Bool) { hold = .refused(call, .crowded, mayExist: mayExist) }

    mutating func getsLease() {
        let isTaken = block.book.spend(call.estimate, at: Instant(nanoseconds: 0))
        #expect(isTaken)
        hold = .onBlock(
            call, Lease(block: block, estimate: call.estimate, tenant: call.tenant, remembered: call.id))
    }

    /// What it takes that the request will use so many output tokens.
    mutating func grows(to output: Int64, atSecond second: Int64 = 1) -> String {
        switch hold.grow(to: Holder.use(output), at: Instant(nanoseconds: second * 1_000_000_000)) {
        case .done: "done, block \(block.book.left.outputTokens)"
        case .extend(let call): "extend \(call.claim) to \(call.estimate.outputTokens)"
        case .leave(let call): "reserve \(call.claim) for \(call.estimate.outputTokens)"
        case .nothing: "nothing"
        }
    }

    mutating func frees() -> String { Holder.text(hold.freeID()) }

    mutating func leaves(reservedFor output: Int64) -> String {
        Holder.text(
            hold.leftBlock(
                ReserveCall(
                    id: call.id, claim: call.claim, tenant: call.tenant, estimate: Holder.use(output),
                    holdMilliseconds: 60_000, limits: call.limits)))
    }

    mutating func ends() -> String {
        switch hold.end() {
        case .nothing: "nothing"
        case .onBlock(let lease): "on the block: \(Holder.text(lease))"
        case .inRedis(let call): "in Redis: \(call.estimate.outputTokens)"
        }
    }

    private static func text(_ lease: Lease?) -> String {
        guard let lease else { return "no lease" }
        return "\(lease.estimate.outputTokens)\(lease.remembered == nil ? "" : ", id known")"
    }
}

/// What was answered, and what should have been; a mutating call cannot stand within `#expect`.
private func expect(
    _ answer: String, _ wanted: String, _ why: Comment? = nil, _ line: SourceLocation = #_sourceLocation
) { #expect(answer == wanted, why, sourceLocation: line) }

@Suite struct HoldTests {
    @Test func `a question that nobody answered holds nothing yet`() throws {
        var request = try Holder()
        request.asks()
        #expect(request.hold.isAsked)
        expect(request.grows(to: 200), "nothing")
        #expect(request.hold.running == nil, "another Redis need not know of it")
        expect(request.ends(), "nothing")
    }

    @Test func `a decision ends the question`() throws {
        var request = try Holder()
        for decide in [
            { $0.getsLease() }, { $0.isReserved() }, { $0.isLetInAlone() }, { $0.isRefused(mayExist: false) },
        ] as [(inout Holder) -> Void] {
            request.asks()
            decide(&request)
            #expect(!request.hold.isAsked)
        }
    }

    @Test func `on a block with room a request grows there, by what is more`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 300), "done, block 700")
        expect(request.grows(to: 400), "done, block 600")
    }

    @Test func `what a request has on its block it need not take again`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 300), "done, block 700")
        expect(request.grows(to: 200), "done, block 700")
        expect(request.grows(to: 301), "done, block 699", "what it had was not forgotten")
    }

    @Test func `a block without room is left for a reservation of the whole, under the same claim`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 1_001), "reserve 7 for 1001")
        #expect(request.block.book.left.outputTokens == 900, "the block gave nothing meanwhile")
    }

    @Test func `a block whose time is over has no room`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 300, atSecond: 99), "done, block 700")
        expect(request.grows(to: 400, atSecond: 100), "reserve 7 for 400")
    }

    @Test func `a closed block has no room`() throws {
        var request = try Holder()
        request.getsLease()
        request.block.book.close()
        expect(request.grows(to: 101), "reserve 7 for 101")
    }

    @Test func `leaving a block frees the id once, and the block has back all that was taken`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 300), "done, block 700")
        expect(request.frees(), "300, id known")
        expect(request.frees(), "300", "the id is free already")
        expect(request.leaves(reservedFor: 2_000), "300")
        expect(request.grows(to: 3_000), "extend 7 to 3000")
        expect(request.ends(), "in Redis: 2000")
    }

    @Test func `who ends while it leaves is settled on its block, and the reservation is given back`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.frees(), "100, id known")
        expect(request.ends(), "on the block: 100")
        expect(request.leaves(reservedFor: 2_000), "no lease", "it is nobody's now")
        expect(request.ends(), "nothing")
    }

    @Test func `who was denied the whole stays on its block`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.grows(to: 5_000), "reserve 7 for 5000")
        expect(request.frees(), "100, id known")
        expect(request.grows(to: 200), "done, block 800")
        expect(request.ends(), "on the block: 200")
    }

    @Test func `only who is on a block can leave one`() throws {
        var request = try Holder()
        request.isReserved()
        expect(request.frees(), "no lease")
        expect(request.leaves(reservedFor: 2_000), "no lease")
        expect(request.ends(), "in Redis: 100")
    }

    @Test func `a reservation grows by extension, with all that the request will use`() throws {
        var request = try Holder()
        request.isReserved()
        expect(request.grows(to: 300), "extend 7 to 300")
        expect(request.grows(to: 400), "extend 7 to 400")
    }

    @Test func `let in alone, a request grows and is settled as if Redis knew it`() throws {
        var request = try Holder()
        request.isLetInAlone()
        expect(request.grows(to: 300), "extend 7 to 300")
        #expect(request.hold.running?.claim == 7, "another Redis is told")
        expect(request.ends(), "in Redis: 100")
    }

    @Test func `a refused request grows nowhere and says why`() throws {
        var request = try Holder()
        request.isRefused(mayExist: false)
        expect(request.grows(to: 300), "nothing")
        #expect(request.hold.refusal?.outcome == Refusal.crowded.outcome)
        #expect(request.hold.running == nil)
        expect(request.ends(), "nothing")
    }

    @Test func `a lost reply may hide the reservation of a refused request: it is given back`() throws {
        var request = try Holder()
        request.isRefused(mayExist: true)
        #expect(request.hold.running != nil)
        expect(request.ends(), "in Redis: 100")
    }

    @Test func `another Redis hears of reservations, not of leases`() throws {
        var request = try Holder()
        request.getsLease()
        #expect(request.hold.running == nil)
        request.isReserved()
        #expect(request.hold.running?.estimate.outputTokens == 100)
    }

    @Test func `each hold is settled once`() throws {
        var request = try Holder()
        request.getsLease()
        expect(request.ends(), "on the block: 100, id known")
        expect(request.ends(), "nothing")
        request.isReserved()
        expect(request.ends(), "in Redis: 100")
        expect(request.ends(), "nothing")
        expect(request.grows(to: 300), "nothing")
    }
}
