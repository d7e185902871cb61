// The admin interface's part about canaries: how they stand, and an operator's orders.
import Core
import HTTP
import Net
import Policy

extension AdminServer {
    func listCanaries(_ asked: AdminRequest) {
        guard coordinator.canaries.isLoaded else {
            return problem(asked.channel, 503, "Redis cannot be reached: canaries are kept there")
        }
        reply(asked.channel, 200, .object([.init("canaries", .array(coordinator.canaries.runs.map(json)))]))
    }

    private func json(_ run: CanaryRun) -> JSONValue {
        let line = coordinator.adoption(of: run)
        return .object(run.summary + [.init("cluster_conf", line.map { .string($0) } ?? .null)])
    }

    func start(_ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = parsed(body, channel), let order = change(value, channel) else { return }
        do throws(ValueProblem) {
            let plan = try AdminServer.plan(value)
            let models = [plan.target, plan.replaced].compactMap { $0?.split(separator: "/", maxSplits: 1).last }
            for model in models where value["max_cost"] != nil {
                guard coordinator.published.prices[String(model)] != nil else {
                    throw ValueProblem(
                        "max_cost: '\(model)' has no price that is published, so cost cannot be compared")
                }
            }
            if let problem = coordinator.startCanary(plan, order) { throw ValueProblem(problem) }
            guard let run = coordinator.canaries.drawn(on: plan.route) else {
                throw ValueProblem("the configuration has no place for it")
            }
            reply(channel, 200, json(run))
        } catch {
            reply(channel, 422, .object([.init("problems", .array([.string(error.message)]))]))
        }
    }

    /// What is wanted, each part checked.
    private static func plan(_ value: JSONValue) throws(ValueProblem) -> CanaryPlan {
        guard case .object(let members) = value else { throw ValueProblem("the body is not a JSON object") }
        let known = [
            "route", "target", "replaced", "steps", "hold", "max_error_rate", "max_ttft_p95", "max_cost",
            "min_requests", "who", "reason",
        ]
        for member in members {
            guard known.contains(member.key) else {
                throw ValueProblem("unknown member '\(member.key)'; known: \(known.joined(separator: ", "))")
            }
            guard member.value.text != nil else { throw ValueProblem("\(member.key): expected a text") }
        }
        guard let route = value["route"]?.text, let target = value["target"]?.text else {
            throw ValueProblem("'route' and 'target' are needed")
        }
        return try CanaryPlan.read(route: route, target: target, replaced: value["replaced"]?.text) {
            value[$0.replacing("-", with: "_")]?.text
        }
    }

    func end(isPromoted: Bool, _ body: [UInt8], _ channel: Channel<HTTPServerConnection>) {
        guard let value = parsed(body, channel), let order = change(value, channel) else { return }
        let route = value["route"]?.text ?? ""
        guard let run = coordinator.endCanary(route, isPromoted: isPromoted, order) else {
            let known = coordinator.canaries.runs.filter(\.isDrawn).map(\.plan.route).joined(separator: ", ")
            let text = "route: '\(route)' has no canary that could be \(isPromoted ? "promoted" : "taken back")"
            return problem(channel, 422, known.isEmpty ? "\(text); there is none" : "\(text); there are: \(known)")
        }
        reply(channel, 200, json(run))
    }
}
