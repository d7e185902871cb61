// A node's end of the subscription, in the test's own process: real TLS, real frames, and a memory of what came when.
import Client
import Core
import Foundation
import Net
import Policy
import Wire

/// Subscribes and remembers.
final class ListeningNode: @unchecked Sendable {
    struct News: Sendable {
        let at: Instant
        let isWhole: Bool
        let epoch: UInt64
        let sequence: UInt64
        let names: Set<String>
        let removed: Set<String>
        /// Bodies of records by kind and name.
        let bodies: [String: String]
    }

    private let lock = NSLock()
    private var heard: [News] = []
    private var beats: [News] = []
    private var records: [String: String] = [:]
    private var states: [(isConnected: Bool, text: String)] = []
    private let lane: Lane
    private var link: CoordinatorLink?
    let number: UInt32

    /// Everything that came so far.
    var news: [News] { lock.withLock { heard } }
    /// Every heartbeat so far; they are no news.
    var heartbeats: [News] { lock.withLock { beats } }
    /// The records as the node would have them now, by kind and name.
    var bodies: [String: String] { lock.withLock { records } }
    var isConnected: Bool { lock.withLock { states.last?.isConnected ?? false } }
    var lastText: String { lock.withLock { states.last?.text ?? "" } }

    init(
        _ coordinator: TestCoordinator, number: UInt32 = 1, highestEpoch: UInt64 = 0, certificate: String = "node",
        level: UInt16 = 1
    ) throws {
        self.number = number
        lane = try Lane.start(count: 1, name: "listening")[0]
        let tls = try TLSContext.client(
            trust: .file(coordinator.path("state/pki/ca.pem")),
            certificate: coordinator.path("state/pki/\(certificate).pem"),
            key: coordinator.path("state/pki/\(certificate).key"), protocols: ["sluice/1"])
        let ports = [coordinator.listen] + [coordinator.second?.listen].compactMap(\.self)
        let endpoints = ports.map { Endpoint.host("127.0.0.1", port: $0) }
        let link = CoordinatorLink(
            lane: lane, endpoints: endpoints, tls: tls, serverName: nil,
            subscribe: {
                Subscribe(
                    node: number, incarnation: UInt64(number), highestEpoch: highestEpoch, name: "node-\(number)",
                    address: "127.0.0.1:75\(number)", adminAddress: "127.0.0.1:76\(number)", programVersion: "t",
                    level: level)
            },
            onSnapshot: { [self] snapshot in
                remember(true, snapshot.epoch, snapshot.sequence, snapshot.records, [])
            },
            onUpdate: { [self] update in
                remember(false, update.epoch, update.sequence, update.changed, update.removed)
            },
            onState: { [self] isConnected, text in lock.withLock { states.append((isConnected, text)) } })
        self.link = link
        nonisolated(unsafe) let start = link
        lane.execute { start.start() }
    }

    private func remember(
        _ isWhole: Bool, _ epoch: UInt64, _ sequence: UInt64, _ records: [SnapshotRecord], _ gone: [Update.Removal]
    ) {
        let news = News(
            at: Host.monotonicNow(), isWhole: isWhole, epoch: epoch, sequence: sequence,
            names: Set(records.map { "\($0.kind) \($0.name)" }), removed: Set(gone.map { "\($0.kind) \($0.name)" }),
            bodies: Dictionary(
                records.map { ("\($0.kind) \($0.name)", String(decoding: $0.body, as: UTF8.self)) }
            ) { $1 })
        lock.withLock {
            if !isWhole, news.names.isEmpty, news.removed.isEmpty { return beats.append(news) }
            heard.append(news)
            if isWhole { self.records = [:] }
            for name in news.removed { self.records[name] = nil }
            for record in records {
                self.records["\(record.kind) \(record.name)"] = String(decoding: record.body, as: UTF8.self)
            }
        }
    }

    func report(_ report: Report) {
        nonisolated(unsafe) let link = link
        lane.execute { link?.report(report) }
    }

    func stop() {
        nonisolated(unsafe) let link = link
        lane.execute { [lane] in
            link?.stop()
            lane.schedule(after: .milliseconds(20)) { lane.stop() }
        }
        lane.join()
    }

    /// Routes in a piece of news.
    static func routes(_ news: News?) -> Int { news?.names.filter { $0.hasPrefix("1 ") }.count ?? -1 }
}
