// What a client presented and where it came from: the rights that this opens in a snapshot, now or later.
import Core
import Net
import Policy
import Wire

/// How a client proved who it is. Good for its connection, and for an answer that outlives it.
struct Credentials: Sendable {
    private enum Proof {
        /// A key's id, and the SHA-256 of the secret.
        case secret(id: String, hash: [UInt8])
        /// The URI of its certificate.
        case certificate(String)
    }

    private let proof: Proof
    private let address: SocketAddress

    /// What a snapshot says of them.
    struct Standing {
        /// The key's rights.
        var grant: KeyGrant?
        /// Which of its secrets was presented.
        var presented: KeySecret?
        /// What refuses it whatever the time.
        var refusal: KeyRefusal?

        /// The rights at a moment.
        ///
        /// - Throws: why there are none.
        func rights(atSeconds now: Int64) throws(KeyRefusal) -> KeyGrant {
            guard let grant else { throw .unknown }
            if let refusal { throw refusal }
            if let refusal = grant.record.refusal(atSeconds: now) { throw refusal }
            if let presented, !presented.isValid(atSeconds: now) { throw .secretRetired }
            return grant
        }
    }

    /// Nil when nothing was presented that can be looked up.
    init?(_ hello: Hello, _ peer: PeerIdentity) {
        guard hello.role != .node else { return nil }
        switch hello.authentication {
        case .apiKey:
            guard let key = APIKeyText(hello.apiKey) else { return nil }
            proof = .secret(id: key.id, hash: Digest.sha256(key.secret))
        case .certificate:
            guard peer.isVerified, let uri = peer.uri else { return nil }
            proof = .certificate(uri)
        }
        address = peer.address
    }

    /// How they stand. `wereAccepted`: before it was shown that the secret is the key's own, nothing is told about the key.
    func standing(in snapshot: ActiveSnapshot, wereAccepted: Bool) -> Standing {
        var standing = Standing()
        switch proof {
        case .secret(let id, let hash):
            standing.grant = snapshot.grants[id]
            guard let grant = standing.grant else { return standing }
            guard let place = grant.place(ofHash: hash) else {
                standing.refusal = !wereAccepted ? .unknown : grant.record.isRevoked ? .revoked : .secretRetired
                return standing
            }
            standing.presented = grant.record.secrets[place]
        case .certificate(let uri): standing.grant = snapshot.identities[uri]
        }
        guard let grant = standing.grant else { return standing }
        standing.refusal = grant.limits == nil ? .tenantGone : grant.record.refusal(from: address.number)
        return standing
    }
}

extension SocketAddress {
    /// The address as a network's 128 bits; nil for a Unix path.
    var number: UInt128? {
        switch self {
        case .ipv4(let address, _): Network.mapped(address)
        case .ipv6(let bytes, _): bytes.reduce(0) { $0 << 8 | UInt128($1) }
        case .unix: nil
        }
    }
}
