// A system call that failed, said in words.
import CLinux
import Glibc

/// A system call that failed: which one, on what, and why.
public struct SystemFailure: Error, CustomStringConvertible, Sendable, Equatable {
    /// The call's name.
    public let call: String
    /// What it was called on, such as an address or a path; may be empty.
    public let subject: String
    /// The error number.
    public let code: Int32

    /// A failure of `call` on `subject` with an error number.
    public init(call: String, subject: String = "", code: Int32) {
        self.call = call
        self.subject = subject
        self.code = code
    }

    /// For example `bind 127.0.0.1:7443: Address already in use`.
    public var description: String {
        // Safe: strerror returns a static or thread-local text that is copied at once.
        let reason = unsafe String(cString: strerror(code))
        return subject.isEmpty ? "\(call): \(reason)" : "\(call) \(subject): \(reason)"
    }
}
