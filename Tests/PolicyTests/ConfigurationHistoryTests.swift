// The list of configurations that the cluster has run.
import Core
import Policy
import Testing

struct ConfigurationHistoryTests {
    private func history(_ count: Int) -> ConfigurationHistory {
        var history = ConfigurationHistory()
        for place in 0..<count {
            _ = history.add(digest: "d\(place)", who: "ann", reason: "line \"\(place)\"", atSeconds: Int64(place))
        }
        return history
    }

    @Test func `versions count up, and the oldest make room`() {
        var full = history(ConfigurationHistory.limit)
        #expect(full.versions.map(\.number) == (1...32).map { Int64($0) })
        let added = full.add(digest: "x", who: "bob", reason: "", atSeconds: 99)
        #expect(added.number == 33 && added.dropped == 1)
        #expect(full.versions.count == 32 && full.last?.who == "bob")
        #expect(full.version(1) == nil && full.version(2)?.digest == "d1")
    }

    @Test func `what is kept is read back, and nothing else is`() {
        let list = history(5)
        #expect(ConfigurationHistory.decode(list.encoded) == list)
        #expect(ConfigurationHistory.decode(ConfigurationHistory().encoded) == ConfigurationHistory())
        let bad = ["", "[", "{}", "[{}]", #"[{"number":0,"at":1,"who":"a","reason":"","digest":"d"}]"#, "[1]"]
        for text in bad { #expect(ConfigurationHistory.decode(Array(text.utf8)) == nil, "\(text)") }
        let twice = "[\(list.versions[0].json.json),\(list.versions[0].json.json)]"
        #expect(ConfigurationHistory.decode(Array(twice.utf8)) == nil, "numbers rise")
        let many =
            "["
            + (1...33).map { "{\"number\":\($0),\"at\":1,\"who\":\"a\",\"reason\":\"\",\"digest\":\"d\"}" }
            .joined(separator: ",") + "]"
        #expect(ConfigurationHistory.decode(Array(many.utf8)) == nil)
    }
}
