// API key records in Redis: made once, listed in full, changed only by who read them last.

import Core
import Foundation
import Testing

@testable import Store

@Suite(.serialized) struct KeyDirectoryTests {
    private let dialer: PollingDialer
    private let connection: RedisConnection
    private let directory: KeyDirectory

    init() throws {
        dialer = PollingDialer(try RedisServer())
        connection = RedisConnection(dialer: dialer, configuration: RedisConfiguration(), seed: 1)
        directory = KeyDirectory(Redis(connection))
        let connection = self.connection
        connection.start()
        dialer.run { connection.state == .ready }
    }

    private func wait<T>(_ start: (@escaping (Result<T, StoreError>) -> Void) -> Void) throws -> T {
        var result: Result<T, StoreError>?
        start { result = $0 }
        dialer.run { result != nil }
        return try #require(result).get()
    }

    @Test func aKeyIsMadeOnceAndRead() throws {
        let record = Array(#"{"id":"a1","org":"acme"}"#.utf8)
        #expect(try wait { directory.create(id: "a1", record: record, then: $0) } == .written)
        #expect(try wait { directory.create(id: "a1", record: Array("other".utf8), then: $0) } == .conflict)
        #expect(try wait { directory.get(id: "a1", then: $0) } == record)
        #expect(try wait { directory.get(id: "b2", then: $0) } == nil)
    }

    @Test func aChangeNeedsTheRecordThatWasRead() throws {
        let (old, new) = (Array("old".utf8), Array("revoked".utf8))
        _ = try wait { directory.create(id: "a1", record: old, then: $0) }
        #expect(try wait { directory.replace(id: "a1", expected: new, record: old, then: $0) } == .conflict)
        #expect(try wait { directory.replace(id: "none", expected: old, record: new, then: $0) } == .conflict)
        #expect(try wait { directory.replace(id: "a1", expected: old, record: new, then: $0) } == .written)
        #expect(try wait { directory.get(id: "a1", then: $0) } == new)
    }

    @Test func aRecordIsRemovedOnlyAsItWasRead() throws {
        let (old, new) = (Array("old".utf8), Array("prolonged".utf8))
        _ = try wait { directory.create(id: "a1", record: old, then: $0) }
        #expect(try wait { directory.remove(id: "a1", expected: new, then: $0) } == .conflict)
        #expect(try wait { directory.remove(id: "b2", expected: old, then: $0) } == .conflict)
        #expect(try wait { directory.get(id: "a1", then: $0) } == old)
        #expect(try wait { directory.remove(id: "a1", expected: old, then: $0) } == .written)
        #expect(try wait { directory.get(id: "a1", then: $0) } == nil)
    }

    @Test func theClockIsThatOfTheServer() throws {
        let before = Int64(Date().timeIntervalSince1970)
        let time = try wait { directory.time(then: $0) }
        #expect((before...(before + 60)).contains(time))
    }

    @Test func allKeysAreListedInOrder() throws {
        var open = 0
        for number in 0..<3000 {
            open += 1
            directory.create(id: "key\(number)", record: Array("{\"n\":\(number)}".utf8)) { _ in open -= 1 }
        }
        dialer.run { open == 0 }
        let entries = try wait { directory.list(then: $0) }
        #expect(entries.map(\.id) == (0..<3000).map { "key\($0)" }.sorted())
        #expect(entries.first { $0.id == "key7" }?.record == Array("{\"n\":7}".utf8))
    }

    @Test func recordsAreBounded() {
        #expect(throws: StoreError.tooLarge(limit: KeyDirectory.recordLimit)) {
            try wait { directory.create(id: "a", record: Array(repeating: 1, count: 16_385), then: $0) }
        }
        #expect(throws: StoreError.tooLarge(limit: KeyDirectory.recordLimit)) {
            try wait { directory.create(id: "", record: [1], then: $0) }
        }
    }
}
