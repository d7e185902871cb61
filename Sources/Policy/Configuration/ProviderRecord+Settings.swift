// The settings of [provider NAME].
import Core

extension ProviderRecord {
    private static let shortest = Duration.milliseconds(1)
    private static let longest = Duration.seconds(600)

    static let schema = SectionSchema(
        "provider", form: "[provider NAME]", initial: ProviderRecord(name: ""),
        heading: { name, record throws(ValueProblem) in record.name = try PlainText.name(name) },
        access + requests + capacity + times, rules: check)

    private static let access: [Setting<ProviderRecord>] = [
        Setting(
            "kind", \.kind, .word, .needed, by: .node,
            "the protocol it speaks: OpenAI's, and servers compatible with it"),
        Setting(
            "base-url", \.baseURL, .text("URL"), .needed, by: .node,
            "such as `https://api.openai.com/v1`; a query, such as Azure's `?api-version=…`, is sent with each request"),
        Setting(
            "allow-plain-http", \.allowsPlainHTTP, .flag, by: [.node, .coordinator],
            "lets `base-url` begin with `http://`"),
        Setting(
            "api-key", optional: \.apiKey, .secret, by: [.node, .coordinator],
            "sent as `Authorization: Bearer`; each node reads it on its own host, a coordinator for `probe`"),
        Setting(
            "ca", optional: \.ca, .path, .words("the system's"), by: [.node, .coordinator],
            "verifies the provider against this CA alone"),
    ]

    private static let requests: [Setting<ProviderRecord>] = [
        Setting(
            "limit-field", \.usesLegacyLimitField, .either("max_tokens", or: "max_completion_tokens"), by: .node,
            "how the output limit is called; most compatible servers want `max_tokens`"),
        Setting(
            "stream-options", \.streamOptions, .word, level: 1, by: .node,
            "what a stream asks for: usage without padding, usage, or nothing"),
        Setting(
            "developer-role", \.developerRole, .word, level: 1, by: .node,
            "the role of the developer's instructions; most compatible servers know `system` alone"),
        Setting(
            "user-field", \.userField, .word, level: 1, by: .node,
            "the member in which the end user's id travels; older servers know `user`"),
        Setting(
            "passthrough", \.passthrough, .members, level: 1, by: .node,
            "members that clients whose key has the right may add: [providers.md](providers.md#request)"),
        Setting(
            "on-cancel", \.drain, .drain, by: .node,
            "whether an answer that its client cancelled is read on, and how far: [routing.md](routing.md)"),
    ]

    private static let capacity: [Setting<ProviderRecord>] = [
        Setting(
            "max-connections", \.maximumConnections, .number(1...65_535), .shown, by: .node,
            "connections of one lane; more requests wait within their time limit"),
        Setting(
            "max-concurrency", optional: \.mostCalls, .number(1...65_535), .words("`max-connections`"), by: .node,
            "calls of one lane under way, at most `max-connections`; further requests wait in the fair queue"),
        Setting(
            "min-concurrency", optional: \.leastCalls, .number(1...65_535), .words("`max-concurrency`"), by: .node,
            "below `max-concurrency`, the limit moves between the two with the provider's health"),
        Setting(
            "capacity", optional: \.capacity, .number(1...1_000_000), by: [.node, .coordinator],
            "calls of all nodes together, which the coordinator splits by demand each second: [fairness.md](fairness.md)"
        ),
        Setting(
            "breaker", \.hasBreaker, .flag, by: .node,
            "`no`: requests are sent whatever the provider does ([routing.md](routing.md))"),
        Setting(
            "probe", \.probe, .probe, by: .coordinator,
            "how often a coordinator asks whether it works: [routing.md](routing.md#health)"),
        Setting(
            "probe-budget", optional: \.probeBudget, .probeBudget, .words("twice what `probe` takes"), by: .coordinator,
            "the most probes in any hour; at least what `probe` takes"),
    ]

