# Functions that the cluster's scripts share: where things are, what a cluster consists of, its start and its end.
# SLUICE_CONFIG names another cluster.conf than the repository's, SLUICE_BIN a folder with programs that are built.
set -euo pipefail
umask 077 # state, logs and sockets hold key hashes, the ledger and secrets: for this user alone
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
source Scripts/lib/process.sh
source Scripts/lib/nodes.sh
bin=${SLUICE_BIN:-.build/release}

# use FILE: the cluster that the functions below mean.
use() {
    config=$(realpath "$1")
    state=$(sed -n 's/^state-directory *= *\([^ #]*\).*/\1/p' "$config")
    [[ $state == /* ]] || state=$(dirname "$config")/${state:-state}
    export SLUICE_CONFIG=$config
}
use "${SLUICE_CONFIG:-cluster.conf}"

# private FOLDER: a cluster of a script's own, like the repository's but with its state in FOLDER and on free ports, or thirty from SLUICE_PORTS.
private() {
    local base; base=${SLUICE_PORTS:-$(free_ports)}
    cp prices.csv "$1/"
    sed -e "s/:7443/:$base/; s/:7400/:$((base + 1))/; s/:7401/:$((base + 2))/; s/:7700/:$((base + 3))/" \
        -e "s/:7402/:$((base + 4))/; s/:7403/:$((base + 5))/; s/= 7500/= $((base + 10))/; s/= 7600/= $((base + 20))/" cluster.conf >"$1/cluster.conf"
    use "$1/cluster.conf"
}

# setting NAME: one value of cluster.conf, read by the tool that the programs' own parser is in.
setting() { "$bin/sluice" config get "$1" --config "$config"; }

ready() { curl -sf -o /dev/null --max-time 1 "http://$1/$2"; }
# coordinator_says NAME PATH: what its admin port answers, over TLS where cluster.conf says so.
coordinator_says() { curl -sf --max-time 1 --cacert "$(setting tls.ca-path)" "$(setting "coordinator.$1.admin-url")/$2"; }
coordinator_answers() { coordinator_says "$1" readyz >/dev/null; }
redis() { redis-cli -s "$state/redis.sock" "$@"; }
redis_answers() { [ "$(redis ping)" = PONG ]; }
haproxy_says() { printf '%s\n' "$1" | socat - "UNIX-CONNECT:$state/haproxy.sock"; }
simulator() { sed -n 's|^base-url *= *http://\([^/]*\)/.*|\1|p' "$config" | head -n 1; }
node_address() { echo "$(setting nodes.listen):$(($(setting nodes.base-port) + $1))"; }
node_admin() { echo "$(setting nodes.admin-listen):$(($(setting nodes.admin-base-port) + $1))"; }
metric() { curl -s "http://$(node_admin "$1")/metrics" | sed -n "s/^$2 //p"; }
# asking COMMAND …: the tool, speaking to this cluster through its balancer.
asking() {
    "$bin/sluice" "$1" --address "$(setting balancer.listen)" --ca "$state/pki/ca.pem" --key-file "$state/demo.key" "${@:2}"
}

# start_cluster NODES: whatever does not run yet, in order; each is ready before the next one starts.
start_cluster() {
    mkdir -p "$state/run" "$state/log"
    Scripts/lib/certificates "$state"
    if [[ $(setting redis.address) == unix:* ]] && ! is_running redis; then # another Redis is somebody else's to start
        launch redis redis-server --port 0 --unixsocket "$state/redis.sock" --unixsocketperm 700 --dir "$state" \
            --appendonly yes --maxmemory-policy noeviction --save ''
        await Redis 30 "$state/log/redis.log" redis_answers
    fi
    for name in $(setting coordinator.names); do start_coordinator "$name"; done
    if ! is_running provider-sim; then
        free_port "$(simulator)" "the provider simulator"
        launch provider-sim "$bin/sluice-provider-sim" --listen "$(simulator)"
        await "the provider simulator" 10 "$state/log/provider-sim.log" ready "$(simulator)" sim/stats
    fi
    if ! is_running haproxy; then
        free_port "$(setting balancer.listen)" HAProxy
        Scripts/lib/haproxy
        launch haproxy haproxy -db -f "$state/haproxy.cfg"
        await HAProxy 10 "$state/log/haproxy.log" haproxy_says "show info"
    fi
    for n in $(seq "$1"); do start_node "$n"; done
    [ -s "$state/demo.key" ] || (umask 077 && "$bin/sluice" keys create --config "$config" --org acme --team search \
        --label demo --model '*' 2>/dev/null >"$state/demo.key") ||
        { rm -f "$state/demo.key"; die "no demo key could be made; see $state/log/coordinator-*.log"; }
}

# start_coordinator NAME: one of the pair; which one leads they agree upon in Redis.
start_coordinator() {
    ! is_running "coordinator-$1" || return 0
    for what in listen admin; do free_port "$(setting "coordinator.$1.$what")" "coordinator $1"; done
    launch "coordinator-$1" "$bin/sluice-coordinator" --config "$config" --name "$1"
    await "coordinator $1" 10 "$state/log/coordinator-$1.log" coordinator_answers "$1"
}

# leader: who leads; fails when nobody does.
leader() {
    for name in $(setting coordinator.names); do
        coordinator_says "$name" readyz | grep -q '"leads":true' && echo "$name" && return
    done; return 1
}

# end_cluster: nodes drain together; then the rest ends. Fails when something had to be killed.
end_cluster() {
    local result=0 nodes; nodes=$(running_nodes)
    for n in $nodes; do ask_to_end "node-$n"; done
    for n in $nodes; do await_end "node-$n" "$(drain_time)" || result=1; done
    for name in haproxy $(setting coordinator.names | sed 's/[^ ]*/coordinator-&/g') provider-sim redis; do halt "$name" 10 || result=1; done
    rm -f "$state"/run/*.pid
    return "$result"
}

# strike_cluster: ends everything at once; for clusters of a script's own.
strike_cluster() {
    for file in "$state"/run/*.pid; do strike "$(basename "$file" .pid)" 2>/dev/null || true; done
}
