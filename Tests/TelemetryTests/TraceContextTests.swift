// traceparent, read as strictly as the standard asks.
import Core
import Telemetry
import Testing

@Suite struct TraceContextTests {
    static let valid = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

    @Test func aHeaderIsReadAndWrittenBack() throws {
        let context = try #require(TraceContext(parsing: Self.valid))
        #expect(context.traceID.high == 0x0af7_6519_16cd_43dd)
        #expect(context.traceID.low == 0x8448_eb21_1c80_319c)
        #expect(context.spanID == 0xb7ad_6b71_6920_3331)
        #expect(context.isSampled)
        #expect(context.description == Self.valid)
        #expect(context.child(spanID: 1)?.description == "00-0af7651916cd43dd8448eb211c80319c-0000000000000001-01")
        #expect(context.child(spanID: 0) == nil)
    }

    @Test func everyCutAndEveryExtensionIsRefused() {
        for length in 0..<55 { #expect(TraceContext(parsing: String(Self.valid.prefix(length))) == nil) }
        #expect(TraceContext(parsing: Self.valid + "-") == nil)
        #expect(TraceContext(parsing: Self.valid + "0") == nil)
    }

    @Test(arguments: [
        "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-00000000000000000000000000000000-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
        "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
        "00_0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-0g",
        "01-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01x",
    ])
    func whatTheStandardCallsInvalid(_ header: String) { #expect(TraceContext(parsing: header) == nil) }

    @Test func laterVersionsAreReadAsFarAsThisOneGoes() {
        let later = "cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
        #expect(TraceContext(parsing: later)?.isSampled == false)
        #expect(TraceContext(parsing: later + "-what-comes-then") != nil)
    }
}
