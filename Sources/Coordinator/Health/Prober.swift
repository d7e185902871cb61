// Asks providers whether they work, while this coordinator leads: one probe of each at a time, within its budget.
import Core
import Net
import Policy
import Providers

/// Makes the probes. Confined to the coordinator's lane.
final class Prober {
    private let lane: Lane
    private let source: ConfigurationSource
    private var chance = Chance(seed: Host.randomSeed())
    private var providers: [String: Provider] = [:]
    /// Called with what a probe came to.
    var onResult: (ProviderRecord, ProbeSetting, ProbeCall.Outcome) -> Void = { _, _, _ in }
    /// Called with what an operator should know.
    var onProblem: (String) -> Void = { _ in }

    /// A provider that is probed.
    private final class Provider {
        let record: ProviderRecord
        let setting: ProbeSetting
        var pace: ProbePace
        var target: UpstreamTarget?
        var call: ProbeCall?
        /// Why it cannot be asked.
        var problem: String?

        init(_ record: ProviderRecord, _ setting: ProbeSetting, _ pace: ProbePace) {
            (self.record, self.setting, self.pace) = (record, setting, pace)
        }
    }

    init(lane: Lane, source: ConfigurationSource) {
        self.lane = lane
        self.source = source
    }

    /// Why providers cannot be asked, one line each.
    var problems: [String] { providers.sorted { $0.key < $1.key }.compactMap(\.value.problem) }

    /// Looks after exactly these providers: begins the probes that are due.
    func look(after records: [String: ProviderRecord]) {
        var before: [String: ProbePace] = [:]
        for (name, provider) in providers where records[name] != provider.record {
            before[name] = provider.pace
            forget(name, provider)
        }
        for (name, record) in records {
            guard let setting = record.probe else { continue }
            let provider =
                providers[name]
                ?? Provider(
                    record, setting, ProbePace(setting, after: before[name], at: lane.now, &chance))
            providers[name] = provider
            if provider.pace.isDue(at: lane.now) { probe(provider) }
        }
    }

    /// Another coordinator leads: nobody is asked any more. What was spent stays spent.
    func rest() {
        for provider in providers.values { provider.call?.cancel() }
    }

    private func forget(_ name: String, _ provider: Provider) {
        providers[name] = nil
        provider.call?.cancel()
        provider.target?.close()
    }

    private func probe(_ provider: Provider) {
        guard let target = target(of: provider) else {
            provider.pace.skip(at: lane.now)
            return
        }
        provider.pace.begin(at: lane.now, &chance)
        let call = ProbeCall(target, provider.setting) { [self, unowned provider] outcome in
            provider.call = nil
            provider.pace.ended(outcome.result, at: lane.now)
            // A key that is refused may have been replaced meanwhile: it is read again.
            if outcome.result != .up { retire(provider) }
            guard providers[provider.record.name] === provider else { return }
            onResult(provider.record, provider.setting, outcome)
        }
        provider.call = call
        call.start()
    }

    private func retire(_ provider: Provider) {
        provider.target?.close()
        provider.target = nil
    }

    private func target(of provider: Provider) -> UpstreamTarget? {
        if let target = provider.target { return target }
        var record = provider.record
        var key: Secret?
        if let reference = record.apiKey {
            do throws(SecretProblem) {
                key = try source.secret(reference)
            } catch {
                complain(
                    provider,
                    "provider \(record.name) is not probed: its API key at \(reference) cannot be read here: \(error)")
                return nil
            }
        }
        record.ca = record.ca.map(source.resolve)
        do throws(TargetProblem) {
            provider.target = try UpstreamTarget(lane: lane, record: record, apiKey: key)
            provider.problem = nil
        } catch {
            complain(provider, "not probed: \(error.description)")
        }
        return provider.target
    }

    private func complain(_ provider: Provider, _ text: String) {
        if provider.problem != text { onProblem(text) }
        provider.problem = text
    }
}
