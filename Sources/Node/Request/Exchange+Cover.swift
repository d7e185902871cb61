// A reservation that must come to cover more before the next thing is sent: a failed attempt that may be billed, or several answers.
import Core
import Net
import Policy

extension Exchange {
    /// More quota is asked for, so that the reservation covers an earlier attempt and the next one.
    func coverBegins() { (isCovering, isCovered) = (true, false) }

    /// What was asked for is there, or is not, perhaps for this limit.
    func coverDecided(_ isCovered: Bool, _ denial: QuotaDenial? = nil) {
        (isCovering, self.isCovered, coverDenial) = (false, isCovered, denial)
        latch.open()
    }

    /// It is reserved for all of its answers.
    func coversAll(_ whole: QuotaUse) { (estimate, reservedChoices) = (whole, choices) }

    /// Waits for `coverDecided`; false when there is no room, or nobody knows.
    func covered() async -> Bool {
        while isCovering, stopReason == nil { await latch.wait() }
        return isCovered && stopReason == nil
    }
}
