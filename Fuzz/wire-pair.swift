// Two well-behaved machines under any schedule: nobody may fail, and the ledger must close.
// Rooms: Core Wire
// Shared: Tests/WireTests/Schedule.swift
import Core
import Wire

final class Choices {
    var input: Input
    init(_ input: Input) { self.input = input }
}

@_cdecl("LLVMFuzzerTestOneInput")
public func fuzz(_ pointer: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let choices = Choices(Input(pointer, count))
    let schedule = Schedule { choices.input.below($0) }
    schedule.run(steps: min(600, count))
    precondition(schedule.violations.isEmpty, "\(schedule.violations)")
    return 0
}
