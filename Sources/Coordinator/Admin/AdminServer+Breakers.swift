// The admin interface's part about circuit breakers: how they stand, and an operator's orders.
import Core
import HTTP
import Net
import Policy
import Store
import Telemetry

extension AdminServer {
    private var breakers: BreakerStore { coordinator.breakers }

    /// Every target that a route names, once.
    private var targets: [(provider: String, model: String)] {
        let names = Set(coordinator.published.routes.values.flatMap(\.targets).map { [$0.provider, $0.model] })
        return names.sorted { $0.lexicographicallyPrecedes($1) }.map { ($0[0], $0[1]) }
    }

    func listBreakers(_ channel: Channel<HTTPServerConnection>) {
        read(targets[...], []) { [self] result in
            switch result {
            case .success(let all): reply(channel, 200, .object([.init("breakers", .array(all))]))
            case .failure(let error): problem(channel, 503, "Redis, which keeps the breakers: \(error)")
            }
        }
    }

    /// Reads the records of `rest`, some at a time, behind those that were read.
    private func read(
        _ rest: ArraySlice<(provider: String, model: String)>, _ before: [JSONValue],
        then: @escaping (Result<[JSONValue], StoreError>) -> Void
    ) {
        guard !rest.isEmpty else { return then(.success(before)) }
        let some = Array(rest.prefix(BreakerStore.readLimit))
        breakers.records(some) { [self] result in
            switch result {
            case .failure(let error): then(.failure(error))
            case .success((let now, let records)):
                let read = zip(some, records).map { AdminServer.json($0.provider, $0.model, $1, at: now) }
                self.read(rest.dropFirst(some.count), before + read, then: then)
            }
        }
    }

    private static func json(_ provider: String, _ model: String, _ record: BreakerRecord, at now: Int64) -> JSONValue {
        let order = record.order(at: now)
        var members: [JSONValue.Member] = [
            .init("target", .string("\(provider)/\(model)")), .init("state", .string("\(record.state)")),
            .init("share_percent", .integer(record.share(at: now))), .init("epoch", .integer(record.epoch)),
        ]
        if record.state == .open { members.append(.init("opens_in_ms", .integer(max(0, record.until - now) / 1_000))) }
        if record.state == .halfOpen { members.append(.init("good_probes", .integer(record.successes))) }
        if order != .auto {
            members.append(.init("forced", .string("\(order)")))
            members.append(.init("forced_for_s", .integer((record.orderUntil - now) / 1_000_000)))
        }
        return .object(members)
    }

    /// The longest order.
    private static let longest = BreakerModel.orderLimit / 1_000_000

    func order(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = try? JSONValue.parse(body, limits: JSONLimits(depth: 4)) else {
            return problem(channel, 400, "the body is not JSON")
        }
        let words: [String: BreakerRecord.Order] = ["open": .open, "closed": .closed, "auto": .auto]
        let name = value["target"]?.text ?? ""
        guard let target = targets.first(where: { "\($0.provider)/\($0.model)" == name }) else {
            let known = targets.map { "\($0.provider)/\($0.model)" }.joined(separator: ", ")
            return problem(channel, 422, "target: no route has '\(name)'; there are: \(known)")
        }
        guard let word = value["order"]?.text, let order = words[word] else {
            return problem(channel, 422, "order: expected open, closed or auto")
        }
        let reason = value["reason"]?.text ?? ""
        guard !reason.isEmpty, reason.utf8.count <= 200, !reason.hasControls else {
            return problem(
                channel, 422, "reason: expected 1 to 200 bytes without control characters; it is written to the log")
        }
        let seconds = value["seconds"]?.integer ?? 0
        guard order == .auto || (1...AdminServer.longest).contains(seconds) else {
            return problem(channel, 422, "seconds: expected 1 to \(AdminServer.longest); an order ends by itself")
        }
        let call = BreakerCall.order(order, microseconds: seconds * 1_000_000)
        breakers.run(call, on: target.provider, target.model, jitter: 0) { [self] result in
            switch result {
            case .success(let answer):
                let time = order == .auto ? "" : " for \(seconds) s"
                coordinator.note(.warning, "breaker_ordered", "\(name): \(word)\(time): \(reason)")
                let json = AdminServer.json(target.provider, target.model, answer.record, at: answer.atMicroseconds)
                reply(channel, 200, json)
            case .failure(let error): problem(channel, 503, "Redis, which keeps the breakers: \(error)")
            }
        }
    }
}
