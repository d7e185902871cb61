// What one probe of a provider came to.

/// The result of a probe.
public enum ProbeResult: Sendable, Equatable {
    /// The provider is there and serves us; also one that has too much to do at present.
    case up
    /// It does not serve us, and why.
    case failing(String)
    /// The probe says nothing about it, and why: it has no list of models, or there was no API key to ask with.
    case unknown(String)

    /// One word.
    public var word: String {
        switch self {
        case .up: "up"
        case .failing: "failing"
        case .unknown: "unknown"
        }
    }

    /// Why it is not up.
    public var why: String {
        switch self {
        case .up: ""
        case .failing(let why), .unknown(let why): why
        }
    }
}
