// What an answer used, and what its provider says went wrong.
import Core
import Wire

extension OpenAIAnswerDecoder {
    mutating func error(_ reader: inout JSONReader) throws(JSONError) {
        let range = try reader.rawValue()
        guard let value = try? JSONValue.parse(reader.bytes.array(range)), value != .null, value != .bool(false) else {
            return
        }
        fail(OpenAIErrorReader.failure(status: 200, value))
    }

    mutating func nestedUsage(_ reader: inout JSONReader) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "usage") {
                try usage(&reader)
            } else if reader.matches(key, "error") {
                try error(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    mutating func usage(_ reader: inout JSONReader) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        var usage = Usage()
        while let key = try reader.nextKey() {
            if reader.matches(key, "prompt_tokens") {
                usage.inputTokens = try count(&reader) ?? 0
            } else if reader.matches(key, "completion_tokens") {
                usage.outputTokens = try count(&reader) ?? 0
            } else if reader.matches(key, "prompt_cache_hit_tokens") {
                usage.cacheReadTokens = try count(&reader) ?? usage.cacheReadTokens
            } else if reader.matches(key, "prompt_tokens_details") || reader.matches(key, "completion_tokens_details") {
                try details(&reader, &usage)
            } else {
                try reader.skipValue()
            }
        }
        lesson.noteOther()
        // What cannot be is as good as nothing, also where the answer breaks off behind it.
        end.usage = usage.isPlausible ? usage : nil
    }

    private func details(_ reader: inout JSONReader, _ usage: inout Usage) throws(JSONError) {
        let depth = reader.depth
        guard case .objectStart = try reader.nextValue() else {
            while reader.depth > depth { _ = try reader.next() }
            return
        }
        while let key = try reader.nextKey() {
            if reader.matches(key, "cached_tokens") {
                usage.cacheReadTokens = try count(&reader) ?? usage.cacheReadTokens
            } else if reader.matches(key, "cache_write_tokens") {
                usage.cacheWriteTokens = try count(&reader) ?? usage.cacheWriteTokens
            } else if reader.matches(key, "reasoning_tokens") {
                usage.reasoningTokens = try count(&reader)
            } else {
                try reader.skipValue()
            }
        }
    }

    /// A count of tokens; -1, which nobody believes, for a number that is none.
    private func count(_ reader: inout JSONReader) throws(JSONError) -> Int64? {
        guard case .number(let digits) = try scalar(&reader) else { return nil }
        return reader.integer(digits.range) ?? -1
    }

    func integer(_ reader: inout JSONReader) throws(JSONError) -> Int64? {
        guard case .number(let digits) = try scalar(&reader) else { return nil }
        return reader.integer(digits.range)
    }
}
