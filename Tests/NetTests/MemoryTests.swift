// Limits of control groups, as the kernel writes them in both versions.
import Core
import Testing

@testable import Net

@Suite struct MemoryTests {
    @Test func `the files of a process' own group and of those above it are looked at`() {
        #expect(
            Memory.groupFiles("0::/system.slice/sluice.service\n") == [
                "/sys/fs/cgroup/system.slice/sluice.service/memory.max", "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max",
            ])
        #expect(
            Memory.groupFiles("4:cpu,cpuacct:/x\n7:memory:/docker/1f\n") == [
                "/sys/fs/cgroup/memory/docker/1f/memory.limit_in_bytes",
                "/sys/fs/cgroup/memory/docker/memory.limit_in_bytes", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
            ])
        #expect(Memory.groupFiles("0::/../../a\n").last == "/sys/fs/cgroup/memory.max")
        #expect(Memory.groupFiles("nonsense").isEmpty)
    }

    @Test func `what a file states is a limit, or none`() {
        #expect(Memory.groupLimit("536870912\n") == 536_870_912)
        #expect(Memory.groupLimit("max\n") == nil)
        #expect(Memory.groupLimit("9223372036854771712\n") == nil)
        #expect(Memory.groupLimit("0\n") == nil && Memory.groupLimit("") == nil)
    }

    @Test func `this machine has a limit, and not an absurd one`() throws {
        let limit = try #require(Memory.limit())
        #expect(limit > 64 << 20 && limit < 1 << 46)
    }
}
