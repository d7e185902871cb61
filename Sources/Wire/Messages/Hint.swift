// HINT: a server's load and wishes; a client may ignore it.

import Core

/// A server's load and wishes. PROTOCOL.md, section 5.8.
public struct Hint: Sendable, Equatable {
    /// 0 for idle, 255 for full.
    public var load: UInt8
    /// True when the server has more than its share of connections and this one should be replaced by one to another server. Of the
    /// moment: a later hint without it takes nothing back.
    public var wantsRebalance: Bool
    /// Requests in flight that the server would like to see from this client; 0 for no wish.
    public var suggestedInFlight: UInt16
    /// How near the connection's key, its team and its org are to the end of a budget.
    public var budget: Budget
    /// True while the server decides about limits alone, because shared state cannot be reached.
    public var keepsLimitsAlone: Bool

    /// How near the end of a budget is.
    public enum Budget: UInt8, Sendable, CaseIterable {
        /// No threshold is reached.
        case within = 0
        /// A threshold is reached.
        case near = 1
        /// A budget is used up.
        case over = 2
    }

    /// Load and wishes.
    public init(
        load: UInt8, wantsRebalance: Bool = false, suggestedInFlight: UInt16 = 0, budget: Budget = .within,
        keepsLimitsAlone: Bool = false
    ) {
        self.keepsLimitsAlone = keepsLimitsAlone
        self.budget = budget
        self.load = load
        self.wantsRebalance = wantsRebalance
        self.suggestedInFlight = suggestedInFlight
    }

    func encode(into buffer: inout ByteBuffer) {
        let mark = buffer.beginFrame(.hint)
        buffer.append(load)
        buffer.append((wantsRebalance ? 1 : 0) | budget.rawValue << 1 | (keepsLimitsAlone ? 8 : 0))
        buffer.append(integer: suggestedInFlight)
        buffer.endFrame(mark)
    }

    init(_ reader: inout FieldReader) throws(WireFault) {
        guard reader.remaining == 4 else { throw WireFault(.wrongFixedLength) }
        let load: UInt8 = try reader.integer()
        let flags: UInt8 = try reader.integer()
        guard flags & 0xF0 == 0, let budget = Budget(rawValue: flags >> 1 & 3) else {
            throw WireFault(.reservedNotZero)
        }
        self.init(
            load: load, wantsRebalance: flags & 1 == 1, suggestedInFlight: try reader.integer(), budget: budget,
            keepsLimitsAlone: flags & 8 == 8)
    }
}
