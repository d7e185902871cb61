// Delays in every spelling that HTTP and providers have, and who is not believed.
import Core
import Foundation
import Testing

@testable import Providers

@Suite struct RetryAfterTests {
    /// Monday, 23 November 2026, 09:00:00 GMT.
    static let nineOClock: Int64 = 1_795_424_400_000_000

    func parse(_ milliseconds: String?, _ seconds: String?) -> Duration? {
        RetryAfter.parse(
            milliseconds: milliseconds, seconds: seconds, wallClockMicroseconds: RetryAfterTests.nineOClock)
    }

    static let spellings: [(String?, String?, Int64)] = [
        ("120", "9", 120), (nil, "7", 7_000), (nil, "1.5", 1_500), (nil, "120", 120_000), ("0.5", nil, 1),
        // Nonsense in the first leaves the second its say.
        ("soon", "2", 2_000), ("-5", "2", 2_000), ("900000000", "2", 2_000), ("900000", "2", 120_000),
        (nil, "121", 120_000), (nil, "600", 120_000), (nil, "Mon, 23 Nov 2026 10:00:00 GMT", 120_000),
        // All three forms of a date (RFC 9110, 5.6.7).
        (nil, "Mon, 23 Nov 2026 09:00:30 GMT", 30_000), (nil, "Monday, 23-Nov-26 09:00:30 GMT", 30_000),
        (nil, "Mon Nov 23 09:00:30 2026", 30_000),
    ]

    @Test(arguments: spellings)
    func `b7: a delay is read in every spelling`(milliseconds: String?, seconds: String?, expected: Int64) {
        #expect(parse(milliseconds, seconds) == .milliseconds(expected))
    }

    @Test(arguments: [
        "", "-1", "+1", "0", "86401", "1795424430", "6m0s", "1e1", "0x10", "nan", "inf", "1.2.3", "soon",
        "99999999999999999999999999",
        "Mon, 23 Nov 2026 08:59:00 GMT", "Mon, 23 Nov 2026 09:00:30", "Mon, 23 Nov 2026 09:00:30 UTC",
        "Mon, 23 Nov 2026 9:00:30 GMT", "Mon, 23 Nov 2026 24:00:30 GMT", "Mon, 32 Nov 2026 09:00:30 GMT",
        "Mon, 23 Now 2026 09:00:30 GMT", "Mon, +3 Nov 2026 09:00:30 GMT", "Mon, 23 Nov 26 09:00:30 GMT",
    ])
    func `b7: absurd delays are not believed`(text: String) {
        #expect(parse(nil, text) == nil)
        if text != "86401", text != "1795424430" { #expect(parse(text, nil) == nil) }
        #expect(parse("86400001", nil) == nil)
    }

    @Test func `dates of the standard's own example are one instant, two-digit years never lie far ahead`() {
        for text in ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"] {
            #expect(HTTPDate.parse(text, nowSeconds: RetryAfterTests.nineOClock / 1_000_000) == 784_111_777)
        }
        #expect(HTTPDate.parse("Thursday, 01-Jan-70 00:00:00 GMT", nowSeconds: 0) == 0)
        #expect(HTTPDate.parse("Thu, 29 Feb 2024 12:00:00 GMT", nowSeconds: 0) == 1_709_208_000)
        // In 2026, year 76 may still be to come, year 77 is past.
        let now = RetryAfterTests.nineOClock / 1_000_000
        #expect(HTTPDate.parse("Wednesday, 01-Jan-76 00:00:00 GMT", nowSeconds: now) == 3_345_062_400)
        #expect(HTTPDate.parse("Saturday, 01-Jan-77 00:00:00 GMT", nowSeconds: now) == 220_924_800)
    }

    @Test func `dates agree with the calendar`() {
        let form = DateFormatter()
        form.locale = Locale(identifier: "en_US_POSIX")
        form.timeZone = TimeZone(identifier: "GMT")
        form.dateFormat = "EEE, dd MMM yyyy HH:mm:ss 'GMT'"
        for day in stride(from: 0, to: 200_000, by: 37) {
            let seconds = Int64(day) * 86_400 + Int64(day % 86_400)
            let text = form.string(from: Date(timeIntervalSince1970: TimeInterval(seconds)))
            #expect(HTTPDate.parse(text, nowSeconds: 0) == seconds, "\(text)")
        }
    }

    @Test func `the provider's word on asking again comes before what is usual`() {
        var failure = ProviderFailure(.rateLimited, status: 429)
        #expect(failure.isRetryable)
        #expect(failure.wireRetry == .safeHere)
        failure.shouldRetry = false
        #expect(!failure.isRetryable)
        #expect(failure.wireRetry == .never)
        failure = ProviderFailure(.invalidRequest, status: 409)
        failure.shouldRetry = true
        #expect(failure.isRetryable)
        #expect(failure.wireRetry == .safeHere)
    }
}
