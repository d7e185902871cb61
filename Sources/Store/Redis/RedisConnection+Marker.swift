// Notices when a server lost its data without ending the connection: FLUSHALL, or a replica that began again from nothing.

import Core

extension RedisConnection {
    /// How often the marker is looked at: what was lost is put back within 2 s.
    private static let markerInterval = Duration.seconds(1)

    /// A key that every client of the server knows; whoever misses it sets it. Another value than before means: all was deleted meanwhile.
    ///
    /// Nil for a server that keeps no shared state, or none whose slot is known.
    func watchMarker(_ key: [UInt8]?) {
        guard markerKey != key else { return }
        (markerKey, marker) = (key, nil)
        cancelMarker?()
        guard key != nil else { return }
        lookAtMarker()
    }

    private func lookAtMarker() {
        cancelMarker = dialer.after(Self.markerInterval) { [weak self] in
            guard let self, state != .closed else { return }
            askForMarker()
            lookAtMarker()
        }
    }

    private func askForMarker() {
        guard state == .ready, !isDegraded, let key = markerKey else { return }
        let own = freshMarker()
        // One command of a kind that old servers know, too: it writes only what is missing.
        send(RedisCommand(parts: [Array("SET".utf8), key, own, Array("NX".utf8)])) { [weak self] result in
            guard let self, key == markerKey, case .success(let reply) = result else { return }
            switch reply {
            case .status: found(own)
            case .null: readMarker(key)
            default: return
            }
        }
    }

    private func readMarker(_ key: [UInt8]) {
        send(RedisCommand(parts: [Array("GET".utf8), key])) { [weak self] result in
            guard let self, key == markerKey, case .success(.bytes(let bytes)) = result else { return }
            found(bytes)
        }
    }

    private func found(_ value: [UInt8]) {
        defer { marker = value }
        guard let marker, marker != value else { return }
        onReady?(true)
    }

    private func freshMarker() -> [UInt8] {
        chance = chance &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        var text = ByteBuffer()
        text.append(decimal: dialer.now.nanoseconds)
        text.append(UInt8(ascii: "-"))
        text.append(decimal: chance)
        return text.array()
    }
}
