// Hashes and keyed hashes, by OpenSSL.
import COpenSSL

/// Hash functions.
public enum Digest {
    /// SHA-256 (FIPS 180-4): 32 bytes.
    public static func sha256(_ bytes: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        // Safe: SHA-256 writes exactly 32 bytes.
        _ = unsafe bytes.withUnsafeBufferPointer { unsafe SHA256($0.baseAddress, $0.count, &result) }
        return result
    }

    /// Equality that takes the same time wherever the first difference is.
    public static func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        // Safe: both arrays have `count` bytes.
        return unsafe CRYPTO_memcmp(left, right, left.count) == 0
    }
}
