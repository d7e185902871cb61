// A table of routes: which row answers, and what it is given.
import HTTP
import Testing

@Suite struct RouteTableTests {
    private let table = HTTPRouteTable<String>([
        HTTPRoute("GET", "/livez", "", "live"),
        HTTPRoute("GET", "/v1/keys", "", "list"),
        HTTPRoute("POST", "/v1/keys", "", "create"),
        HTTPRoute("POST", "/v1/canaries/promote", "", "promote"),
        HTTPRoute("POST", "/v1/{kind}/{id}", "", "either"),
    ])

    private func found(_ method: String, _ path: String) -> [String] {
        switch table.find(method, path) {
        case .route(let route, let parameters): [route.action] + parameters
        case .otherMethods(let methods): ["other"] + methods
        case .nothing: ["nothing"]
        }
    }

    @Test func `a row answers its method and its path, whole`() {
        #expect(found("GET", "/livez") == ["live"])
        #expect(found("HEAD", "/livez") == ["live"], "a HEAD is a GET without the body")
        #expect(found("POST", "/v1/keys") == ["create"])
        #expect(found("DELETE", "/v1/keys") == ["other", "GET", "POST"])
        for path in ["", "/", "/livez/", "//livez", "/v1", "/v1/keysx", "livez", "/LIVEZ"] {
            #expect(found("GET", path) == ["nothing"], "\(path)")
        }
    }

    @Test func `segments in braces are given to the row, and none of them is empty`() {
        #expect(found("POST", "/v1/keys/k%2F1") == ["either", "keys", "k%2F1"])
        #expect(found("POST", "/v1/canaries/promote") == ["promote"], "the first that fits")
        #expect(found("POST", "/v1/keys/") == ["nothing"])
        #expect(found("POST", "/v1//k1") == ["nothing"])
        #expect(found("POST", "/v1/keys/k1/more") == ["nothing"])
    }
}
