// Settings: one vocabulary for the command line, headers, prompts and /sim/faults.
import Testing

@testable import ProviderSim

@Suite struct BehaviourTests {
    @Test func aLineOfSettings() throws {
        var behaviour = Behaviour()
        try behaviour.set(all: "tokens=64 pace=10ms\terror=429 retry-after=3s first-token=1500us chunk=4 seed=9 tool=f")
        #expect(behaviour.tokens == 64)
        #expect(behaviour.pace == .milliseconds(10))
        #expect(behaviour.firstToken == .microseconds(1500))
        #expect(behaviour.fault == .status(429))
        #expect(behaviour.retryAfter == .seconds(3))
        #expect(behaviour.tokensPerChunk == 4)
        #expect(behaviour.seed == 9)
        #expect(behaviour.tool == "f")
    }

    @Test(arguments: [
        "503", "quota", "hang", "slow-head", "endless-headers", "not-http", "content-type", "hang-after=0",
        "cut-after=5",
        "reset-after=7", "malformed-after=1", "error-after=1000000", "no-finish", "no-done", "no-usage", "absurd-usage",
    ])
    func everyFaultIsReadAndWrittenBack(_ text: String) throws {
        #expect(Fault(text[...])?.setting == text)
        var behaviour = Behaviour()
        try behaviour.set(all: "error=\(text) error-rate=2.5% retry-after=1500ms cached=7 reasoning=8 tool=get_weather")
        var copy = Behaviour()
        try copy.set(all: behaviour.settings[...])
        #expect(copy == behaviour)
        try copy.set(all: "error=none tool=none retry-after=none")
        #expect(copy.fault == nil && copy.tool == nil && copy.retryAfter == nil)
    }

    @Test(arguments: [
        "tokens=-1", "tokens=1000001", "tokens=x", "pace=10", "pace=ms", "pace=61m", "pace=-5ms", "chunk=0",
        "error=200",
        "error=cut-after", "error=cut-after=-1", "error=hang=1", "error-rate=101%", "error-rate=5", "error-rate=nan%",
        "seed=-1", "tool=a/b", "tool=", "unknown=1", "word", "=1",
    ])
    func whatCannotBeReadSaysWhatWasExpected(_ text: String) {
        var behaviour = Behaviour()
        let problem = #expect(throws: SettingProblem.self) { try behaviour.set(all: text[...]) }
        #expect(problem?.description.contains("expected") == true)
    }

    @Test func theCommandLine() throws {
        let parsed = try SimulatorOptions.parse([
            "--listen", "127.0.0.1:0", "--lanes=2", "--api-key", "a", "--api-key", "b", "--tokens", "3", "--error",
            "cut-after=2", "--model", "m",
        ])
        var expected = SimulatorOptions()
        expected.listen = "127.0.0.1:0"
        expected.lanes = 2
        expected.apiKeys = ["a", "b"]
        expected.models = ["m"]
        expected.behaviour.tokens = 3
        expected.behaviour.fault = .cutAfter(2)
        #expect(parsed == .run(expected))
        #expect(try SimulatorOptions.parse(["--tokens", "3", "-h"]) == .help)
    }

    @Test(arguments: [
        ["tokens"], ["--tokens"], ["--tokens", "x"], ["--lanes", "0"], ["--unknown", "1"], ["--certificate", "a"],
    ])
    func aWrongCommandLineSaysWhy(_ arguments: [String]) {
        #expect(throws: SettingProblem.self) { try SimulatorOptions.parse(arguments) }
    }

    @Test func theHelpNamesEveryKey() {
        for key in Behaviour.keys { #expect(SimulatorOptions.help.contains("--\(key) ")) }
    }
}
