// What a lane bears from strangers and from peers that do not read: every limit of a listener, and the write stall.
import Core
import Net
import TestSupport
import Testing

@Suite struct ListenerLimitTests {
    /// A listener with these limits on a lane of its own, and a lane for those who call.
    struct Rig {
        let (server, caller): (Lane, Lane)
        let listener: Listener<EchoMachine>

        init(
            _ limits: ListenerLimits, tls: TLSContext? = nil,
            onAccept: @escaping (Channel<EchoMachine>) -> Void = { $0.onEvent = { channel, _ in channel.wake() } }
        ) throws {
            let lanes = try Lane.start(count: 2, name: "limits")
            (server, caller) = (lanes[0], lanes[1])
            listener = try Listener(
                lane: server, address: .ipv4(0x7F00_0001, port: 0), tls: tls, limits: limits,
                machine: { _ in EchoMachine() }, onAccept: onAccept)
        }

        /// Connects without TLS and keeps the connection: to a listener with TLS a stranger who says nothing.
        func call(reads: Bool = true) async throws -> Caller {
            let address = listener.address
            let result: Result<Channel<CollectMachine>, ConnectFailure> = await on(caller) { done in
                Connector.connect(
                    on: caller, to: .host("127.0.0.1", port: address.port), tls: nil,
                    machine: { _ in
                        var machine = CollectMachine()
                        machine.wantsInput = reads
                        return machine
                    }, then: done)
            }
            let stranger = Caller(channel: OnLane(try result.get()), lane: caller)
            await stranger.watch()
            return stranger
        }

        func counts() async -> ListenerCounts { await on(server) { $0(listener.counts) } }

        func end() {
            for lane in [server, caller] { lane.stop() }
            for lane in [server, caller] { lane.join() }
        }
    }

    /// One connection, and whether it still stands.
    final class Caller: @unchecked Sendable {
        let channel: OnLane<Channel<CollectMachine>>
        let lane: Lane
        private var hasEnded = false  // touched on the lane only

        init(channel: OnLane<Channel<CollectMachine>>, lane: Lane) {
            self.channel = channel
            self.lane = lane
        }

        func watch() async {
            await on(lane) { done in
                self.channel.value.onClose = { [self] _, _ in hasEnded = true }
                done(())
            }
        }

        func stands() async -> Bool { await on(lane) { done in done(!self.hasEnded && self.channel.value.isOpen) } }
    }

    @Test func `one connection more than allowed is closed at once, and its place is free again afterwards`()
        async throws
    {
        var limits = ListenerLimits()
        limits.connections = 2
        let rig = try Rig(limits)
        let first = try await rig.call()
        let second = try await rig.call()
        try await eventually("both are in") { await rig.counts().open == 2 }
        // It may be closed so soon that it never sees itself connected.
        if let third = try? await rig.call() {
            try await eventually("the third is closed") { await third.stands() == false }
        }
        #expect(await rig.counts().refused == 1)
        #expect(await second.stands())
        await on(rig.caller) { done in
            first.channel.value.close()
            done(())
        }
        try await eventually("a place is free") { await rig.counts().open == 1 }
        let fourth = try await rig.call()
        try await eventually("the fourth is in") { await rig.counts().open == 2 }
        #expect(await fourth.stands())
        rig.end()
    }

    @Test func `a silent stranger holds its place not for long`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        limits.firstByteTime = .milliseconds(300)
        let rig = try Rig(limits, tls: try authority.server())
        let stranger = try await rig.call()
        try await eventually("its time is over") { await rig.counts().refusals[.silent] == 1 }
        let counts = await rig.counts()
        #expect(counts.open == 0 && counts.pending == 0)
        try await eventually("it is closed") { await stranger.stands() == false }
        rig.end()
    }

    @Test func `a stranger who begins a handshake and does not go on has the handshake's time`() async throws {
        let authority = try TestAuthority()
        var limits = ListenerLimits()
        // Enough for its first byte on a machine that is busy.
        limits.handshakeTime = .seconds(4)
        limits.firstByteTime = .seconds(60)
        let rig = try Rig(limits, tls: try authority.server())
        let stranger = try await rig.call()
        await on(rig.caller) { done in
            // The head of a record of 512 bytes that never comes.
            stranger.channel.value.machine.toSend.append([0x16, 0x03, 0x01, 0x02, 0x00])
            stranger.channel.value.wake()
            done(())
        }
        try await eventually("its time is over") { await rig.counts().refusals[.handshakeTime] == 1 }
        try await eventually("it is closed") { await stranger.stands() == false }
        #expect(await rig.counts().pending == 0)
        rig.end()
    }

    @Test func `a peer that takes nothing for twenty seconds is given up`() async throws {
        nonisolated(unsafe) var reason: CloseReason?  // touched on the server's lane only
        let rig = try Rig(ListenerLimits()) { channel in
            channel.onClose = { reason = $1 }
            // More than any kernel keeps for a reader that has stopped.
            channel.machine.pending.append([UInt8](repeating: 7, count: 64 << 20))
            channel.wake()
        }
        let start = ContinuousClock.now
        let caller = try await rig.call(reads: false)
        while await on(rig.server, { $0(reason) }) == nil, ContinuousClock.now - start < .seconds(60) {
            try await Task.sleep(for: .milliseconds(100))
        }
        #expect(await on(rig.server) { $0(reason) } == .timeout("writing"))
        #expect(ContinuousClock.now - start > .seconds(19))
        #expect(await on(rig.caller) { $0(caller.channel.value.machine.collected.isEmpty) })
        rig.end()
    }
}
