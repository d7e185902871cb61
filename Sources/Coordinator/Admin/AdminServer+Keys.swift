// The admin interface's part about keys: create, change, rotate, revoke, list, show.
import Core
import HTTP
import Net
import Policy
import Store

extension AdminServer {
    func listKeys(_ asked: AdminRequest) {
        let all = coordinator.allKeys.values.sorted { $0.id < $1.id }.map { json($0) }
        reply(asked.channel, 200, .object([.init("keys", .array(all))]))
    }

    func showKey(_ asked: AdminRequest) {
        let id = asked.parameters[0]
        guard let record = coordinator.allKeys[id] else { return fail(asked.channel, .unknown, id) }
        reply(asked.channel, 200, json(record))
    }

    private var seconds: Int64 { coordinator.lane.wallClockMicroseconds / 1_000_000 }

    /// The body as JSON; nil, with an answer, when it is something else.
    func parsed(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) -> JSONValue? {
        if let value = try? JSONValue.parse(body, limits: JSONLimits(depth: 4)) { return value }
        problem(channel, 400, "the body is not JSON")
        return nil
    }

    private func problems(_ list: [String], _ channel: Channel<HTTPServerConnection>) {
        reply(channel, 422, .object([.init("problems", .array(list.map { .string($0) }))]))
    }

    /// What is wrong with a key as the cluster is now.
    private func problems(of record: KeyRecord) -> [String] {
        var cluster = coordinator.configuration.published
        cluster.keys = coordinator.allKeys
        var list = cluster.problems(of: record)
        if record.models.isEmpty { list.append("models: a key that names no route may do nothing; '*' for all") }
        if record.operations.isEmpty { list.append("operations: a key without any may do nothing; '*' for all") }
        return list
    }

    func create(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = parsed(body, channel) else { return }
        var draft = KeyDraft(value, nowSeconds: seconds)
        var record = KeyRecord(id: "draft")
        record.operations = KeyOperation.allCases
        draft.apply(to: &record)
        let wantsSecret = draft.wantsSecret ?? (record.identity == nil)
        var list = draft.problems
        if !wantsSecret, record.identity == nil { list.append("a key without a secret needs an identity") }
        if list.isEmpty { list = problems(of: record) }
        guard list.isEmpty else { return problems(list, channel) }
        coordinator.keys.create(record, withSecret: wantsSecret) { [self] result in
            switch result {
            case .success(let made): shown(made, 201, channel)
            case .failure(let failure): fail(channel, failure, record.id)
            }
        }
    }

    /// A key with its text, once. Answered when the change is published, so that whoever reads the answer may use it.
    private func shown(_ made: KeyRing.Made, _ status: Int, _ channel: Channel<HTTPServerConnection>) {
        coordinator.whenPublished { [self] in
            var members: [JSONValue.Member] = [.init("id", .string(made.record.id))]
            if let text = made.text { members.append(.init("key", .string(text))) }
            reply(channel, status, .object(members + [.init("record", json(made.record))]))
        }
    }

    func change(_ id: String, _ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = parsed(body, channel), isKept(id, channel) else { return }
        guard let known = coordinator.keys.records[id] else { return fail(channel, .unknown, id) }
        var draft = KeyDraft(value, nowSeconds: seconds)
        var trial = known
        draft.apply(to: &trial)
        var list = draft.problems
        if draft.wantsSecret != nil { list.append("secret: a secret is changed with rotate") }
        if trial.secrets.isEmpty, trial.identity == nil { list.append("a key without a secret needs an identity") }
        if list.isEmpty { list = problems(of: trial) }
        guard list.isEmpty else { return problems(list, channel) }
        let checked = draft
        coordinator.keys.change(id) { record in
            var draft = checked
            draft.apply(to: &record)
        } then: { [self] result in
            switch result {
            case .success(let record): shown((record, nil), 200, channel)
            case .failure(let failure): fail(channel, failure, id)
            }
        }
    }

    /// The longest time in which an old secret stays valid beside a new one: 90 days.
    private static let longestOverlap: Int64 = 90 * 86_400

