// Whom a target serves, where it does not serve everybody.
import Core

/// One condition of a target. Of several of one kind one must hold; of several kinds each.
public enum TargetCondition: Sendable, Equatable {
    /// A team, as `org/team`.
    case team(String)
    /// What the request says it is for.
    case feature(String)
    /// The request's class.
    case priority(PriorityClass)

    /// As it is written behind a target.
    public var text: String {
        switch self {
        case .team(let name): "team \(name)"
        case .feature(let name): "feature \(name)"
        case .priority(let priority): "priority \(priority)"
        }
    }
}

extension RouteTarget {
    /// The most conditions of one target.
    public static let conditionLimit = 16

    /// True when a request of this team (`org/team`), feature and class may go here.
    public func serves(team: String, feature: String, priority: PriorityClass) -> Bool {
        var (teams, features, priorities) = (Wanted.none, Wanted.none, Wanted.none)
        for condition in conditions {
            switch condition {
            case .team(let name): teams.note(name == team)
            case .feature(let name): features.note(name == feature)
            case .priority(let wanted): priorities.note(wanted == priority)
            }
        }
        return teams != .missed && features != .missed && priorities != .missed
    }

    private enum Wanted {
        case none, missed, met

        mutating func note(_ isMet: Bool) { if self != .met { self = isMet ? .met : .missed } }
    }
}
