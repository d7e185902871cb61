// The configurations that the cluster has run, with their texts: kept in Redis by the coordinator that leads.
import Core
import Net
import Policy
import Store

/// What a configuration is made of: the file and its price list, as they were written.
struct ConfigurationText: Equatable, Sendable {
    var file: [UInt8] = []
    var prices: [UInt8] = []

    /// Names both texts.
    var digest: String { Hexadecimal.text(Digest.sha256(Digest.sha256(file) + Digest.sha256(prices))) }
}

/// The versions. Confined to its lane.
final class ConfigurationVersions {
    private let store: CoordinationStore
    /// What is known of them; nil until they were read in this term.
    private(set) var history: ConfigurationHistory?
    /// True while one is being written: another has to wait.
    private(set) var isRecording = false
    /// Why the configuration in use is no version; nil when it is one.
    private(set) var problem: String?

    /// The most bytes of a file and its price list: two of them fit in one reply of Redis.
    private static let sizeLimit = 1 << 20
    private static let field = "versions"

    init(_ redis: Redis) { store = CoordinationStore(redis) }

    /// Reads the list anew, and calls back; false when Redis cannot say.
    func load(_ then: @escaping (Bool) -> Void) {
        history = nil
        store.fetch([ConfigurationVersions.field]) { [self] result in
            switch result {
            case .success(let values):
                let kept = values.first ?? nil
                history = kept.map { ConfigurationHistory.decode($0) } ?? ConfigurationHistory()
                if history == nil { problem = "the versions in Redis cannot be read" }
                then(true)
            case .failure(let error):
                problem = "the versions cannot be read: \(error)"
                then(false)
            }
        }
    }

    /// Keeps a text as the newest version, unless it is that already; the number, or why it is none.
    func record(
        _ text: ConfigurationText, who: String, reason: String, epoch: UInt64, atSeconds: Int64,
        then: @escaping (_ number: Int64?, _ problem: String?) -> Void
    ) {
        guard var fresh = history else {
            return then(nil, problem ?? "the versions in Redis were not read yet")
        }
        let digest = text.digest
        if fresh.last?.digest == digest {
            problem = nil
            return then(fresh.last?.number, nil)
        }
        guard text.file.count + text.prices.count <= ConfigurationVersions.sizeLimit else {
            problem =
                "not kept as a version: file and price list have more than \(ConfigurationVersions.sizeLimit) bytes"
            return then(nil, problem)
        }
        let (number, dropped) = fresh.add(digest: digest, who: who, reason: reason, atSeconds: atSeconds)
        let fields = [
            (ConfigurationVersions.field, fresh.encoded), ("f\(number)", text.file), ("p\(number)", text.prices),
        ]
        isRecording = true
        store.keep(fields, removing: dropped.map { ["f\($0)", "p\($0)"] } ?? [], epoch: epoch) { [self] result in
            isRecording = false
            switch result {
            case .success(true):
                history = fresh
                problem = nil
            case .success(false): problem = "not kept as a version: another coordinator leads"
            case .failure(let error): problem = "not kept as a version: \(error); sluice apply tries again"
            }
            then(problem == nil ? number : nil, problem)
        }
    }

    /// The texts of some versions, nil for one that is not kept; an outer nil when Redis cannot say.
    func texts(of numbers: [Int64], _ then: @escaping ([ConfigurationText?]?) -> Void) {
        store.fetch(numbers.flatMap { ["f\($0)", "p\($0)"] }) { result in
            guard case .success(let values) = result else { return then(nil) }
            then(
                numbers.indices.map { place in
                    values[2 * place].map { ConfigurationText(file: $0, prices: values[2 * place + 1] ?? []) }
                })
        }
    }
}
