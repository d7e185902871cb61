// What a lane keeps of answers that can be continued at the moment of a scrape.
import Telemetry

/// Counts of resumable answers, for the metrics page.
struct ResumeReading: MetricSet {
    private var continued: Counter
    private var refused: Counter
    private var expired: Counter
    private var givenUp: Counter
    private var open: Int
    private var away: Int
    private var memory: Int

    init(_ resumptions: Resumptions) {
        continued = resumptions.continued
        refused = resumptions.refused
        expired = resumptions.expired
        givenUp = resumptions.givenUp
        open = resumptions.count
        away = resumptions.away
        memory = resumptions.memory
    }

    static let rows: [MetricRow<ResumeReading>] = [
        .one("sluice_resumes_total", "Answers continued on another connection.", \.continued),
        .one("sluice_resumes_refused_total", "RESUMEs that named nothing to continue.", \.refused),
        .one("sluice_resumes_expired_total", "Answers whose client did not come back in time.", \.expired),
        .one("sluice_resumes_given_up_total", "Answers not kept for want of memory.", \.givenUp),
        .level("sluice_resumable_answers", "Answers that can be continued.", \.open),
        .level("sluice_resumable_away", "Resumable answers with no client attached.", \.away),
        .level("sluice_resume_kept_bytes", "Memory of kept answers.", \.memory),
    ]
}