    func rotate(_ id: String, _ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard isKept(id, channel) else { return }
        var overlap: Int64 = 86_400
        if !body.isEmpty {
            guard let value = parsed(body, channel) else { return }
            if let given = value["overlap_seconds"] {
                guard let seconds = given.integer, (0...AdminServer.longestOverlap).contains(seconds) else {
                    let text = "overlap_seconds: expected a number from 0 to \(AdminServer.longestOverlap)"
                    return problems([text], channel)
                }
                overlap = seconds
            }
        }
        coordinator.keys.rotate(id, overlap: overlap) { [self] result in
            switch result {
            case .success(let made): shown(made, 200, channel)
            case .failure(let failure): fail(channel, failure, id)
            }
        }
    }

    func revoke(_ id: String, _ channel: Channel<HTTPServerConnection>) {
        guard isKept(id, channel) else { return }
        coordinator.keys.revoke(id) { [self] result in
            switch result {
            case .success(let isStored):
                var members: [JSONValue.Member] = [
                    .init("id", .string(id)), .init("revoked", .bool(true)), .init("stored", .bool(isStored)),
                ]
                // Answered when it is known whether the disk has it: an operator must know where the key would come back.
                coordinator.keys.file.whenSettled { [self] in
                    let problem = coordinator.keys.file.problem
                    members.append(.init("saved", .bool(problem == nil)))
                    var warnings = problem.map { ["the key is revoked on every node; \($0)"] } ?? []
                    if !isStored {
                        warnings.append(
                            "the key is revoked on every node; Redis will hear of it when it can be reached")
                    }
                    if !warnings.isEmpty {
                        members.append(.init("warning", .string(warnings.joined(separator: "; "))))
                    }
                    reply(channel, 200, .object(members))
                }
            case .failure(let failure): fail(channel, failure, id)
            }
        }
    }

    /// False, with an answer, when the key stands in the file: what people wrote is changed there.
    private func isKept(_ id: String, _ channel: Channel<HTTPServerConnection>) -> Bool {
        guard coordinator.configuration.published.keys[id] != nil else { return true }
        problem(channel, 409, "the key '\(id)' stands in the configuration file: change it there, then sluice apply")
        return false
    }

    private func fail(_ channel: Channel<HTTPServerConnection>, _ failure: KeyRing.Failure, _ id: String) {
        switch failure {
        case .unknown: problem(channel, 404, "there is no key '\(id)'")
        case .revoked: problem(channel, 409, "the key '\(id)' is revoked, and stays so; create another")
        case .conflict: problem(channel, 409, "the key was changed at the same time; try again")
        case .full: problem(channel, 409, "there are as many keys as this coordinator takes")
        case .store(.tooLarge):
            problem(channel, 422, "the record has more than \(KeyDirectory.recordLimit) bytes")
        case .store: problem(channel, 503, "Redis did not answer; look at the key before you try again")
        }
    }

    /// A key without its secrets, and without their hashes.
    private func json(_ record: KeyRecord) -> JSONValue {
        var members: [JSONValue.Member] = [.init("id", .string(record.id))]
        for right in KeyRecord.Right.allCases {
            let values = record.values(of: right).map { JSONValue.string($0) }
            let value: JSONValue = right.isList ? .array(values) : values.first ?? .null
            members.append(.init(KeyDraft.member(right), value))
        }
        let now = seconds
        let state: String
        switch record.refusal(atSeconds: now) {
        case nil: state = "valid"
        case .expired: state = "expired"
        default: state = "revoked"
        }
        let secrets = record.secrets.map { secret -> JSONValue in
            .object([
                .init("valid_until", secret.validUntilSeconds.map { .integer($0) } ?? .null),
                .init("valid", .bool(secret.isValid(atSeconds: now))),
            ])
        }
        return .object(
            members + [
                .init("expires", record.expiresAtSeconds.map { .integer($0) } ?? .null),
                .init("revoked", .bool(record.isRevoked)), .init("state", .string(state)),
                .init("secrets", .array(secrets)),
                .init("in_file", .bool(coordinator.configuration.published.keys[record.id] != nil)),
            ])
    }
}
