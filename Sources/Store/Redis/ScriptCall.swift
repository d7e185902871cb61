// One call of a script on its way: it writes itself, again if need be, and hears its reply.

import Core

/// A call that outlives its first sending. One object a call is all that a request costs here.
protocol ScriptCall: AnyObject {
    /// Which script.
    var script: RedisScript { get }
    /// The slot of all its keys; asked only where Redis is a cluster.
    var slot: RedisSlot { get }
    /// Writes the whole command. Called again with the script's source when Redis has forgotten it.
    func write(_ name: ScriptName, into output: inout ByteBuffer)
    /// Hears the reply exactly once, on the lane.
    func finish(_ result: Result<RedisReply, StoreError>)
}

/// A call made of two functions, where it is not made often.
final class WrittenCall: ScriptCall {
    let script: RedisScript
    let slot: RedisSlot
    private let writer: (ScriptName, inout ByteBuffer) -> Void
    private let then: RedisConnection.Completion

    init(
        _ script: RedisScript, slot: RedisSlot, write: @escaping (ScriptName, inout ByteBuffer) -> Void,
        then: @escaping RedisConnection.Completion
    ) {
        self.script = script
        self.slot = slot
        writer = write
        self.then = then
    }

    func write(_ name: ScriptName, into output: inout ByteBuffer) { writer(name, &output) }

    func finish(_ result: Result<RedisReply, StoreError>) { then(result) }
}
