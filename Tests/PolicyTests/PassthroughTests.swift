// Which members a provider's section may list, and how the list travels.
import Core
import Policy
import Testing

@Suite struct PassthroughTests {
    private func read(_ line: String) -> (members: PassthroughMembers?, problems: [String]) {
        let (cluster, problems) = ClusterSnapshot.read(
            "[provider p]\nkind = openai\nbase-url = https://a.example/v1\n\(line)\n", file: "test")
        return (cluster.providers["p"]?.passthrough, problems.map(\.description))
    }

    @Test func `nothing passes unless it is listed, and the line travels only then`() throws {
        #expect(read("").members == PassthroughMembers.none)
        let members = try #require(read("passthrough = top_k,  min_p ,topA").members)
        #expect(members.names == ["top_k", "min_p", "topA"])
        #expect(members.name(matching: "TOPA") == "topA" && members.name(matching: "top_kk") == nil)
        let (cluster, _) = ClusterSnapshot.read(
            "[provider p]\nkind = openai\nbase-url = https://a.example/v1\npassthrough = top_k, min_p\n", file: "test")
        #expect(cluster.text.contains("passthrough = top_k, min_p\n"))
        let (again, problems) = ClusterSnapshot.decode(cluster.records)
        #expect(problems.isEmpty && again == cluster)
        #expect(!ClusterSnapshot.read("[org a]\n", file: "test").0.text.contains("passthrough"))
    }

    @Test(arguments: [
        "model", "Model", "models", "route", "provider", "service_tier", "tools", "functions", "web_search_options",
        "store",
        "background", "prediction", "modalities", "extra_body", "best_of", "n", "N", "max_tokens",
        "MAX_completion_TOKENS",
        "messages", "stream", "stream_options",
    ])
    func `what changes price, model, state or routing cannot be listed`(name: String) {
        let problems = read("passthrough = top_k, \(name)").problems
        #expect(problems.count == 1 && problems[0].contains("'\(name)'") && problems[0].contains("test:4:15"))
    }

    @Test(arguments: ["top_k, top_k", "top_k, Top_K", "top_k,", "a b", "é", ",", "top_k; min_p"])
    func `a list that cannot be read, or names one twice, is an error at its place`(list: String) {
        #expect(read("passthrough = \(list)").problems.count == 1)
    }
}
