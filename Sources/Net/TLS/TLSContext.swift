// Certificates and rules for TLS connections, of servers and of clients; reloadable for new connections.
import COpenSSL
import Core
import Glibc

/// Why a TLS context cannot be made, or a handshake failed; never carries key material.
public struct TLSFailure: Error, CustomStringConvertible, Sendable, Equatable {
    /// One sentence for a person.
    public let description: String

    /// A failure in words.
    public init(_ description: String) { self.description = description }

    /// The newest error that OpenSSL queued on this thread, behind `doing`.
    static func latest(_ doing: String) -> TLSFailure {
        let code = ERR_peek_last_error()
        ERR_clear_error()
        guard code != 0 else { return TLSFailure(doing) }
        var text = [CChar](repeating: 0, count: 256)
        // Safe: the text has room for 256 bytes and the call ends it with zero.
        unsafe ERR_error_string_n(code, &text, 256)
        let reason = String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return TLSFailure("\(doing): \(reason.split(separator: ":").last.map(String.init) ?? reason)")
    }
}

/// Whether a server asks its clients for a certificate.
public enum ClientCertificates: String, Sendable {
    /// Not asked for.
    case off
    /// Verified when given.
    case optional
    /// No connection without one.
    case required
}

/// Certificates and rules from which TLS sessions are made. Safe to share between lanes; `reload` affects new sessions only.
@safe public final class TLSContext: @unchecked Sendable {
    /// Whom a client trusts.
    public enum Trust: Sendable, Equatable {
        /// Certificates in a PEM file.
        case file(String)
        /// What the operating system trusts.
        case system
    }

    enum Side: Sendable {
        case server(certificate: String, key: String, clientCA: String?, clients: ClientCertificates)
        case client(trust: Trust, certificate: String?, key: String?)
    }

    struct Rules: Sendable {
        let side: Side
        /// Lists of revoked certificates (PEM), of the authorities that peers' certificates come from.
        let crl: String?
        let onlyTLS13: Bool
    }

    /// What was read at the last load.
    @safe struct Files {
        // Safe: reference-counted by OpenSSL; owned by the context, replaced under its lock only.
        let engine: OpaquePointer
        let lifetimes: [CertificateLifetime]
        /// What an operator should repair though it works.
        let warnings: [String]
    }

    /// What it is for, as metrics and log lines call it.
    public let role: String
    let rules: Rules
    /// Application protocols, most wanted first (RFC 7301); empty for none.
    public let protocols: [String]
    /// True when a peer that selects no protocol is taken to speak the first of `protocols`; one that selects another is always refused.
    let assumesProtocol: Bool
    private let lock = ThreadLock()
    private var current: Files
    // Safe: the wire form that the ALPN callback reads lives as long as this object.
    private let wireProtocols: UnsafeMutableBufferPointer<UInt8>
    // Safe: made once and never changed.
    nonisolated(unsafe) static let method: OpaquePointer? = unsafe cssl_flat_method()

    /// Rules for accepting connections: TLS 1.3 only, no tickets, no early data; a client without one of `protocols` is refused. With a `crl`
    /// a client's certificate that stands on it is refused, too.
    public static func server(
        _ role: String = "server", certificate: String, key: String, clientCA: String? = nil,
        clients: ClientCertificates = .off, crl: String? = nil, protocols: [String]
    ) throws(TLSFailure) -> TLSContext {
        let side = Side.server(certificate: certificate, key: key, clientCA: clientCA, clients: clients)
        return try TLSContext(
            role, Rules(side: side, crl: clients == .off ? nil : crl, onlyTLS13: true), protocols, .shared)
    }

    /// Rules for making connections: the peer's chain and name are always verified, and with a `crl` that it was not revoked. TLS 1.3 only
    /// inside the cluster; providers may speak 1.2. With `assumesProtocol` a server without ALPN speaks the first of `protocols` (RFC 7301
    /// makes the answer optional).
    public static func client(
        _ role: String = "client", trust: Trust, certificate: String? = nil, key: String? = nil, crl: String? = nil,
        protocols: [String], allowsTLS12: Bool = false, assumesProtocol: Bool = false
    ) throws(TLSFailure) -> TLSContext {
        let side = Side.client(trust: trust, certificate: certificate, key: key)
        let rules = Rules(side: side, crl: crl, onlyTLS13: !allowsTLS12)
        return try TLSContext(role, rules, protocols, .shared, assumesProtocol: assumesProtocol)
    }

    init(
        _ role: String, _ rules: Rules, _ protocols: [String], _ registry: TLSContexts, assumesProtocol: Bool = false
    ) throws(TLSFailure) {
        self.role = role
        self.rules = rules
        self.protocols = protocols
        self.assumesProtocol = assumesProtocol
        let wire = protocols.flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8) }
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: wire.count)
        _ = unsafe room.initialize(from: wire)
        unsafe wireProtocols = room
        do {
            current = try TLSContext.load(rules, role)
        } catch {
            unsafe wireProtocols.deallocate()
            throw error
        }
        unsafe install(on: current.engine)
        registry.add(self)
    }

    deinit {
        unsafe SSL_CTX_free(current.engine)
        unsafe wireProtocols.deallocate()
    }

    /// Reads the files again; new connections use them, running ones keep theirs. The old ones stay when the new ones are bad.
    public func reload() throws(TLSFailure) {
        let fresh = try TLSContext.load(rules, role)
        unsafe install(on: fresh.engine)
        let old = lock.withLock {
            defer { current = fresh }
            return current
        }
        unsafe SSL_CTX_free(old.engine)
    }

    /// When what is in use expires: its own certificate, the authorities that it trusts by file, the list of revoked certificates.
    public var lifetimes: [CertificateLifetime] { lock.withLock { current.lifetimes } }

    /// What an operator should repair though it works.
    public var warnings: [String] { lock.withLock { current.warnings } }

    /// A new session's engine; nil when memory is short.
    func makeSession() -> OpaquePointer? { unsafe lock.withLock { unsafe SSL_new(current.engine) } }

    /// Why the files in use now would refuse the peer of a session that began with those of before; nil when they would not.
    func refusal(ofPeerOf session: OpaquePointer) -> TLSFailure? {
        let error = lock.withLock { unsafe cssl_verify_peer(current.engine, session) }
        return error == X509_V_OK ? nil : TLSFailure("certificate refused: \(TLSFailure.reason(error))")
    }

    private func install(on context: OpaquePointer) {
        guard unsafe wireProtocols.count > 0 else { return }
        if case .client = rules.side {
            unsafe SSL_CTX_set_alpn_protos(context, wireProtocols.baseAddress, UInt32(wireProtocols.count))
            return
        }
        // Safe: sessions made from the context never outlive this object, which their transport retains.
        unsafe SSL_CTX_set_alpn_select_cb(
            context,
            { _, selected, selectedLength, offered, offeredLength, argument in
                guard let argument = unsafe argument else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                let owner = unsafe Unmanaged<TLSContext>.fromOpaque(argument).takeUnretainedValue()
                var choice: UnsafeMutablePointer<UInt8>?
                let result = unsafe SSL_select_next_proto(
                    &choice, selectedLength, owner.wireProtocols.baseAddress, UInt32(owner.wireProtocols.count),
                    offered, offeredLength)
                guard result == OPENSSL_NPN_NEGOTIATED else { return SSL_TLSEXT_ERR_ALERT_FATAL }
                unsafe selected?.pointee = UnsafePointer(choice)
                return SSL_TLSEXT_ERR_OK
            }, Unmanaged.passUnretained(self).toOpaque())
    }
}
