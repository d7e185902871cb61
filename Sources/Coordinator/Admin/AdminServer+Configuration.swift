// The admin interface's part about the configuration: apply, history, texts of versions, rollback.
import Core
import HTTP
import Net
import Policy

extension AdminServer {
    func apply(_ asked: AdminRequest) {
        guard let change = change(asked.body, asked.channel) else { return }
        coordinator.apply(change) { [self] in tell($0, asked.channel) }
    }

    func rollBack(_ asked: AdminRequest) {
        guard let number = Int64(asked.parameters[0]) else {
            return problem(asked.channel, 404, "there is no version '\(asked.parameters[0])'")
        }
        guard let change = change(asked.body, asked.channel) else { return }
        coordinator.rollBack(to: number, change) { [self] in tell($0, asked.channel) }
    }

    /// What a request says of a change; nil, with an answer, when it cannot be.
    func change(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) -> ConfigurationChange? {
        if body.isEmpty { return AdminServer.change }
        guard let value = parsed(body, channel) else { return nil }
        return change(value, channel)
    }

    private static let change = ConfigurationChange(who: "admin interface", reason: "")

    /// The same of a body that was read.
    func change(_ value: JSONValue, _ channel: Channel<HTTPServerConnection>) -> ConfigurationChange? {
        var change = AdminServer.change
        if let given = value["confirm_routes"] {
            guard let count = given.integer, (0...1_000_000).contains(count) else {
                problem(channel, 400, "confirm_routes is a number of routes")
                return nil
            }
            change.confirmedRoutes = Int(count)
        }
        let texts = [("who", ConfigurationHistory.whoLimit), ("reason", ConfigurationHistory.reasonLimit)]
        for (member, limit) in texts {
            guard let given = value[member] else { continue }
            guard let text = given.text, text.utf8.count <= limit, !text.hasControls else {
                problem(channel, 400, "\(member) is a text without control characters, at most \(limit) bytes")
                return nil
            }
            if member == "who" { change.who = text } else { change.reason = text }
        }
        return change
    }

    private func tell(_ outcome: ConfigurationOutcome, _ channel: Channel<HTTPServerConnection>) {
        switch outcome {
        case .refused(let problems):
            reply(channel, 422, .object([.init("problems", .array(problems.map { .string($0) }))]))
        case .published(let version, let warning):
            var members: [JSONValue.Member] = [
                .init("epoch", .integer(coordinator.epoch)), .init("sequence", .integer(coordinator.sequence)),
                .init("version", version.map { .integer($0) } ?? .null),
                .init("coordinator", .string(coordinator.own.name)),
            ]
            if let warning { members.append(.init("warning", .string(warning))) }
            reply(channel, 200, .object(members))
        }
    }

    func history(_ channel: Channel<HTTPServerConnection>) {
        guard let history = coordinator.versions.history else {
            return problem(channel, 503, coordinator.versions.problem ?? "the versions were not read yet")
        }
        reply(channel, 200, .object([.init("versions", .array(history.versions.map(\.json)))]))
    }

    /// The texts of at most two versions, `3` or `3,5`.
    func texts(_ list: String, _ channel: Channel<HTTPServerConnection>) {
        let numbers = list.split(separator: ",", omittingEmptySubsequences: false).map { Int64($0) ?? 0 }
        guard (1...2).contains(numbers.count), let history = coordinator.versions.history else {
            return problem(channel, 404, "expected one number of a version, or two with a comma")
        }
        for number in numbers where history.version(number) == nil {
            return problem(channel, 404, "there is no version \(number)")
        }
        coordinator.versions.texts(of: numbers) { [self] texts in
            guard let texts, !texts.contains(nil) else {
                return problem(channel, 503, "Redis cannot be reached, or lost a text")
            }
            let values = zip(numbers, texts).map { number, text -> JSONValue in
                .object([
                    .init("number", .integer(number)),
                    .init("text", .string(String(decoding: text?.file ?? [], as: UTF8.self))),
                    .init("prices", .string(String(decoding: text?.prices ?? [], as: UTF8.self))),
                ])
            }
            reply(channel, 200, .object([.init("versions", .array(values))]))
        }
    }
}
