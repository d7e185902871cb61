// Fractions as decimal digits, without a String in between.
import Core

extension ByteBuffer {
    /// Appends the last `width` decimal digits of `value`, with leading zeros.
    mutating func append(digits value: Int64, width: Int) {
        var rest = value.magnitude
        var place: [20 of UInt8] = .init(repeating: UInt8(ascii: "0"))
        for index in stride(from: 19, through: 20 - width, by: -1) {
            place[index] = UInt8(ascii: "0") + UInt8(truncatingIfNeeded: rest % 10)
            rest /= 10
        }
        append(RawSpan(_elements: place.span).extracting((20 - width)..<20))
    }

    /// Appends nanoseconds as seconds, exactly and without trailing zeros: 2500000 is `0.0025`.
    mutating func append(secondsFrom nanoseconds: Int64) {
        if nanoseconds < 0 { append(UInt8(ascii: "-")) }
        let whole = nanoseconds.magnitude / 1_000_000_000
        var fraction = Int64(nanoseconds.magnitude % 1_000_000_000)
        append(decimal: whole)
        guard fraction > 0 else { return }
        var width = 9
        while fraction % 10 == 0 {
            fraction /= 10
            width -= 1
        }
        append(UInt8(ascii: "."))
        append(digits: fraction, width: width)
    }
}
