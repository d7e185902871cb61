// How tests start a Redis of their own.

package enum RedisCommand {
    /// The program and its arguments for a server on a Unix socket, with its files in `folder`; it remembers nothing over a restart unless
    /// `isKept`. What stands in `more` wins.
    package static func words(socket: String, folder: String, isKept: Bool = false, _ more: [String] = []) -> [String] {
        [
            "/usr/bin/redis-server", "--port", "0", "--bind", "127.0.0.1", "--unixsocket", socket, "--dir", folder,
            "--save", "", "--maxmemory-policy", "noeviction",
        ] + (isKept ? ["--appendonly", "yes", "--appendfsync", "no"] : []) + more
    }
}
