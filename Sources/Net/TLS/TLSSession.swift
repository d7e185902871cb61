// One TLS connection's engine: ciphertext in and out through the lane's flat memory, plaintext through byte buffers.
import COpenSSL
import Core
import Glibc

/// What a peer proved about itself during the handshake.
public struct PeerIdentity: Sendable, Equatable {
    /// Where it connects from, or where we connected to.
    public let address: SocketAddress
    /// The URI subject alternative name of its verified certificate, such as `spiffe://sluice/node/1`; nil when it has none, several, or one
    /// of more than 256 bytes: a certificate is of one role.
    public internal(set) var uri: String?
    /// True when a certificate was presented and verified.
    public internal(set) var isVerified = false
}

/// One TLS engine. Confined to the lane whose `Ciphertext` it was given.
@safe final class TLSSession {
    enum Progress: Equatable {
        case needsInput
        case established
        case ended
        case failed(TLSFailure)
    }

    // Safe: freed once, in deinit; the context outlives it because it is retained here.
    private let engine: OpaquePointer
    private let context: TLSContext
    private var keepsBuffers = false

    /// An engine of the context's role; a client verifies that the certificate names `serverName`.
    init(context: TLSContext, ciphertext: Ciphertext, serverName: String?) throws(TLSFailure) {
        guard let engine = unsafe context.makeSession(), let method = unsafe TLSContext.method else {
            throw .latest("TLS session")
        }
        unsafe self.engine = engine
        self.context = context
        guard unsafe cssl_attach(engine, method, ciphertext.flat) == 1 else { throw .latest("TLS session") }
        switch context.rules.side {
        case .server: unsafe SSL_set_accept_state(engine)
        case .client:
            unsafe SSL_set_connect_state(engine)
            try expect(serverName ?? "")
        }
    }

    /// Lets the handshake fail unless the certificate is of `name`. OpenSSL takes an empty name for "any", what stands before a NUL for the
    /// whole, and a leading dot for all names below: none of these is a name.
    private func expect(_ name: String) throws(TLSFailure) {
        guard !name.isEmpty, !name.hasPrefix("."), !name.utf8.contains(0) else {
            throw TLSFailure("a TLS client must name the server that it expects, found '\(name)'")
        }
        if SocketAddress.numeric(name, port: 0) != nil {
            guard unsafe X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(engine), name) == 1 else {
                throw .latest("'\(name)' as the server's address")
            }
            return
        }
        unsafe SSL_set_hostflags(engine, cssl_only_whole_wildcards())
        guard unsafe cssl_set_server_name(engine, name) == 1, unsafe SSL_set1_host(engine, name) == 1 else {
            throw .latest("'\(name)' as the server's name")
        }
    }

    deinit { unsafe SSL_free(engine) }

    /// An engine call that fails is judged by the thread's queue of errors, which must hold nothing older. Mostly it is empty.
    private func forgetErrors() { if ERR_peek_error() != 0 { ERR_clear_error() } }

    /// Goes on with the handshake.
    func handshake() -> Progress {
        forgetErrors()
        let result = unsafe SSL_do_handshake(engine)
        if result == 1 { return isProtocolAgreed ? .established : .failed(noProtocol) }
        return unsafe progress(SSL_get_error(engine, result), "TLS handshake")
    }

    private var noProtocol: TLSFailure {
        TLSFailure("the peer does not speak \(context.protocols.joined(separator: " or "))")
    }

    /// True when the peer selected one of the protocols that it was offered, or none where one may be assumed.
    private var isProtocolAgreed: Bool {
        guard !context.protocols.isEmpty else { return true }
        var name: UnsafePointer<UInt8>?
        var length: UInt32 = 0
        // Safe: the engine owns the name, which is copied before the engine is used again.
        unsafe SSL_get0_alpn_selected(engine, &name, &length)
        let selected = unsafe UnsafeBufferPointer(start: name, count: Int(length))
        guard length > 0 else { return context.assumesProtocol }
        return context.protocols.contains { unsafe $0.utf8.elementsEqual(selected) }
    }

    /// Decrypts all that the flat memory holds into `input`.
    func read(into input: inout ByteBuffer) -> Progress {
        forgetErrors()
        while true {
            var result: Int32 = 0
            // Safe: the engine writes only into the room that was lent.
            _ = unsafe input.withUnsafeWritableBytes(minimum: 16 * 1024) { room in
                unsafe result = SSL_read(engine, room.baseAddress, Int32(clamping: room.count))
                return max(0, Int(result))
            }
            if result <= 0 { return unsafe progress(SSL_get_error(engine, result), "TLS read") }
        }
    }

    /// Encrypts all that waits in `output`.
    func write(from output: inout ByteBuffer) -> Progress {
        forgetErrors()
        while output.count > 0 {
            // Safe: the engine reads only the waiting bytes.
            let result = unsafe output.withUnsafeReadableBytes { bytes in
                unsafe SSL_write(engine, bytes.baseAddress, Int32(clamping: bytes.count))
            }
            guard result > 0 else { return unsafe progress(SSL_get_error(engine, result), "TLS write") }
            output.consume(Int(result))
        }
        return .established
    }

    /// Whether the record buffers stay between records, or are given back after each one, which costs a busy connection more than it saves.
    func keepBuffers(_ isKept: Bool) {
        guard isKept != keepsBuffers else { return }
        keepsBuffers = isKept
        unsafe cssl_keep_buffers(engine, isKept ? 1 : 0)
    }

    /// Queues a close notification.
    func sayGoodbye() {
        ERR_clear_error()
        unsafe SSL_shutdown(engine)
    }

    /// What the peer's certificate says.
    func fill(_ identity: inout PeerIdentity) {
        guard let certificate = unsafe cssl_peer_certificate(engine) else { return }
        defer { unsafe X509_free(certificate) }
        identity.isVerified = unsafe SSL_get_verify_result(engine) == Int(X509_V_OK)
        var name = [CChar](repeating: 0, count: 256)
        // Safe: at most 256 bytes are written, and the length is returned.
        let length = unsafe cssl_uri_name(certificate, &name, 256)
        if length > 0 {
            identity.uri = String(decoding: name[..<Int(length)].map { UInt8(bitPattern: $0) }, as: UTF8.self)
        }
    }

    /// Why the context's files, as they are now, would refuse the peer; nil when they would not.
    var peerRefusal: TLSFailure? { unsafe context.refusal(ofPeerOf: engine) }

    private func progress(_ code: Int32, _ doing: String) -> Progress {
        switch code {
        case SSL_ERROR_WANT_READ, SSL_ERROR_WANT_WRITE: return .needsInput
        case SSL_ERROR_ZERO_RETURN: return .ended
        default:
            let verification = unsafe SSL_get_verify_result(engine)
            guard verification != Int(X509_V_OK) else { return .failed(.latest(doing)) }
            ERR_clear_error()
            return .failed(
                TLSFailure("\(doing): certificate refused: \(TLSFailure.reason(Int32(clamping: verification)))"))
        }
    }
}
