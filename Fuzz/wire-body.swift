// Chat and embeddings bodies: whatever the bytes are, the readers end, and every slice lies within the body.
// Rooms: Core Wire
import Core
import Wire

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ pointer: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    var input = Input(pointer, count)
    let isChat = input.byte() & 1 == 0
    let body = ByteBuffer(input.rest())
    let limit = body.count
    func check(_ slices: ByteSlice...) {
        for slice in slices { precondition(slice.start >= 0 && slice.count >= 0 && slice.start + slice.count <= limit) }
    }
    var items = 0
    do {
        if isChat {
            var reader = ChatBodyReader(body.bytes)
            while let item = try reader.next() {
                items += 1
                switch item {
                case .message, .seed, .choices, .parallelToolCalls, .logProbabilities, .topLogProbabilities: break
                case .name(let a), .text(let a), .imageURL(let a, _), .refusal(let a), .parameter(_, let a),
                    .stop(let a),
                    .toolChoice(_, let a):
                    check(a)
                    precondition(body.bytes(of: a).isUTF8)
                case .image(let a, let b), .audio(let a, let b), .toolResult(let a, let b), .reasoning(let a, let b),
                    .metadata(let a, let b), .passthrough(let a, let b):
                    check(a, b)
                case .file(let a, let b, let c), .toolCall(let a, let b, let c), .tool(let a, let b, _, let c):
                    check(a, b, c)
                }
            }
        } else {
            var reader = EmbeddingsBodyReader(body.bytes)
            while let item = try reader.next() {
                items += 1
                switch item {
                case .input(let a), .user(let a): check(a)
                case .passthrough(let a, let b): check(a, b)
                case .dimensions(let count): precondition((1...65_536).contains(count))
                }
            }
        }
    } catch {
        _ = error
    }
    precondition(items <= limit * 2)
    return 0
}
