// A request's body: its bytes, who pays for the room they take, and when they go.
import Core
import Net
import Policy
import Wire

extension Exchange {
    /// More of the body came.
    func append(body bytes: RawSpan, isComplete: Bool) {
        body.append(bytes)
        isBodyComplete = isComplete
        if isComplete { latch.open() }
    }

    /// Counts the body's bytes that are here, or that may come before admission, for its key and org.
    func holdFirstBody() throws(Refusal) {
        try hold(isBodyComplete ? body.count : min(Int(head.bodyLength), max(body.count, 16_384)))
    }

    /// Waits until the body is whole or the request was stopped.
    func wholeBody() async throws(Refusal) {
        if !isBodyComplete, stopReason == nil {
            try hold(Int(head.bodyLength) - heldBodyBytes)
            downstream.grantBody()
            while !isBodyComplete, stopReason == nil { await latch.wait() }
        }
        try checkGoesOn()
    }

    private func hold(_ bytes: Int) throws(Refusal) {
        guard let record = grant?.record, bytes > 0 else { return }
        if let holder = gateway.occupancy.hold(bytes, key: record.id, org: record.org) {
            gateway.metrics.tenantRefused(holder, "body_bytes")
            throw .bodyBytes(holder)
        }
        heldBodyBytes += bytes
    }

    /// The body will not be rendered again.
    func releaseBody() {
        body.removeAll()
        body.releaseIfEmpty()
        guard heldBodyBytes > 0, let record = grant?.record else { return }
        gateway.occupancy.release(heldBodyBytes, key: record.id, org: record.org)
        heldBodyBytes = 0
    }
}
