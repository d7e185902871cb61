// What a lane keeps of answers that can be continued at the moment of a scrape.
import Telemetry

/// Counts of resumable answers, for the metrics page.
struct ResumeReading: Sendable {
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

    mutating func merge(_ other: ResumeReading) {
        continued.merge(other.continued)
        refused.merge(other.refused)
        expired.merge(other.expired)
        givenUp.merge(other.givenUp)
        open += other.open
        away += other.away
        memory += other.memory
    }

    func write(onto page: inout MetricsPage) {
        page.add("sluice_resumes_total", help: "Answers continued on another connection.", continued)
        page.add("sluice_resumes_refused_total", help: "RESUMEs that named nothing to continue.", refused)
        page.add("sluice_resumes_expired_total", help: "Answers whose client did not come back in time.", expired)
        page.add("sluice_resumes_given_up_total", help: "Answers not kept for want of memory.", givenUp)
        page.gauge("sluice_resumable_answers", help: "Answers that can be continued.", value: .signed(Int64(open)))
        page.gauge("sluice_resumable_away", help: "Those that no connection has.", value: .signed(Int64(away)))
        page.gauge("sluice_resume_kept_bytes", help: "Memory of kept answers.", value: .signed(Int64(memory)))
    }
}
