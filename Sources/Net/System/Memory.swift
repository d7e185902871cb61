// How much memory this process may use, as the machine and its control group say.
import CLinux
import Core
import Glibc

/// Memory of the machine and of the control group that this process is in.
public enum Memory {
    /// Bytes that this process may use at most: those of the machine, or fewer where a control group (a container, a systemd unit) has a
    /// limit; nil when the system does not tell.
    public static func limit() -> Int? {
        let pages = sysconf(Int32(_SC_PHYS_PAGES))
        let machine = pages > 0 ? Int(pages) * Int(sysconf(Int32(_SC_PAGESIZE))) : nil
        let groups = text("/proc/self/cgroup").map { groupFiles($0) } ?? []
        let limits = groups.compactMap { text($0).flatMap { groupLimit($0) } }
        return (limits + [machine].compactMap(\.self)).min()
    }

    /// Files that may hold a limit, for a process whose `/proc/self/cgroup` says `text`: of its own group and of those above it, in version 2
    /// and in version 1.
    static func groupFiles(_ text: String) -> [String] {
        var files: [String] = []
        for line in text.split(separator: "\n") {
            let parts = line.split(separator: ":", maxSplits: 2, omittingEmptySubsequences: false)
            guard parts.count == 3 else { continue }
            let isSecond = parts[0] == "0" && parts[1].isEmpty
            guard isSecond || parts[1].split(separator: ",").contains("memory") else { continue }
            let root = isSecond ? "/sys/fs/cgroup" : "/sys/fs/cgroup/memory"
            let file = isSecond ? "memory.max" : "memory.limit_in_bytes"
            var names = parts[2].split(separator: "/").filter { $0 != ".." }.prefix(32)
            while true {
                files.append(([root] + names.map(String.init) + [file]).joined(separator: "/"))
                guard names.popLast() != nil else { break }
            }
        }
        return files
    }

    /// The limit that a file states; nil for `max` and for what is no number.
    static func groupLimit(_ text: String) -> Int? {
        let digits = text.prefix { $0.isNumber }
        // Version 1 writes the largest number of pages where there is no limit.
        return Int(digits).flatMap { $0 > 0 && $0 < 1 << 60 ? $0 : nil }
    }

    private static func text(_ path: String) -> String? {
        (try? FileAccess.read(path, limit: 65_536)).map { String(decoding: $0, as: UTF8.self) }
    }
}
