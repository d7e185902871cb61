// Logarithms of the evidence of canaries: floors below Net have no C library to ask.

enum NaturalLogarithm {
    private static let two = 0.693_147_180_559_945_309_4

    /// ln of a number above 0, within 10⁻¹³: 2·artanh of (m - 1) / (m + 1) for m near 1.
    static func of(_ number: Double) -> Double {
        guard number > 0 else { return -.infinity }
        var (power, m) = (Double(number.exponent), number.significand)
        if m > 1.414_213_562_373_095 { (power, m) = (power + 1, m / 2) }
        let t = (m - 1) / (m + 1)
        let s = t * t
        let high = 1.0 / 11 + s * (1.0 / 13 + s * (1.0 / 15 + s / 17))
        let sum = 1 + s * (1.0 / 3 + s * (1.0 / 5 + s * (1.0 / 7 + s * (1.0 / 9 + s * high))))
        return power * two + 2 * t * sum
    }

    /// e to the power of `power`; 0 where that is too small for a number.
    static func exponential(_ power: Double) -> Double {
        guard power > -700 else { return 0 }
        let whole = (min(power, 700) / two).rounded()
        // Below 0.35: the eleventh power divided by 11! is below 10⁻¹².
        let x = min(power, 700) - whole * two
        let high = 1 + x / 7 * (1 + x / 8 * (1 + x / 9 * (1 + x / 10)))
        let sum = 1 + x * (1 + x / 2 * (1 + x / 3 * (1 + x / 4 * (1 + x / 5 * (1 + x / 6 * high)))))
        return sum * Double(sign: .plus, exponent: Int(whole), significand: 1)
    }

    /// ln(eᵃ + eᵇ).
    static func sum(_ a: Double, _ b: Double) -> Double {
        let (most, least) = a > b ? (a, b) : (b, a)
        guard least > -.infinity else { return most }
        return most + of(1 + exponential(least - most))
    }
}
