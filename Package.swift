// swift-tools-version: 6.2
// Declares every target, the floor it stands on, and the one set of compiler settings that all of them share.
import PackageDescription

/// Language rules of the whole house: any warning stops the build, and every unsafe expression must say `unsafe`.
let house: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .strictMemorySafety(),
    .treatAllWarnings(as: .error),
    .enableExperimentalFeature("Lifetimes"),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
]

/// Tests may reach into C and Foundation without marking each use.
let testing: [SwiftSetting] = [.swiftLanguageMode(.v6), .treatAllWarnings(as: .error)]

func room(_ name: String, on below: [String], resources: [Resource] = [], beside files: [String] = []) -> Target {
    .target(
        name: name, dependencies: below.map { .target(name: $0) }, exclude: files, resources: resources,
        swiftSettings: house)
}

func program(_ name: String, on below: [String]) -> Target {
    .executableTarget(name: name, dependencies: below.map { .target(name: $0) }, swiftSettings: house)
}

func tests(_ name: String, of rooms: [String], beside files: [String] = []) -> Target {
    .testTarget(
        name: name, dependencies: rooms.map { .target(name: $0) }, exclude: files, swiftSettings: testing)
}

/// What several test targets share.
func props(_ name: String, of rooms: [String]) -> Target {
    .target(
        name: name, dependencies: rooms.map { .target(name: $0) }, path: "Tests/\(name)", swiftSettings: testing)
}

let package = Package(
    name: "sluice",
    products: [
        .executable(name: "sluice-node", targets: ["Node"]),
        .executable(name: "sluice-coordinator", targets: ["Coordinator"]),
        .executable(name: "sluice", targets: ["Tool"]),
        .executable(name: "sluice-provider-sim", targets: ["ProviderSim"]),
        .library(name: "SluiceClient", targets: ["Client", "Wire", "Net", "Core"]),
    ],
    targets: [
        // Floor 0: doors to C.
        .systemLibrary(name: "CLinux"),
        .systemLibrary(name: "COpenSSL", providers: [.apt(["libssl-dev"])]),
        .systemLibrary(name: "CHiredis", providers: [.apt(["libhiredis-dev"])]),
        // Floor 1: materials.
        room("Core", on: []),
        // Floor 2: pure.
        room("Wire", on: ["Core"], beside: ["PROTOCOL.md"]),
        room("HTTP", on: ["Core"]),
        room("Policy", on: ["Core"]),
        room("Telemetry", on: ["Core"]),
        // Floor 3: engine.
        room("Net", on: ["Core", "Telemetry", "CLinux", "COpenSSL"]),
        // Floor 4: adapters.
        room(
            "Store", on: ["Core", "Policy", "Telemetry", "Net", "CHiredis"], resources: [.embedInCode("Scripts")]),
        room("Providers", on: ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net"]),
        room("Client", on: ["Core", "Wire", "Telemetry", "Net"]),
        // Floor 5: programs.
        program(
            "Node",
            on: ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Providers", "Client"]),
        program(
            "Coordinator",
            on: ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Providers", "Client"]),
        program("Tool", on: ["Core", "Wire", "HTTP", "Policy", "Telemetry", "Net", "Store", "Client"]),
        program("ProviderSim", on: ["Core", "HTTP", "Policy", "Telemetry", "Net"]),
        // Tests, one target a room.
        tests("CoreTests", of: ["Core"]),
        tests("TelemetryTests", of: ["Telemetry", "Core"]),
        tests("PolicyTests", of: ["Core", "Policy"]),
        tests("StoreTests", of: ["Core", "Policy", "Store", "Telemetry", "TestSupport", "Net"]),
        tests(
            "CoordinatorTests",
            of: ["Coordinator", "Client", "Core", "HTTP", "Net", "Policy", "Store", "Telemetry", "TestSupport", "Wire"]),
        tests(
            "NodeTests",
            of: ["Node", "Core", "HTTP", "Net", "Policy", "Providers", "Store", "Telemetry", "TestSupport", "Wire"]),
        tests("ProviderSimTests", of: ["ProviderSim", "Core", "Net"]),
        tests("IntegrationTests", of: ["Client", "Core", "Net", "TestSupport", "Wire"]),
        tests("NetTests", of: ["Core", "Net", "Telemetry", "TestSupport"]),
        tests("HTTPTests", of: ["Core", "HTTP"]),
        tests(
            "ProvidersTests", of: ["Core", "HTTP", "Net", "Policy", "Providers", "TestSupport", "Wire"],
            beside: ["Fixtures"]),
        tests("WireTests", of: ["Core", "Wire"], beside: ["Vectors"]),
        props("TestSupport", of: ["Core", "Net", "Wire"]),
        tests("ClientTests", of: ["Client", "Core", "Net", "TestSupport", "Wire"]),
        tests("ToolTests", of: ["Tool", "Core", "Net", "TestSupport", "Wire"]),
        tests("TidyTests", of: []),
    ]
)
