// Reads the files of a TLS context, and what an operator should know of them.
import CLinux
import COpenSSL
import Core
import Glibc

extension TLSContext {
    /// A fresh engine with everything that the rules name.
    static func load(_ rules: Rules, _ role: String) throws(TLSFailure) -> Files {
        ERR_clear_error()
        let kind: OpaquePointer?
        switch rules.side {
        case .server: unsafe kind = TLS_server_method()
        case .client: unsafe kind = TLS_client_method()
        }
        guard let engine = unsafe SSL_CTX_new(kind) else { throw .latest("TLS context") }
        do {
            return try unsafe fill(engine, rules, role)
        } catch {
            unsafe SSL_CTX_free(engine)
            throw error
        }
    }

    private static func fill(
        _ engine: OpaquePointer, _ rules: Rules, _ role: String
    ) throws(TLSFailure) -> Files {
        unsafe cssl_frugal(engine)
        _ = rules.onlyTLS13 ? unsafe cssl_only_tls13(engine) : unsafe cssl_at_least_tls12(engine)
        var lifetimes: [CertificateLifetime] = []
        var warnings: [String] = []
        func own(_ certificate: String, _ key: String) throws(TLSFailure) {
            try unsafe present(certificate, key, in: engine)
            lifetimes.append(CertificateLifetime(role, certificate, unsafe cssl_own_expiry(engine)))
            if let warning = complaint(aboutKey: key) { warnings.append(warning) }
        }
        func trust(_ path: String) throws(TLSFailure) {
            guard unsafe SSL_CTX_load_verify_locations(engine, path, nil) == 1 else { throw .latest("CA file \(path)") }
            lifetimes.append(CertificateLifetime("ca", path, unsafe cssl_trust_expiry(engine)))
        }
        switch rules.side {
        case .server(let certificate, let key, let clientCA, let clients):
            try own(certificate, key)
            guard clients != .off else { break }
            guard let clientCA else { throw TLSFailure("client certificates need a CA file to be verified against") }
            try trust(clientCA)
            let mode = clients == .required ? SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT : SSL_VERIFY_PEER
            unsafe SSL_CTX_set_verify(engine, mode, nil)
        case .client(let trusted, let certificate, let key):
            if let certificate, let key { try own(certificate, key) }
            unsafe SSL_CTX_set_verify(engine, SSL_VERIFY_PEER, nil)
            switch trusted {
            case .file(let path): try trust(path)
            case .system: unsafe SSL_CTX_set_default_verify_paths(engine)
            }
        }
        if let crl = rules.crl { lifetimes.append(try unsafe revoke(crl, in: engine)) }
        return unsafe Files(engine: engine, lifetimes: lifetimes, warnings: warnings)
    }

    private static func present(
        _ certificate: String, _ key: String, in engine: OpaquePointer
    ) throws(TLSFailure) {
        guard unsafe SSL_CTX_use_certificate_chain_file(engine, certificate) == 1 else {
            throw .latest("certificate \(certificate)")
        }
        guard unsafe SSL_CTX_use_PrivateKey_file(engine, key, SSL_FILETYPE_PEM) == 1 else {
            throw .latest("private key \(key)")
        }
        guard unsafe SSL_CTX_check_private_key(engine) == 1 else {
            throw .latest("private key \(key) does not belong to \(certificate)")
        }
    }

    /// A list that does not fit the authority, or is out of date, would refuse every peer: it is refused itself.
    private static func revoke(_ path: String, in engine: OpaquePointer) throws(TLSFailure) -> CertificateLifetime {
        var next: Int64 = -1
        // Safe: the number is a local variable.
        guard unsafe cssl_add_crls(engine, path, &next) == 1 else {
            throw .latest("list of revoked certificates \(path)")
        }
        if unsafe SSL_CTX_get0_certificate(engine) != nil {
            let error = unsafe cssl_verify_own(engine)
            guard cssl_is_about_crl(error) == 0 else {
                throw TLSFailure("list of revoked certificates \(path): \(TLSFailure.reason(error))")
            }
        }
        return CertificateLifetime("crl", path, next, notice: CertificateLifetime.listNotice)
    }

    private static func complaint(aboutKey path: String) -> String? {
        var facts = stat()
        // Safe: the kernel fills a local struct.
        guard unsafe stat(path, &facts) == 0, facts.st_mode & 0o077 != 0 else { return nil }
        let mode = String(facts.st_mode & 0o777, radix: 8)
        return "the private key \(path) can be read by others than its owner (mode \(mode)): chmod 600"
    }
}

extension TLSFailure {
    /// OpenSSL's words for a verification error.
    static func reason(_ error: Int32) -> String {
        // Safe: a static text that is copied immediately.
        unsafe X509_verify_cert_error_string(Int(error)).map { unsafe String(cString: $0) } ?? "unknown reason"
    }
}
