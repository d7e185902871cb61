// Frames of one stream that wait.

import Core

/// Frames that wait because credit or the socket is short. Exists only while they do.
final class FrameQueue {
    var bytes = ByteBuffer()
    /// Size of the newest frame, header included, while it may still grow; 0 when it may not.
    var openFrame = 0
    var openTag: UInt8 = 0

    /// Copies a part of what waits.
    func copy(_ range: Range<Int>, into output: inout ByteBuffer) { Self.copy(bytes, range, into: &output) }

    private static func copy(_ bytes: borrowing ByteBuffer, _ range: Range<Int>, into output: inout ByteBuffer) {
        output.append(bytes.bytes.extracting(range))
    }
}
