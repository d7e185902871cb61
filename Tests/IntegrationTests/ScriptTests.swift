// What operators run: the scripts of the local cluster, and the systemd units for hosts.
import Core
import Foundation
import Testing

@Suite struct ScriptTests {
    /// Runs a shell text in the repository's root with the built programs, and a folder of its own as `$WORK`.
    private func shell(_ text: String, in place: Place) async throws -> (status: Int32, output: String) {
        let output = place.folder.appending(path: "output-\(UUID().uuidString.prefix(8))").path
        let child = try await Child.start(
            ["/bin/bash", "-c", text], in: TestCluster.root.path, output: output, error: output,
            environment: [
                "SLUICE_BIN": TestCluster.products.path, "WORK": place.folder.path, "SLUICE_PORTS": "\(place.base)",
            ])
        let status = await child.exit()
        return (status, try String(contentsOfFile: output, encoding: .utf8))
    }

    @Test func `a local cluster comes up, comes up again, scales and goes down in order`() async throws {
        let place = try Place()
        let life = try await shell(
            """
            set -e
            source Scripts/lib/cluster.sh
            private "$WORK"
            trap strike_cluster EXIT
            Scripts/up --nodes 1
            before=$(cat "$state"/run/*.pid)
            Scripts/up --nodes 1
            [ "$before" = "$(cat "$state"/run/*.pid)" ] || die "the second start changed processes"
            Scripts/scale 2
            # A number that somebody else has by now is not the process that was started.
            cp "$state/run/node-2.pid" "$WORK/kept"
            echo "$$ 1" >"$state/run/node-2.pid"
            is_running node-2 && die "a stranger was taken for a node"
            Scripts/status
            open=$(find "$state" -perm /077)
            [ -z "$open" ] || die "others may read: $open"
            cp "$WORK/kept" "$state/run/node-2.pid"
            Scripts/down
            [ -z "$(ls "$state/run")" ] || die "left behind: $(ls "$state/run")"
            """, in: place)
        #expect(life.status == 0, "\(life.output)")
        #expect(life.output.contains("node 2 serves") && life.output.contains("node-2         ENDED"))
        #expect(!life.output.contains("killed"), "\(life.output)")
        place.leave()
    }

    @Test func `a port that is taken is named together with who has it`() async throws {
        let place = try Place()
        let answer = try await shell(
            """
            source Scripts/lib/cluster.sh
            private "$WORK"
            trap 'kill $other; strike_cluster' EXIT
            port=$(setting coordinator.a.admin | cut -d: -f2)
            redis-server --port "$port" --save '' --dir "$WORK" >/dev/null &
            other=$!
            await "the other" 5 /dev/null redis-cli -p "$port" ping
            Scripts/up --nodes 1
            """, in: place)
        #expect(answer.status == 1)
        #expect(answer.output.contains("is taken by redis-server, process"), "\(answer.output)")
        place.leave()
    }

    @Test(.enabled(if: FileManager.default.isExecutableFile(atPath: "/usr/bin/systemd-analyze")))
    func `the systemd units are valid and give away little`() async throws {
        let place = try Place()
        let answer = try await shell(
            """
            set -e
            for unit in sluice-node sluice-coordinator; do
                # Programs are checked for being there: those that were just built.
                sed "s#=/usr/bin/sluice#=$SLUICE_BIN/sluice#" "Scripts/systemd/$unit@.service" >"$WORK/$unit@1.service"
                systemd-analyze verify --man=no "$WORK/$unit@1.service"
                systemd-analyze security --offline=true --no-pager --threshold=15 "$WORK/$unit@1.service" | tail -n 1
            done
            """, in: place)
        #expect(answer.status == 0, "\(answer.output)")
        #expect(!answer.output.contains("Unknown key"), "\(answer.output)")
        place.leave()
    }
}
