// A request's body in the books of its key and org.
import Core
import Net
import Policy
import Wire

extension Exchange {
    /// More of the body came.
    func append(body bytes: RawSpan, isComplete: Bool) {
        body.append(bytes, isComplete: isComplete)
        if isComplete { latch.open() }
    }

    /// Counts so many bytes for the key and org.
    func holdBody(_ bytes: Int, for caller: Caller) throws(Refusal) {
        guard bytes > 0 else { return }
        let record = caller.grant.record
        if let holder = gateway.occupancy.hold(bytes, key: record.id, org: record.org) {
            gateway.metrics.tenantRefused(holder, "body_bytes")
            throw .bodyBytes(holder)
        }
        body.hold(bytes)
    }

    /// The body will not be rendered again.
    func releaseBody() {
        let held = body.release()
        guard held > 0, let record = grant?.record else { return }
        gateway.occupancy.release(held, key: record.id, org: record.org)
    }
}
