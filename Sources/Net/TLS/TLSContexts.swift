// All TLS contexts of a process: reloaded together, watched together.
import Core
import Dispatch
import Telemetry

/// What became of one context at a reload.
public struct TLSReload: Sendable, Hashable {
    /// The context's role.
    public let role: String
    /// Why it keeps what it had; nil when it has the new files.
    public let failure: String?

    /// What to log of a reload.
    public static func lines(_ outcomes: [TLSReload]) -> [(LogLevel, StaticString, String)] {
        var lines: [(LogLevel, StaticString, String)] = outcomes.compactMap { outcome in
            outcome.failure.map { (.error, "certificates_kept", "\(outcome.role) keeps what it had: \($0)") }
        }
        let fresh = outcomes.filter { $0.failure == nil }.map(\.role)
        if !fresh.isEmpty {
            let text = "new connections use the new files: \(fresh.joined(separator: ", "))"
            lines.append((.info, "certificates_reloaded", text))
        }
        let now = Host.wallClockMicroseconds() / 1_000_000
        return lines + TLSContexts.shared.warnings(at: now).map { (.warning, "certificates", $0) }
    }
}

/// Knows every context that lives, without keeping any alive: what is made, by whichever part of a program, is reloaded with the rest.
public final class TLSContexts: @unchecked Sendable {
    /// Those of the process.
    public static let shared = TLSContexts()

    private struct Entry { weak var context: TLSContext? }
    private let lock = ThreadLock()
    private var entries: [Entry] = []

    init() {}

    func add(_ context: TLSContext) {
        lock.withLock {
            entries.removeAll { $0.context == nil }
            entries.append(Entry(context: context))
        }
    }

    /// Contexts in the order in which they were made.
    var living: [TLSContext] { lock.withLock { entries.compactMap(\.context) } }

    /// Reads the files of all contexts again, on a thread of its own, and tells the lane what became of them. Contexts of one role that fare
    /// alike are told once.
    public func reload(on lane: Lane, then: @escaping @Sendable ([TLSReload]) -> Void) {
        DispatchQueue.global().async { [self] in
            let outcomes = reload()
            lane.execute { then(outcomes) }
        }
    }

    func reload() -> [TLSReload] {
        var told: Set<TLSReload> = []
        return living.compactMap { context in
            var failure: String?
            do throws(TLSFailure) { try context.reload() } catch { failure = error.description }
            let outcome = TLSReload(role: context.role, failure: failure)
            return told.insert(outcome).inserted ? outcome : nil
        }
    }

    /// When what is in use expires; of the same file for the same role the first.
    public var lifetimes: [CertificateLifetime] {
        var first: [String: CertificateLifetime] = [:]
        for lifetime in living.flatMap(\.lifetimes) {
            let name = "\(lifetime.role) \(lifetime.file)"
            guard let known = first[name], known.expiresAtSeconds <= lifetime.expiresAtSeconds else {
                first[name] = lifetime
                continue
            }
        }
        return first.values.sorted { ($0.role, $0.file) < ($1.role, $1.file) }
    }

    /// What an operator should know at `now`, in seconds since 1970: what expires soon, and keys that others can read.
    public func warnings(at now: Int64) -> [String] {
        var told: Set<String> = []
        let all = lifetimes.compactMap { $0.warning(at: now) } + living.flatMap(\.warnings)
        return all.filter { told.insert($0).inserted }
    }

    /// Hands every warning to `complain`, now and once a day.
    public func watch(on lane: Lane, _ complain: @escaping (String) -> Void) {
        for warning in warnings(at: lane.wallClockMicroseconds / 1_000_000) { complain(warning) }
        lane.schedule(after: .seconds(86_400)) { [self] in watch(on: lane, complain) }
    }

    /// Writes when what is in use expires.
    public func write(onto page: inout MetricsPage) {
        let name: MetricName = "sluice_certificate_expiry_timestamp_seconds"
        page.begin(
            name,
            help: "When a certificate, CA or list of revoked certificates in use expires, in seconds since 1970.",
            type: .gauge)
        for lifetime in lifetimes where lifetime.expiresAtSeconds != .max {
            let labels = LabelText(names: ["role", "file"], values: [lifetime.role, lifetime.file])
            page.sample(name, labels: labels, value: .signed(lifetime.expiresAtSeconds))
        }
    }
}
