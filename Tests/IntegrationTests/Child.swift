// Processes of a test: started so that they die with the test process, whatever kills it; their end is awaited, not polled.
import Core
import Foundation

/// A process that a test started.
final class Child: @unchecked Sendable {
    let pid: Int32
    private let lock = NSLock()
    private var status: Int32?
    private var waiters: [CheckedContinuation<Int32, Never>] = []

    private init(pid: Int32) {
        self.pid = pid
        Thread.detachNewThread { [self] in
            var raw: Int32 = 0
            while waitpid(pid, &raw, 0) < 0, errno == EINTR {}
            // As a shell does: 128 and the signal for those that were killed.
            ended(raw & 0x7F == 0 ? raw >> 8 & 0xFF : 128 + raw & 0x7F)
        }
        // The thread sanitizer sees the hand-over to whoever asks by this lock alone, not by the continuation that carries it.
        lock.withLock {}
    }

    private func ended(_ code: Int32) {
        let waiting = lock.withLock {
            status = code
            defer { waiters = [] }
            return waiters
        }
        for waiter in waiting { waiter.resume(returning: code) }
    }

    var isRunning: Bool { lock.withLock { status == nil } }

    /// Sends a signal, unless the process has ended: its number may be somebody else's by now.
    func signal(_ number: Int32) { lock.withLock { if status == nil { _ = kill(pid, number) } } }

    /// The exit code.
    func exit() async -> Int32 {
        await withCheckedContinuation { continuation in
            let known: Int32? = lock.withLock {
                if status == nil { waiters.append(continuation) }
                return status
            }
            if let known { continuation.resume(returning: known) }
        }
    }

    /// Kills it and waits for its end.
    func end() async {
        signal(SIGKILL)
        _ = await exit()
    }

    /// Starts `command`; its output goes to the end of `output` and of `error`.
    static func start(
        _ command: [String], in folder: String, output: String, error: String, environment: [String: String] = [:]
    ) async throws -> Child {
        try await withCheckedThrowingContinuation { continuation in
            Nursery.shared.run {
                continuation.resume(
                    with: Result {
                        Child(pid: try spawn(command, folder, output, error, environment))
                    })
            }
        }
    }

    private static func spawn(
        _ command: [String], _ folder: String, _ output: String, _ error: String, _ environment: [String: String]
    ) throws -> Int32 {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        posix_spawn_file_actions_addopen(&actions, 1, output, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        posix_spawn_file_actions_addopen(&actions, 2, error, O_WRONLY | O_CREAT | O_APPEND, 0o600)
        // A descriptor that another test opened at this moment must not live on in our children: whoever waits for its end would wait
        // for theirs.
        for descriptor in Int32(3)..<512 { posix_spawn_file_actions_addclose(&actions, descriptor) }
        // Swift's concurrency runtime blocks no signal, but a lane's thread does; children begin with a clean mask.
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        // `setpriv` asks the kernel for SIGKILL at our end and then becomes the program: the pid stays.
        let words = ["/usr/bin/setpriv", "--pdeathsig", "KILL", "/usr/bin/env", "--chdir", folder] + command
        let all = ProcessInfo.processInfo.environment.merging(environment) { $1 }.map { "\($0)=\($1)" }
        var arguments: [UnsafeMutablePointer<CChar>?] = words.map { strdup($0) } + [nil]
        var variables: [UnsafeMutablePointer<CChar>?] = all.map { strdup($0) } + [nil]
        defer { for text in arguments + variables { free(text) } }
        var pid: Int32 = 0
        let code = posix_spawn(&pid, "/usr/bin/setpriv", &actions, &attributes, &arguments, &variables)
        guard code == 0 else { throw ClusterFailure(description: "\(command[0]) does not start: error \(code)") }
        return pid
    }
}

/// The one thread that all children come from: the kernel's "parent died" means the thread that started them.
private final class Nursery: @unchecked Sendable {
    static let shared = Nursery()
    private let lock = NSLock()
    private let ready = DispatchSemaphore(value: 0)
    private var jobs: [() -> Void] = []

    private init() {
        Thread.detachNewThread { [self] in
            while true {
                ready.wait()
                let job = lock.withLock { jobs.removeFirst() }
                job()
            }
        }
    }

    func run(_ job: @escaping () -> Void) {
        lock.withLock { jobs.append(job) }
        ready.signal()
    }
}
