// The end of a program does not depend on the lane that brings it about.
import CLinux
import Core
import Glibc

/// Receives the signals of a program on a thread of its own, passes them to the lane that handles them, and from the first SIGTERM or SIGINT
/// on watches that lane: one that hangs would keep the process for ever.
public final class EndWatch: @unchecked Sendable {
    /// The exit code of a program whose lane hung, so that it could not end in order.
    public static let exitCode: Int32 = 70

    /// Where signals arrive. It does nothing else, so nothing can make it hang.
    let own: Lane
    private let lane: Lane
    private let interval: Duration
    private let onSignal: @Sendable (Int32) -> Void
    private let onHang: @Sendable () -> Void
    private var signals: Signals?
    private var watch: LaneWatch?

    /// Calls `onSignal` on `lane` for each signal. When the lane makes no turn in `LaneWatch.patience` looks after a signal to end, one each
    /// `interval`, calls `onHang` on another thread: it ends the process.
    ///
    /// - Throws: `SystemFailure` when the kernel gives no thread or descriptor.
    public init(
        _ lane: Lane, every interval: Duration = .seconds(1), onSignal: @escaping @Sendable (Int32) -> Void,
        onHang: @escaping @Sendable () -> Void
    ) throws(SystemFailure) {
        own = try Lane.start(count: 1, name: "signals")[0]
        (self.lane, self.interval, self.onSignal, self.onHang) = (lane, interval, onSignal, onHang)
        signals = try Signals(lane: own) { [unowned self] number in heard(number) }
    }

    /// Runs `body` after `delay` on the thread of the signals, for what is left to do when the lane hangs.
    public func schedule(after delay: Duration, _ body: @escaping @Sendable () -> Void) {
        own.execute { [own] in own.schedule(after: delay, body) }
    }

    private func heard(_ number: Int32) {
        lane.execute { [onSignal] in onSignal(number) }
        guard number == SIGTERM || number == SIGINT, watch == nil else { return }
        let watch = LaneWatch([lane], from: own)
        watch.onChange = { [lane, onHang] _, hangs in
            // A lane that has left its loop makes no turns, either: then the program is about to exit.
            if hangs, !lane.join(atMost: .zero) { onHang() }
        }
        watch.begin(every: interval)
        self.watch = watch
    }
}
