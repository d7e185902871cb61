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

    enum Role: Sendable {
        case server(certificate: String, key: String, clientCA: String?, clients: ClientCertificates)
        case client(trust: Trust, certificate: String?, key: String?)
    }

    let role: Role
    /// Application protocols, most wanted first (RFC 7301); empty for none.
    public let protocols: [String]
    private let minimum13: Bool
    private let lock = ThreadLock()
    // Safe: reference-counted by OpenSSL; replaced under the lock only.
    private var current: OpaquePointer
    // Safe: the wire form that the ALPN callback reads lives as long as this object.
    private let wireProtocols: UnsafeMutableBufferPointer<UInt8>
    // Safe: made once and never changed.
    nonisolated(unsafe) static let method: OpaquePointer? = unsafe cssl_flat_method()

    /// Rules for accepting connections: TLS 1.3 only, no tickets, no early data; a client without one of `protocols` is refused.
    public static func server(
        certificate: String, key: String, clientCA: String? = nil, clients: ClientCertificates = .off,
        protocols: [String]
    ) throws(TLSFailure) -> TLSContext {
        try TLSContext(
            .server(certificate: certificate, key: key, clientCA: clientCA, clients: clients), protocols, only13: true)
    }

    /// Rules for making connections: the peer's chain and name are always verified. TLS 1.3 only inside the cluster; providers may speak 1.2.
    public static func client(
        trust: Trust, certificate: String? = nil, key: String? = nil, protocols: [String], allowsTLS12: Bool = false
    ) throws(TLSFailure) -> TLSContext {
        try TLSContext(.client(trust: trust, certificate: certificate, key: key), protocols, only13: !allowsTLS12)
    }

    private init(_ role: Role, _ protocols: [String], only13: Bool) throws(TLSFailure) {
        self.role = role
        self.protocols = protocols
        minimum13 = only13
        let wire = protocols.flatMap { [UInt8(clamping: $0.utf8.count)] + Array($0.utf8) }
        let room = UnsafeMutableBufferPointer<UInt8>.allocate(capacity: wire.count)
        _ = unsafe room.initialize(from: wire)
        unsafe wireProtocols = room
        do {
            unsafe current = try TLSContext.build(role, only13: only13)
        } catch {
            unsafe wireProtocols.deallocate()
            throw error
        }
        unsafe install(on: current)
    }

    deinit {
        unsafe SSL_CTX_free(current)
        unsafe wireProtocols.deallocate()
    }

    /// Reads the files again; new connections use them, running ones keep theirs. The old ones stay when the new ones are bad.
    public func reload() throws(TLSFailure) {
        let fresh = try unsafe TLSContext.build(role, only13: minimum13)
        unsafe install(on: fresh)
        let old = unsafe lock.withLock {
            defer { unsafe current = fresh }
            return unsafe current
        }
        unsafe SSL_CTX_free(old)
    }

    /// A new session's engine; nil when memory is short.
    func makeSession() -> OpaquePointer? { unsafe lock.withLock { unsafe SSL_new(current) } }

    private static func build(_ role: Role, only13: Bool) throws(TLSFailure) -> OpaquePointer {
        ERR_clear_error()
        let kind: OpaquePointer?
        switch role {
        case .server: unsafe kind = TLS_server_method()
        case .client: unsafe kind = TLS_client_method()
        }
        guard let context = unsafe SSL_CTX_new(kind) else { throw .latest("TLS context") }
        unsafe cssl_frugal(context)
        _ = only13 ? unsafe cssl_only_tls13(context) : unsafe cssl_at_least_tls12(context)
        do {
            switch role {
            case .server(let certificate, let key, let clientCA, let clients):
                try unsafe load(certificate, key, into: context)
                try unsafe ask(clients, clientCA, of: context)
            case .client(let trust, let certificate, let key):
                if let certificate, let key { try unsafe load(certificate, key, into: context) }
                unsafe SSL_CTX_set_verify(context, SSL_VERIFY_PEER, nil)
                switch trust {
                case .file(let path): try unsafe trustFile(path, in: context)
                case .system: unsafe SSL_CTX_set_default_verify_paths(context)
                }
            }
        } catch {
            unsafe SSL_CTX_free(context)
            throw error
        }
        return unsafe context
    }

    private static func load(_ certificate: String, _ key: String, into context: OpaquePointer) throws(TLSFailure) {
        guard unsafe SSL_CTX_use_certificate_chain_file(context, certificate) == 1 else {
            throw .latest("certificate \(certificate)")
        }
        guard unsafe SSL_CTX_use_PrivateKey_file(context, key, SSL_FILETYPE_PEM) == 1 else {
            throw .latest("private key \(key)")
        }
        guard unsafe SSL_CTX_check_private_key(context) == 1 else {
            throw .latest("private key \(key) does not belong to \(certificate)")
        }
    }

    private static func ask(
        _ clients: ClientCertificates, _ clientCA: String?, of context: OpaquePointer
    ) throws(TLSFailure) {
        guard clients != .off else { return }
        guard let clientCA else { throw TLSFailure("client certificates need a CA file to be verified against") }
        try unsafe trustFile(clientCA, in: context)
        let mode = clients == .required ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER
        unsafe SSL_CTX_set_verify(context, mode, nil)
    }

    private static func trustFile(_ path: String, in context: OpaquePointer) throws(TLSFailure) {
        guard unsafe SSL_CTX_load_verify_locations(context, path, nil) == 1 else { throw .latest("CA file \(path)") }
    }

    private func install(on context: OpaquePointer) {
        guard unsafe wireProtocols.count > 0 else { return }
        if case .client = role {
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
