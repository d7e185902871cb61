// Real sockets and real TLS: bytes arrive intact, strangers are refused, back-pressure holds, ends are orderly.
import Core
import Foundation
import Net
import TestSupport
import Testing

@Suite(.serialized) struct ConnectionTests {
    /// Starts an echo server; returns its address and, through `onServer`, what each accepted peer proved.
    func echo(
        _ lane: Lane, tls: TLSContext?, onServer: @escaping (Channel<EchoMachine>) -> Void = { _ in }
    ) throws -> Listener<EchoMachine> {
        try Listener(
            lane: lane, address: .ipv4(0x7F00_0001, port: 0), tls: tls, machine: { _ in EchoMachine() },
            onAccept: { channel in
                channel.onEvent = { channel, _ in channel.wake() }
                onServer(channel)
            })
    }

    /// Connects, sends `payload`, and returns what came back once as much arrived, or why it ended.
    func exchange(
        _ lane: Lane, _ address: SocketAddress, tls: TLSContext?, serverName: String = "localhost", payload: [UInt8]
    ) async -> Result<[UInt8], ConnectFailure> {
        await on(lane) { done in
            Connector.connect(
                on: lane, to: .host("127.0.0.1", port: address.port), tls: tls, serverName: serverName,
                machine: { _ in CollectMachine() }
            ) { (result: Result<Channel<CollectMachine>, ConnectFailure>) in
                switch result {
                case .failure(let failure): done(.failure(failure))
                case .success(let channel):
                    channel.onEvent = { channel, count in
                        guard count == payload.count else { return }
                        done(.success(channel.machine.collected))
                        channel.onClose = nil
                        channel.close()
                    }
                    channel.onClose = { _, reason in done(.failure(.refused(reason))) }
                    channel.machine.toSend.append(payload)
                    channel.wake()
                }
            }
        }
    }

