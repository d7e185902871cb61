// What a server of a cluster says about a command that belongs elsewhere, and what then becomes of the command. Pure.

import Core
import Net

/// An error reply that says where to go. The command did not run.
enum Redirection: Hashable {
    /// The slot is there now (`MOVED slot host:port`).
    case moved(RedisSlot, Endpoint)
    /// The slot is on its way there, and so are these keys (`ASK slot host:port`): ask there, this once.
    case ask(RedisSlot, Endpoint)
    /// The slot is on its way, and some of the command's keys are here and some there (`TRYAGAIN …`).
    case tryAgain

    /// Reads an error reply of `server`; nil when it is not one of these.
    init?(_ message: String, from server: Endpoint) {
        let words = message.split(separator: " ", maxSplits: 3)
        if words.first == "TRYAGAIN" {
            self = .tryAgain
            return
        }
        guard words.count == 3, words[0] == "MOVED" || words[0] == "ASK",
            let slot = Int(words[1]).flatMap(RedisSlot.init),
            let endpoint = Self.endpoint(words[2], server)
        else { return nil }
        self = words[0] == "ASK" ? .ask(slot, endpoint) : .moved(slot, endpoint)
    }

    /// `host:port`; the host may be left out, and one of IPv6 has no brackets.
    private static func endpoint(_ text: Substring, _ server: Endpoint) -> Endpoint? {
        guard let colon = text.lastIndex(of: ":"), let port = UInt16(text[text.index(after: colon)...]), port > 0 else {
            return nil
        }
        let host = text[..<colon]
        if host.isEmpty { return server.with(port: port) }
        return host == "?" ? nil : .host(String(host), port: port)
    }
}

/// How far a command has been sent from one server to the next.
struct Journey: Hashable {
    /// Servers that a command is sent to after the first one, until something waits: a chain that is longer is a circle.
    static let hopLimit = 5
    /// The first pause after TRYAGAIN; each following one is twice as long.
    static let firstPause = Duration.milliseconds(2)
    /// The longest pause after TRYAGAIN.
    static let longestPause = Duration.milliseconds(64)

    /// What to do with the command.
    enum Step: Hashable {
        /// Send it there; `asking`: behind `ASKING`.
        case go(Endpoint, asking: Bool)
        /// Send it after a pause to whoever has the slot then.
        case again(after: Duration)
        /// There is no way.
        case end(StoreError)
    }

    private var hops = 0
    private var pauses = 0

    /// The next step of a command that must be answered by `deadline`.
    mutating func next(_ redirection: Redirection, at now: Instant, deadline: Instant) -> Step {
        switch redirection {
        case .moved(_, let endpoint): return go(endpoint, asking: false)
        case .ask(_, let endpoint): return go(endpoint, asking: true)
        case .tryAgain:
            let pause = min(Self.firstPause * (1 << min(pauses, 8)), Self.longestPause)
            guard now + pause < deadline else { return .end(.degraded(.moving)) }
            pauses += 1
            hops = 0
            return .again(after: pause)
        }
    }

    private mutating func go(_ endpoint: Endpoint, asking: Bool) -> Step {
        hops += 1
        return hops > Self.hopLimit ? .end(.degraded(.moving)) : .go(endpoint, asking: asking)
    }
}
