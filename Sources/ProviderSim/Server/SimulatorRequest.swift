// One HTTP request as the simulator needs it.
import Core
import HTTP

/// What the head of a request says that matters here.
struct SimulatorRequest: Equatable {
    /// Most `x-sim-…` fields of a request: every setting once.
    static let settingLimit = 16

    /// A setting that a header asks for; the name without `x-sim-`.
    struct Setting: Equatable {
        let key: String
        let value: String
    }

    let method: String
    let path: String
    /// The value of `authorization` behind `Bearer `.
    let apiKey: String?
    let settings: [Setting]

    init(_ head: HTTPRequestHead, in bytes: RawSpan) {
        method = head.method
        path = head.path
        let authorization = head.value(of: "authorization", in: bytes)
        apiKey = authorization.flatMap { value in
            let isBearer = value.hasPrefix("Bearer ") || value.prefix(7).lowercased() == "bearer "
            return isBearer && value.utf8.count > 7 ? String(value.utf8.dropFirst(7)) : nil
        }
        settings = SimulatorRequest.hasSettings(bytes) ? SimulatorRequest.settings(head, in: bytes) : []
    }

    /// A quick look for `x-s…-`, because almost no request has such fields.
    private static func hasSettings(_ head: RawSpan) -> Bool {
        for dash in 1..<max(1, head.byteCount - 4) where head.byte(at: dash) == UInt8(ascii: "-") {
            if head.byte(at: dash - 1) | 0x20 == UInt8(ascii: "x"), head.byte(at: dash + 1) | 0x20 == UInt8(ascii: "s"),
                head.byte(at: dash + 4) == UInt8(ascii: "-")
            {
                return true
            }
        }
        return false
    }

    private static func settings(_ head: HTTPRequestHead, in bytes: RawSpan) -> [Setting] {
        let text = bytes.string(0..<bytes.byteCount)
        var settings: [Setting] = []
        for line in text.split(separator: "\r\n").dropFirst() {
            guard let colon = line.firstIndex(of: ":") else { continue }
            let name = line[..<colon].lowercased()
            guard name.hasPrefix("x-sim-"), settings.count < settingLimit else { continue }
            let value = line[line.index(after: colon)...].drop { $0 == " " || $0 == "\t" }
            settings.append(Setting(key: String(name.dropFirst(6)), value: String(value)))
        }
        return settings
    }
}