    @Test(arguments: [1, 200, 16_384, 300_000, 5_000_000], [false, true])
    func `everything sent comes back intact`(size: Int, encrypted: Bool) async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 2, name: "test")
        let listener = try echo(lanes[0], tls: encrypted ? authority.server() : nil)
        var chance = UInt64(size)
        let payload = (0..<size).map { _ in
            chance = chance &* 6_364_136_223_846_793_005 &+ 1
            return UInt8(truncatingIfNeeded: chance >> 33)
        }
        let result = try await exchange(
            lanes[1], listener.address, tls: encrypted ? authority.client() : nil, payload: payload)
        #expect(try result.get() == payload)
        for lane in lanes { lane.stop() }
        for lane in lanes { lane.join() }
    }

    @Test func `a server name that the certificate does not hold is refused`() async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 1, name: "test")
        let listener = try echo(lanes[0], tls: authority.server())
        let result = try await exchange(
            lanes[0], listener.address, tls: authority.client(), serverName: "elsewhere.example", payload: [1])
        #expect("\(result)".contains("hostname mismatch"))
        lanes[0].stop()
    }

    @Test(arguments: ["", ".example", "localhost\0.example"])
    func `a name that would switch the check of names off is refused`(name: String) async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 1, name: "test")
        let listener = try echo(lanes[0], tls: authority.server())
        let result = try await exchange(
            lanes[0], listener.address, tls: authority.client(), serverName: name, payload: [1])
        #expect("\(result)".contains("must name the server"))
        lanes[0].stop()
    }

    @Test(arguments: [("a.all.example", true), ("a.b.all.example", false), ("foo.part.example", false)])
    func `a wildcard stands for one whole label`(name: String, isGood: Bool) async throws {
        let authority = try TestAuthority()
        try authority.issue("server", names: "DNS:*.all.example,DNS:f*.part.example")
        let lanes = try Lane.start(count: 1, name: "test")
        let listener = try echo(lanes[0], tls: authority.server())
        let result = try await exchange(
            lanes[0], listener.address, tls: authority.client(), serverName: name, payload: [1])
        #expect(((try? result.get()) == [1]) == isGood)
        lanes[0].stop()
    }

    @Test func `a certificate of several roles has none`() async throws {
        let authority = try TestAuthority()
        try authority.issue("client", names: "URI:spiffe://sluice/node/7,URI:spiffe://sluice/coordinator")
        let lanes = try Lane.start(count: 1, name: "test")
        nonisolated(unsafe) var seen: [PeerIdentity] = []
        let listener = try echo(lanes[0], tls: authority.server(clients: .required)) { seen.append($0.peer) }
        let answer = try await exchange(
            lanes[0], listener.address, tls: authority.client(withCertificate: true), payload: [1])
        #expect(try answer.get() == [1])
        #expect(seen.map(\.uri) == [nil])
        #expect(seen.map(\.isVerified) == [true])
        lanes[0].stop()
    }

    @Test func `a peer without our protocol is refused`() async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 1, name: "test")
        let listener = try echo(lanes[0], tls: authority.server())
        let result = try await exchange(
            lanes[0], listener.address, tls: authority.client(protocols: ["h2"]), payload: [1])
        guard case .failure = result else {
            Issue.record("a stranger's protocol was accepted")
            return
        }
        #expect(await on(lanes[0]) { $0(listener.counts.handshakeFailures) } == 1)
        lanes[0].stop()
    }

    @Test func `a required client certificate is asked for, verified and read`() async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 1, name: "test")
        nonisolated(unsafe) var seen: [PeerIdentity] = []
        let listener = try echo(lanes[0], tls: authority.server(clients: .required)) { seen.append($0.peer) }
        let without = try await exchange(lanes[0], listener.address, tls: authority.client(), payload: [1])
        guard case .failure = without else {
            Issue.record("a client without a certificate was accepted")
            return
        }
        let with = try await exchange(
            lanes[0], listener.address, tls: authority.client(withCertificate: true), payload: [1, 2])
        #expect(try with.get() == [1, 2])
        #expect(seen.map(\.uri) == ["spiffe://sluice/node/7"])
        #expect(seen.map(\.isVerified) == [true])
        lanes[0].stop()
    }

    @Test func `new connections use a reloaded certificate`() async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 1, name: "test")
        let context = try authority.server()
        let listener = try echo(lanes[0], tls: context)
        try authority.issue("server", names: "DNS:renamed.example")
        let before = try await exchange(lanes[0], listener.address, tls: authority.client(), payload: [1])
        #expect(try before.get() == [1])
        try context.reload()
        let after = try await exchange(
            lanes[0], listener.address, tls: authority.client(), serverName: "renamed.example", payload: [1])
        #expect(try after.get() == [1])
        try Data("broken".utf8).write(to: URL(fileURLWithPath: authority.path("server.pem")))
        #expect(throws: TLSFailure.self) { try context.reload() }
        let still = try await exchange(
            lanes[0], listener.address, tls: authority.client(), serverName: "renamed.example", payload: [1])
        #expect(try still.get() == [1])
        lanes[0].stop()
    }

    @Test func `a refused connection and a silent one are told apart`() async throws {
        let lanes = try Lane.start(count: 1, name: "test")
        let closed = try echo(lanes[0], tls: nil)
        let address = closed.address
        _ = await on(lanes[0]) { done in
            closed.close()
            done(true)
        }
        let refused = await exchange(lanes[0], address, tls: nil, payload: [1])
        #expect("\(refused)".contains("Connection refused"))
        let unresolved: Result<Channel<CollectMachine>, ConnectFailure> = await on(lanes[0]) { done in
            Connector.connect(
                on: lanes[0], to: .host("no-such-host.invalid", port: 1), tls: nil, timeout: .seconds(5),
                machine: { _ in CollectMachine() }, then: done)
        }
        guard case .failure(.unresolved) = unresolved else {
            Issue.record("expected no address, got \(unresolved)")
            return
        }
        lanes[0].stop()
    }

    @Test func `a reader that stops reading stops the sender and loses nothing`() async throws {
        let authority = try TestAuthority()
        let lanes = try Lane.start(count: 2, name: "test")
        nonisolated(unsafe) var server: Channel<EchoMachine>?
        let listener = try echo(lanes[0], tls: authority.server()) { server = $0 }
        let total = 30_000_000
        let tls = try authority.client()
        let client: OnLane<Channel<CollectMachine>> = await on(lanes[1]) { done in
            Connector.connect(
                on: lanes[1], to: .host("localhost", port: listener.address.port), tls: tls,
                machine: { _ in CollectMachine() }
            ) { (result: Result<Channel<CollectMachine>, ConnectFailure>) in
                guard case .success(let channel) = result else {
                    Issue.record("no connection: \(result)")
                    return
                }
                channel.pauseReading()
                channel.machine.toSend.append([UInt8](repeating: 7, count: total))
                channel.wake()
                done(OnLane(channel))
            }
        }
        let held = try await atRest("the sender waits") {
            await on(lanes[0]) { done in
                done((server?.transport.outputBacklog ?? 0) + (server?.machine.pending.count ?? 0))
            }
        }
        #expect(held < 4 << 20)
        let got: Int = await on(lanes[1]) { done in
            client.value.onEvent = { channel, count in if count == total { done(count) } }
            client.value.resumeReading()
        }
        #expect(got == total)
        for lane in lanes { lane.stop() }
    }
}
