// What a small HTTP service answers, as a table: one row for each method and path, and a sentence for people.

/// One row: a method, a pattern of paths, what it does, and what it is for.
public struct HTTPRoute<Action> {
    /// `GET` or `POST`. A `GET` answers HEAD, too.
    public let method: String
    /// Segments of a path; `{name}` stands for one segment that is not empty: `/v1/keys/{id}/revoke`.
    public let pattern: String
    /// One line for people; the documents have the same one.
    public let text: String
    /// What is to be done.
    public let action: Action
    private let segments: [Substring]

    /// A row.
    public init(_ method: String, _ pattern: String, _ text: String, _ action: Action) {
        (self.method, self.pattern, self.text, self.action) = (method, pattern, text, action)
        segments = pattern.split(separator: "/", omittingEmptySubsequences: false)
    }

    /// What stands in the places of `{…}`, in their order; nil when the path is another one.
    func match(_ path: [Substring]) -> [String]? {
        guard path.count == segments.count else { return nil }
        var parameters: [String] = []
        for (segment, wanted) in zip(path, segments) {
            if wanted.hasPrefix("{"), !segment.isEmpty {
                parameters.append(String(segment))
            } else if segment != wanted {
                return nil
            }
        }
        return parameters
    }
}

extension HTTPRoute: Sendable where Action: Sendable {}

/// All rows of a service. The first row that fits answers.
public struct HTTPRouteTable<Action> {
    /// The rows in their order.
    public let routes: [HTTPRoute<Action>]

    /// A table of these rows.
    public init(_ routes: [HTTPRoute<Action>]) { self.routes = routes }

    /// What a request was found to ask for.
    public enum Found {
        /// A row, and what stands in the places of its `{…}`.
        case route(HTTPRoute<Action>, [String])
        /// The path is there, with these methods only.
        case otherMethods([String])
        /// No row has the path.
        case nothing
    }

    /// The row for a method and a path without its query.
    public func find(_ method: String, _ path: String) -> Found {
        let segments = path.split(separator: "/", omittingEmptySubsequences: false)
        let wanted = method == "HEAD" ? "GET" : method
        var others: [String] = []
        for route in routes {
            guard let parameters = route.match(segments) else { continue }
            if route.method == wanted { return .route(route, parameters) }
            others.append(route.method)
        }
        return others.isEmpty ? .nothing : .otherMethods(others)
    }
}

extension HTTPRouteTable: Sendable where Action: Sendable {}
