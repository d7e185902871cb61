// What separates two texts, line by line.

enum TextDifference {
    /// Beyond so many changed lines in a row nobody reads what is left of them, and finding it takes time and memory in the square.
    private static let limit = 2_000

    /// `-12 old line` and `+12 new line`, in the order of the texts; empty when they are equal.
    static func lines(_ old: String, _ new: String) -> [String] {
        func split(_ text: String) -> [Substring] { text.split(separator: "\n", omittingEmptySubsequences: false) }
        var (left, right) = (split(old)[...], split(new)[...])
        while let one = left.first, one == right.first { (left, right) = (left.dropFirst(), right.dropFirst()) }
        while let one = left.last, one == right.last { (left, right) = (left.dropLast(), right.dropLast()) }
        var (removed, inserted) = (Set(left.indices), Set(right.indices))
        if left.count <= limit, right.count <= limit {
            (removed, inserted) = ([], [])
            // Places of a difference are offsets; those of a slice begin elsewhere.
            for change in right.difference(from: left) {
                switch change {
                case .remove(let offset, _, _): removed.insert(left.startIndex + offset)
                case .insert(let offset, _, _): inserted.insert(right.startIndex + offset)
                }
            }
        }
        var marked: [String] = []
        var (here, there) = (left.startIndex, right.startIndex)
        while here < left.endIndex || there < right.endIndex {
            if removed.contains(here) {
                marked.append("-\(here + 1) \(left[here])")
                here += 1
            } else if inserted.contains(there) {
                marked.append("+\(there + 1) \(right[there])")
                there += 1
            } else {
                (here, there) = (here + 1, there + 1)
            }
        }
        return marked
    }
}
