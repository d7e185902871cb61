// Budgets that come near their end are told before they end: to the log, the metrics and the client.
import Core
import Policy
import Telemetry
import Wire

extension Pipeline {
    /// Looks at what a reservation left of the budgets.
    static func watchBudgets(_ exchange: Exchange, _ held: Held, _ call: ReserveCall, _ grant: QuotaGrant) {
        guard held.caller.grant.hasBudget else { return }
        let (standing, warnings) = exchange.gateway.budgets.look(at: grant, of: call.limits, for: call.tenant)
        exchange.session.tell(standing)
        for warning in warnings { warn(exchange, call.tenant, warning) }
    }

    /// A budget refused a request: nothing of it is left.
    static func watchBudgets(_ exchange: Exchange, _ call: ReserveCall, _ denial: QuotaDenial) {
        guard denial.limit.unit == .microUSD else { return }
        let (_, warning) = exchange.gateway.budgets.look(
            at: denial.limit, remaining: 0, for: call.tenant, at: denial.atMicroseconds)
        exchange.session.tell(.over)
        if let warning { warn(exchange, call.tenant, warning) }
    }

    private static func warn(_ exchange: Exchange, _ tenant: Tenant, _ warning: BudgetWarning) {
        let gateway = exchange.gateway
        let limit = warning.limit
        gateway.metrics.warned(tenant.org, "\(limit.scope)", percent: warning.percent)
        gateway.note(
            .warning, "budget_warning",
            "\(tenant.words(for: limit.scope)): \(warning.percent) % of \(limit.text) is used: \(MicroUSD(warning.used))"
        )
    }
}
