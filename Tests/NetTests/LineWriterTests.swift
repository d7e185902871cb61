// Sinks that are slow, full, closed or not blocking: who writes lines never waits, and what is lost is counted.
import Core
import Foundation
import Net
import Testing

@Suite struct LineWriterTests {
    /// A pipe; both ends close with it, unless the test closed one before.
    private final class Tube {
        private(set) var reader: Int32 = -1
        private(set) var writer: Int32 = -1

        init() {
            var ends: [Int32] = [0, 0]
            Signals.ignoreBrokenPipes()
            guard pipe(&ends) == 0 else { return }
            for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
            (reader, writer) = (ends[0], ends[1])
        }

        deinit {
            closeReader()
            if writer >= 0 { close(writer) }
        }

        func closeReader() {
            if reader >= 0 { close(reader) }
            reader = -1
        }

        /// Everything until `count` bytes came.
        func read(_ count: Int) -> [UInt8] {
            var all: [UInt8] = []
            var chunk = [UInt8](repeating: 0, count: 4_096)
            while all.count < count {
                let got = Foundation.read(reader, &chunk, chunk.count)
                guard got > 0 else { break }
                all += chunk[..<got]
            }
            return all
        }
    }

    private static func append(_ text: String, to writer: LineWriter) {
        var lines = ByteBuffer()
        lines.append(text)
        writer.append(draining: &lines)
    }

    /// `count` lines of 64 bytes.
    private static func lines(_ count: Int) -> String {
        (0..<count).map { number in
            let head = "{\"line\":\(number),\"rest\":\""
            return head + String(repeating: "x", count: 61 - head.utf8.count) + "\"}\n"
        }.joined()
    }

    private static var now: Instant { Host.monotonicNow() }

    @Test func `lines arrive whole and in order, also through a descriptor that does not block`() {
        for isBlocking in [true, false] {
            let tube = Tube()
            if !isBlocking { _ = fcntl(tube.writer, F_SETFL, O_NONBLOCK) }
            let writer = LineWriter(descriptor: tube.writer)
            let text = LineWriterTests.lines(8_000)
            // Eight times what the pipe takes: the writer has to wait for its reader.
            Self.append(text, to: writer)
            #expect(tube.read(text.utf8.count) == Array(text.utf8))
            #expect(writer.drain(atMost: .seconds(60)))
            #expect(writer.dropped == 0)
            #expect(writer.trouble(at: Self.now) == nil)
        }
    }

    @Test func `a reader that stopped holds up nobody, and what does not fit is counted`() {
        let tube = Tube()
        let writer = LineWriter(descriptor: tube.writer, limit: 256 * 1_024)
        let text = LineWriterTests.lines(1_000)
        for _ in 0..<16 { Self.append(text, to: writer) }
        #expect(!writer.drain(atMost: .milliseconds(50)), "the reader still reads nothing")
        // 1,000 KiB in, at most 256 KiB wait, and the writing thread holds at most as much again and a pipe.
        #expect(writer.dropped >= (1_000 - 256 - 256 - 64) * 1_024)
        #expect(writer.dropped % text.utf8.count == 0, "whole lines")
        #expect(writer.trouble(at: Self.now)?.contains("its reader is too slow") == true)
        #expect(writer.trouble(at: Self.now + LineWriter.memory + .seconds(1)) == nil, "nothing was lost since")
        let kept = 16 * text.utf8.count - writer.dropped
        #expect(tube.read(kept).count == kept)
        #expect(writer.drain(atMost: .seconds(60)))
    }

    @Test func `a full disk is counted and named`() throws {
        let full = open("/dev/full", O_WRONLY | O_CLOEXEC)
        try #require(full >= 0)
        defer { close(full) }
        let writer = LineWriter(descriptor: full)
        let text = LineWriterTests.lines(10)
        Self.append(text, to: writer)
        #expect(writer.drain(atMost: .seconds(60)))
        #expect(writer.dropped == text.utf8.count)
        let trouble = writer.trouble(at: Self.now + .seconds(3_600))
        #expect(
            trouble?.contains("640 bytes") == true && trouble?.contains("No space left") == true, "\(trouble ?? "")")
    }

    @Test func `a reader that is gone is counted and named`() {
        let tube = Tube()
        let writer = LineWriter(descriptor: tube.writer)
        tube.closeReader()
        let text = LineWriterTests.lines(100)
        for _ in 0..<3 { Self.append(text, to: writer) }
        #expect(writer.drain(atMost: .seconds(60)))
        #expect(writer.dropped == 3 * text.utf8.count)
        #expect(writer.trouble(at: Self.now)?.contains("Broken pipe") == true)
    }

    @Test func `when the sink takes bytes again, a line that was cut stays apart from the next`() {
        let tube = Tube()
        let writer = LineWriter(descriptor: tube.writer)
        // Longer than the pipe's 64 KiB, which end within a line.
        let text = String(repeating: "{\"line\":123456789}\n", count: 5_000)
        Self.append(text, to: writer)
        #expect(!writer.drain(atMost: .milliseconds(50)), "the pipe is full")
        tube.closeReader()
        #expect(writer.drain(atMost: .seconds(60)))
        #expect(writer.dropped == text.utf8.count - 65_536)
        #expect(writer.trouble(at: Self.now) != nil)
        // The same descriptor with another sink behind it.
        let other = Tube()
        #expect(dup2(other.writer, tube.writer) == tube.writer)
        Self.append("{\"next\":1}\n", to: writer)
        #expect(writer.drain(atMost: .seconds(60)))
        #expect(String(decoding: other.read(12), as: UTF8.self) == "\n{\"next\":1}\n")
        #expect(writer.trouble(at: Self.now + LineWriter.memory + .seconds(1)) == nil)
    }
}
