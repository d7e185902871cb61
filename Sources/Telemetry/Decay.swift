// How much an old observation still counts.
import Core

/// Exponential forgetting by half-life, without the C library: an observation counts half after each half-life.
enum Decay {
    /// 2^(-elapsed / halfLife), exact to 10⁻⁹; 1 for a time that did not pass.
    static func share(after elapsed: Duration, halfLife: Duration) -> Double {
        let nanoseconds = elapsed.nanoseconds
        guard nanoseconds > 0 else { return 1 }
        let halvings = Double(nanoseconds) / Double(halfLife.nanoseconds)
        guard halvings < 1000 else { return 0 }
        let whole = Int(halvings)
        // e^-x for x in 0..<ln 2, as a series: the term of 1/13! is below 10⁻¹¹.
        let x = -(halvings - Double(whole)) * 0.693_147_180_559_945_3
        var sum = 1.0
        for term in stride(from: 12.0, through: 1.0, by: -1.0) { sum = 1 + sum * x / term }
        return Double(sign: .plus, exponent: -whole, significand: sum)
    }
}