    private static let times: [Setting<ProviderRecord>] = [
        Setting(
            "connect-timeout", \.connectTimeout, .duration(shortest, to: .seconds(60)), .shown, by: .node,
            "to connect, TLS included"),
        Setting(
            "first-event-timeout", \.firstEventTimeout, .duration(shortest, to: longest), .shown, by: .node,
            "from the request to the first event of the answer"),
        Setting(
            "idle-timeout", \.idleTimeout, .duration(shortest, to: longest), .shown, by: .node, "between two events"),
    ]

    @Sendable private static func check(_ record: inout ProviderRecord, _ reader: inout SectionReader) {
        record.checkAddress(&reader)
        let most = record.mostCalls ?? record.maximumConnections
        if most > record.maximumConnections {
            reader.report(
                "max-concurrency is more than max-connections (\(record.maximumConnections)): each call has a connection",
                at: "max-concurrency")
        } else if let least = record.leastCalls, least > most {
            reader.report("min-concurrency is more than max-concurrency (\(most))", at: "min-concurrency")
        }
        record.checkProbe(&reader)
    }

    private func checkAddress(_ reader: inout SectionReader) {
        guard !baseURL.isEmpty else { return }
        if !baseURL.hasPrefix("https://"), !(baseURL.hasPrefix("http://") && allowsPlainHTTP) {
            reader.report(
                "base-url must begin with https:// (or http:// together with allow-plain-http = yes)", at: "base-url")
        } else if BaseURL(baseURL) == nil {
            reader.report(
                "expected a URL such as https://api.openai.com/v1, without a user or a fragment, found '\(baseURL)'",
                at: "base-url")
        }
        if ca != nil, baseURL.hasPrefix("http://") { reader.report("a CA has no meaning for http://", at: "ca") }
    }

    private func checkProbe(_ reader: inout SectionReader) {
        guard let probe else {
            guard reader.has("probe-budget") else { return }
            return reader.report("'probe-budget' has a meaning together with 'probe' only", at: "probe-budget")
        }
        let usual = ProbeSetting.count(every: probe.interval)
        guard let budget = probeBudget, budget < usual else { return }
        reader.report(
            "'probe' takes \(usual) probes an hour, more than this budget; give it a longer time or raise this",
            at: "probe-budget")
    }

    /// The budget of the probe where it is not the usual one.
    private var probeBudget: Int? {
        get { probe.flatMap { $0.hasOwnBudget ? $0.budget : nil } }
        set { probe = probe.map { ProbeSetting($0.call, every: $0.interval, budget: newValue) } }
    }
}

extension ValueForm where Value == PassthroughMembers {
    /// Names of members, with commas.
    static var members: ValueForm {
        ValueForm(
            words: "names with commas, at most \(PassthroughMembers.limit)", read: PassthroughMembers.parse,
            write: \.text)
    }
}

extension ValueForm where Value == DrainBounds? {
    /// `abort`, or `drain 1000 tokens 10s`.
    static var drain: ValueForm {
        ValueForm(
            words: "`abort` or `drain N tokens TIME`, to 1000000 and `10m`", read: DrainBounds.parse,
            write: { $0.map { "drain \($0.tokens) tokens \(ConfigurationValue.words($0.time))" } ?? "abort" })
    }
}

extension DrainBounds {
    fileprivate static func parse(_ text: String) throws(ValueProblem) -> DrainBounds? {
        if text == "abort" { return nil }
        let words = text.split(separator: " ").map(String.init)
        guard words.count == 4, words[0] == "drain", words[2] == "tokens" else {
            throw ValueProblem("expected 'abort' or a text such as 'drain 1000 tokens 10s', found '\(text)'")
        }
        return DrainBounds(
            tokens: try ConfigurationValue.integer(words[1], in: 1...1_000_000),
            time: try ConfigurationValue.duration(words[3], in: .milliseconds(1) ... .seconds(600)))
    }
}
