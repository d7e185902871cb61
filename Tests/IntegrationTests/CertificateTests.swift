// Certificates of a running cluster: rotated without a restart, revoked while they are in use.
import Core
import Foundation
import Testing

@Suite struct CertificateTests {
    /// Makes node certificates that are good for so long.
    private func issue(_ cluster: TestCluster, seconds: Int) async throws {
        let answer = try await cluster.run(
            [
                "/bin/bash", "-c",
                """
                set -e
                cd "$1"
                openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=node \\
                    -keyout fresh.key -out fresh.csr
                printf '%s\\n' 'subjectAltName=DNS:localhost,IP:127.0.0.1,URI:spiffe://sluice/node' \\
                    'extendedKeyUsage=serverAuth,clientAuth' >fresh.ext
                printf '%s\\n' '[ca]' default_ca=it '[it]' database=fresh.txt new_certs_dir=. rand_serial=yes \\
                    default_md=sha256 policy=any unique_subject=no '[any]' commonName=supplied >fresh.conf
                : >fresh.txt
                openssl ca -config fresh.conf -batch -notext -cert ca.pem -keyfile ca.key -in fresh.csr \\
                    -extfile fresh.ext -startdate "$(date -u -d '1 minute ago' +%Y%m%d%H%M%SZ)" \\
                    -enddate "$(date -u -d "$2 seconds" +%Y%m%d%H%M%SZ)" -out fresh.pem
                mv fresh.key node.key
                mv fresh.pem node.pem
                """, "issue", cluster.path("state/pki"), "\(seconds)",
            ])
        guard answer.status == 0 else { throw ClusterFailure(description: "no certificate: \(answer.error)") }
    }

    private func nodesConnected(_ cluster: TestCluster) async -> Int {
        let page = await cluster.http(cluster.at("admin"), "/metrics").body
        let line = page.split(separator: "\n").first { $0.hasPrefix("sluice_nodes_connected ") }
        return line?.split(separator: " ").last.flatMap { Int($0) } ?? -1
    }

    /// Days until a node's certificate ends, by role, as its metrics say.
    private func days(_ cluster: TestCluster, _ role: String) async -> Double {
        let page = await cluster.http(cluster.at("nodeAdmin") + 1, "/metrics").body
        let name = "sluice_certificate_expiry_timestamp_seconds{role=\"\(role)\""
        let line = page.split(separator: "\n").first { $0.hasPrefix(name) }
        let end = line?.split(separator: " ").last.flatMap { Double($0) } ?? 0
        return (end - Date().timeIntervalSince1970) / 86_400
    }

    @Test func `a node whose certificate was rotated reconnects after the old one has expired`() async throws {
        try await withCluster { cluster in
            // Node 1 begins with a certificate that ends soon, and says so.
            try await cluster.kill("node-1")
            let life = 40
            let expiry = ContinuousClock.now + .seconds(life + 1)
            try await issue(cluster, seconds: life)
            try await cluster.launch("node-1")
            try await cluster.wait("both nodes", seconds: 30) { await nodesConnected(cluster) == 2 }
            let warned = await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz").body
            #expect(warned.contains("the certificate of node, ") && warned.contains("expire"), "\(warned)")
            #expect(cluster.log("node-1").contains("the certificate of coordinator-link, "))
            #expect(await days(cluster, "coordinator-link") < 1)

            // Rotated: every context of the process has the new one.
            try await issue(cluster, seconds: 30 * 86_400)
            try cluster.child("node-1").signal(SIGHUP)
            try await cluster.wait("the reload") { cluster.log("node-1").contains("certificates_reloaded") }
            for role in ["node", "coordinator-link"] { #expect(await days(cluster, role) > 29, "\(role)") }
            let calm = await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz").body
            #expect(!calm.contains("the certificate of"), "\(calm)")

            // The old one is over, and the connection to the coordinator is a new one.
            try await Task.sleep(until: expiry)
            try await cluster.kill("coordinator")
            try await cluster.wait("a node alone", seconds: 30) {
                await cluster.http(cluster.at("nodeAdmin") + 1, "/readyz").body.contains("no coordinator")
            }
            try await cluster.launch("coordinator")
            try await cluster.wait("the coordinator", seconds: 30) { await nodesConnected(cluster) >= 0 }
            let start = ContinuousClock.now
            try await cluster.wait("both nodes again", seconds: 60) { await nodesConnected(cluster) == 2 }
            let time = Double((ContinuousClock.now - start).milliseconds) / 1_000
            print("control-plane.certificate_rotated \(time) 15.0 \(time <= 15 ? "ok" : "SHORT")")
            #expect(time <= 15)
            #expect(try await cluster.chat("hi", node: 1).status == 0)
        }
    }
}
