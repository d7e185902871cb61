// hiredis' redisReader behind a safe door: bytes in, whole replies out, with bounds on size and count.

import CHiredis
import Core

/// Why the bytes of a server cannot be understood.
public enum ReplyProblem: Error, Hashable, Sendable {
    /// Not RESP2; the parser's own words.
    case malformed(String)
    /// A reply that is longer than the connection accepts, in bytes.
    case tooLarge(limit: Int)
    /// An array with more elements than the connection accepts.
    case tooManyElements(limit: Int)
}

/// Parses replies. hiredis calls back for each element; they are laid in order on a tape and made into one value at the end,
/// so that no C object is allocated and a lying array header allocates nothing.
@safe struct ReplyReader: ~Copyable {
    private let reader: UnsafeMutablePointer<redisReader>
    private let functions: UnsafeMutablePointer<redisReplyObjectFunctions>
    private let tape: ReplyTape
    private let byteLimit: Int

    /// Nil when memory is short.
    init?(byteLimit: Int, elementLimit: Int) {
        tape = ReplyTape(elementLimit: elementLimit)
        self.byteLimit = byteLimit
        // Safe: the table lives on the heap until the reader that points to it has been freed in deinit.
        unsafe functions = UnsafeMutablePointer<redisReplyObjectFunctions>.allocate(capacity: 1)
        unsafe functions.initialize(to: ReplyTape.functions)
        guard let made = unsafe redisReaderCreateWithFunctions(functions) else {
            unsafe functions.deallocate()
            return nil
        }
        unsafe reader = made
        // Safe: the tape is owned by self, which frees the reader before it lets go of the tape.
        unsafe reader.pointee.privdata = Unmanaged.passUnretained(tape).toOpaque()
    }

    deinit {
        unsafe redisReaderFree(reader)
        unsafe functions.deallocate()
    }

    /// Takes all bytes of `input`.
    mutating func feed(_ input: inout ByteBuffer) throws(ReplyProblem) {
        let count = input.count
        guard count > 0 else { return }
        let result = unsafe input.withUnsafeReadableBytes { bytes in
            // Safe: hiredis copies the bytes before it returns.
            unsafe redisReaderFeed(reader, bytes.baseAddress?.assumingMemoryBound(to: CChar.self), bytes.count)
        }
        input.consume(count)
        if result != REDIS_OK { throw problem }
    }

    /// The next whole reply; nil when more bytes are needed.
    mutating func next() throws(ReplyProblem) -> RedisReply? {
        var whole: UnsafeMutableRawPointer?
        guard unsafe redisReaderGetReply(reader, &whole) == REDIS_OK else { throw problem }
        guard unsafe whole != nil else {
            let waiting = unsafe Int(reader.pointee.len) - Int(reader.pointee.pos)
            if waiting > byteLimit || tape.byteCount > byteLimit { throw .tooLarge(limit: byteLimit) }
            return nil
        }
        guard let reply = tape.take() else { throw .malformed("a reply of a kind that was not asked for") }
        return reply
    }

    private var problem: ReplyProblem {
        if tape.isOverfull { return .tooManyElements(limit: tape.elementLimit) }
        // Safe: errstr is a NUL-terminated array inside the reader.
        return unsafe .malformed(
            withUnsafeBytes(of: reader.pointee.errstr) { bytes in
                unsafe String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
            })
    }
}

/// The elements of the reply that is being parsed, in the order in which they arrive: an array before its elements.
final class ReplyTape {
    private enum Element {
        case whole(RedisReply)
        case array(count: Int)
    }

    private var elements: [Element] = []
    let elementLimit: Int
    private(set) var isOverfull = false
    private(set) var byteCount = 0
    private var promised = 0

    init(elementLimit: Int) { self.elementLimit = elementLimit }

    /// The reply on the tape, which is empty afterwards; nil when elements are missing: hiredis calls back for kinds of RESP2 only, and may
    /// know others.
    func take() -> RedisReply? {
        defer {
            elements.removeAll(keepingCapacity: true)
            byteCount = 0
            promised = 0
        }
        if elements.count == 1, case .whole(let reply) = elements[0] { return reply }
        var position = 0
        return build(&position)
    }

    /// hiredis refuses more than seven levels, so this recursion is shallow.
    private func build(_ position: inout Int) -> RedisReply? {
        guard position < elements.count else { return nil }
        let element = elements[position]
        position += 1
        switch element {
        case .whole(let reply): return reply
        case .array(let count):
            var parts: [RedisReply] = []
            parts.reserveCapacity(count)
            for _ in 0..<count {
                guard let part = build(&position) else { return nil }
                parts.append(part)
            }
            return .array(parts)
        }
    }

    func add(_ reply: RedisReply, bytes: Int) -> Bool {
        guard elements.count < elementLimit else {
            isOverfull = true
            return false
        }
        byteCount += bytes
        elements.append(.whole(reply))
        return true
    }

    func addArray(_ count: Int) -> Bool {
        // Headers promise elements that have not come yet; promises count like elements.
        guard count <= elementLimit - promised else {
            isOverfull = true
            return false
        }
        promised += count
        elements.append(.array(count: count))
        return true
    }

    /// hiredis only asks whether an object is NULL; this address is never read.
    private static var made: UnsafeMutableRawPointer? { unsafe UnsafeMutableRawPointer(bitPattern: 1) }

    // Safe: privdata is the tape that the reader's owner keeps alive; hiredis calls back only inside redisReaderGetReply.
    private static func tape(_ task: UnsafePointer<redisReadTask>?) -> ReplyTape? {
        guard let opaque = unsafe task?.pointee.privdata else { return nil }
        return unsafe Unmanaged<ReplyTape>.fromOpaque(opaque).takeUnretainedValue()
    }

    static var functions: redisReplyObjectFunctions {
        var table = redisReplyObjectFunctions()
        unsafe table.createString = { task, start, length in
            guard let tape = unsafe ReplyTape.tape(task), let kind = unsafe task?.pointee.type else { return nil }
            // Safe: hiredis lends `length` bytes for the time of the call; they are copied.
            let bytes = unsafe UnsafeRawBufferPointer(start: start, count: Int(length))
            let reply: RedisReply =
                switch kind {
                case REDIS_REPLY_ERROR: .error(unsafe String(decoding: bytes, as: UTF8.self))
                case REDIS_REPLY_STATUS: .status(unsafe String(decoding: bytes, as: UTF8.self))
                default: .bytes(unsafe [UInt8](bytes))
                }
            return tape.add(reply, bytes: bytes.count) ? unsafe ReplyTape.made : nil
        }
        unsafe table.createArray = { task, count in
            unsafe ReplyTape.tape(task)?.addArray(Int(count)) == true ? unsafe ReplyTape.made : nil
        }
        unsafe table.createInteger = { task, value in
            unsafe ReplyTape.tape(task)?.add(.integer(value), bytes: 8) == true ? unsafe ReplyTape.made : nil
        }
        unsafe table.createNil = { task in
            unsafe ReplyTape.tape(task)?.add(.null, bytes: 0) == true ? unsafe ReplyTape.made : nil
        }
        unsafe table.freeObject = { _ in }
        unsafe chiredis_refuse_resp3(&table)
        return table
    }
}
