// What a provider's server may be sent: switches for servers that refuse members they do not know.

/// What a request for a stream says of it in `stream_options`.
public enum StreamOptions: String, Sendable, CaseIterable {
    /// Usage at its end, and no padding.
    case full
    /// Usage at its end.
    case usage
    /// Nothing: the member is left out, and what comes is counted.
    case none
}

/// The member in which the end user's id travels.
public enum UserField: String, Sendable, CaseIterable {
    /// OpenAI's present one.
    case safetyIdentifier = "safety_identifier"
    /// The one before, which most compatible servers know.
    case user
    /// The id is left out.
    case none
}

/// The role in which instructions of the developer reach the model.
public enum DeveloperRole: String, Sendable, CaseIterable {
    /// OpenAI's, which its reasoning models want.
    case developer
    /// The one before, for servers that know no other.
    case system
}
