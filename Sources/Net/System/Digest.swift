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

    /// HMAC-SHA-256 (RFC 2104): 32 bytes.
    public static func hmacSHA256(key: [UInt8], _ bytes: [UInt8]) -> [UInt8] {
        var result = [UInt8](repeating: 0, count: 32)
        var length: UInt32 = 32
        // Safe: the result has room for the 32 bytes that SHA-256 makes.
        _ = unsafe HMAC(EVP_sha256(), key, Int32(clamping: key.count), bytes, bytes.count, &result, &length)
        return result
    }

    /// Equality that takes the same time wherever the first difference is.
    public static func constantTimeEquals(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        // Safe: both arrays have `count` bytes.
        return unsafe CRYPTO_memcmp(left, right, left.count) == 0
    }
}
