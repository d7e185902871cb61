// What an answer used, and what its provider says went wrong.
import Core
import Wire

extension OpenAIAnswerReader {
    /// Bytes of an error that are looked at: some servers repeat the request in it.
    private static let errorLimit = 1 << 20

    func error(_ reader: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        let range = try reader.rawValue()
        guard range.count <= OpenAIAnswerReader.errorLimit else { return answer.fail(.serverError) }
        guard let value = try? JSONValue.parse(reader.bytes.array(range)), OpenAIErrorReader.isError(value) else {
            return
        }
        answer.fail(OpenAIErrorReader.failure(status: 200, value))
    }

    /// The whole object is an error.
    func failUnwrapped(_ bytes: RawSpan, _ answer: inout AnswerOutput) {
        guard bytes.byteCount <= OpenAIAnswerReader.errorLimit, let value = try? JSONValue.parse(bytes.array()) else {
            return answer.fail(.serverError)
        }
        answer.fail(OpenAIErrorReader.failure(status: 200, value))
    }

    func nestedUsage(_ reader: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "usage") {
                try usage(&reader, &answer)
            } else if reader.matches(key, "error") {
                try error(&reader, &answer)
            } else {
                try reader.skipValue()
            }
        }
    }

    /// Only what is a count is taken: of an object of another shape nothing, so that what came is counted here.
    func usage(_ reader: inout JSONReader, _ answer: inout AnswerOutput) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        var usage = ReportedUsage()
        while let key = try reader.nextKey() {
            if reader.matches(key, "prompt_tokens") {
                usage.input = try count(&reader, &usage) ?? usage.input
            } else if reader.matches(key, "completion_tokens") {
                usage.output = try count(&reader, &usage) ?? usage.output
            } else if reader.matches(key, "prompt_cache_hit_tokens") {
                usage.cacheRead = try count(&reader, &usage) ?? usage.cacheRead
            } else if reader.matches(key, "prompt_tokens_details") || reader.matches(key, "completion_tokens_details") {
                try details(&reader, &usage)
            } else {
                try reader.skipValue()
            }
        }
        answer.note(usage)
    }

    private func details(_ reader: inout JSONReader, _ usage: inout ReportedUsage) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            try reader.skip(to: depth)
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "cached_tokens") {
                usage.cacheRead = try count(&reader, &usage) ?? usage.cacheRead
            } else if reader.matches(key, "cache_write_tokens") {
                usage.cacheWrite = try count(&reader, &usage) ?? usage.cacheWrite
            } else if reader.matches(key, "reasoning_tokens") {
                usage.reasoning = try count(&reader, &usage) ?? usage.reasoning
            } else {
                try reader.skipValue()
            }
        }
    }

    /// A count of tokens; nil for what is no number. A number that cannot be a count is nil too, and noted.
    private func count(_ reader: inout JSONReader, _ usage: inout ReportedUsage) throws(JSONError) -> Int64? {
        guard case .number(let digits) = try reader.scalar() else { return nil }
        var range = digits.range
        // 10.0 is 10 written by a language that has no whole numbers.
        if let point = range.first(where: { reader.bytes.byte(at: $0) == UInt8(ascii: ".") }),
            range.dropFirst(point + 1 - range.lowerBound).allSatisfy({ reader.bytes.byte(at: $0) == UInt8(ascii: "0") })
        {
            range = range.lowerBound..<point
        }
        if let value = reader.integer(range), (0...Usage.most).contains(value) { return value }
        usage.hasAbsurd = true
        return nil
    }
}
