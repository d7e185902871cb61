// How long a certificate is still good, and what an operator hears when that is not long.
import Core

/// Until when a file of certificates, or of revoked ones, is good.
public struct CertificateLifetime: Sendable, Hashable {
    /// What the file is for: the role of a context whose own certificate it is, `ca`, or `crl`.
    public let role: String
    /// The file.
    public let file: String
    /// Seconds since 1970: of a chain the first end, of authorities the last, of lists of revoked certificates the first update that is due.
    public let expiresAtSeconds: Int64
    /// How long before its end an operator is warned.
    public let notice: Duration

    /// A certificate is renewed by people, perhaps after a holiday.
    public static let certificateNotice = Duration.seconds(14 * 86_400)
    /// A list is renewed by a timer, often each week or each day.
    public static let listNotice = Duration.seconds(6 * 3_600)

    init(
        _ role: String, _ file: String, _ expiresAtSeconds: Int64,
        notice: Duration = CertificateLifetime.certificateNotice
    ) {
        self.role = role
        self.file = file
        // A list need not say when the next one comes; it is good for ever then.
        self.expiresAtSeconds = expiresAtSeconds < 0 ? .max : expiresAtSeconds
        self.notice = notice
    }

    /// What to tell an operator at `now`, in seconds since 1970; nil while there is enough time.
    public func warning(at now: Int64) -> String? {
        guard expiresAtSeconds != .max, expiresAtSeconds - now < notice.components.seconds else { return nil }
        let name: String
        switch role {
        case "ca": name = "the CA"
        case "crl": name = "the list of revoked certificates"
        default: name = "the certificate of \(role)"
        }
        let left = expiresAtSeconds - now
        let span = CertificateLifetime.span(abs(left))
        return "\(name), \(file), \(left < 0 ? "expired \(span) ago" : "expires in \(span)")"
    }

    private static func span(_ seconds: Int64) -> String {
        if seconds >= 2 * 86_400 { return "\(seconds / 86_400) days" }
        return seconds >= 7_200 ? "\(seconds / 3_600) hours" : "\(seconds / 60) minutes"
    }
}
