# Functions that the cluster's scripts share: where things are, starting and stopping one process, waiting.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
config=$(realpath "${SLUICE_CONFIG:-cluster.conf}")
state=$(dirname "$config")/$(sed -n "s|^state-directory *= *\([^ #]*\).*|\1|p" "$config")
bin=${SLUICE_BIN:-.build/release}

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# setting NAME: one value of cluster.conf, read by the tool that the programs' own parser is in.
setting() { "$bin/sluice" config get "$1" --config "$config"; }

is_running() { [ -f "$state/run/$1.pid" ] && kill -0 "$(cat "$state/run/$1.pid")" 2>/dev/null; }

# launch NAME COMMAND…: starts a process in the background, its output in state/log/NAME.log.
launch() {
    local name=$1; shift
    mkdir -p "$state/run" "$state/log"
    setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
    echo $! >"$state/run/$name.pid"
}

# halt NAME SECONDS: asks a process to end, waits, and kills it only when the time is over.
halt() {
    is_running "$1" || { rm -f "$state/run/$1.pid"; return 0; }
    local pid; pid=$(cat "$state/run/$1.pid")
    kill -TERM "$pid" 2>/dev/null || true
    for _ in $(seq $(($2 * 10))); do
        kill -0 "$pid" 2>/dev/null || { rm -f "$state/run/$1.pid"; return 0; }
        sleep 0.1
    done
    say "$1 did not end within $2 s: killed"
    kill -KILL "$pid" 2>/dev/null || true
    rm -f "$state/run/$1.pid"
}

# await WHAT SECONDS LOG COMMAND…: waits until the command succeeds; names the log when it does not.
await() {
    local what=$1 seconds=$2 log=$3; shift 3
    for _ in $(seq $((seconds * 10))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.1
    done
    tail -n 5 "$log" >&2 2>/dev/null || true
    die "$what is not ready after $seconds s; see $log"
}

# free_port ADDRESS WHO: a clear message instead of a puzzling one when somebody else listens there.
free_port() {
    local port=${1##*:} owner
    owner=$(ss -ltnpH "sport = :$port" 2>/dev/null | head -n 1)
    [ -z "$owner" ] || die "port $port, which $2 needs, is taken: $(sed 's/.*users:((//; s/).*//' <<<"$owner")"
}

ready() { curl -sf -o /dev/null --max-time 1 "http://$1/$2"; }
haproxy_says() { printf '%s\n' "$1" | socat - "UNIX-CONNECT:$state/haproxy.sock"; }
node_address() { echo "$(setting nodes.listen):$(($(setting nodes.base-port) + $1))"; }
node_admin() { echo "$(setting nodes.listen):$(($(setting nodes.admin-base-port) + $1))"; }
running_nodes() { for file in "$state"/run/node-*.pid; do [ -e "$file" ] && basename "$file" .pid | cut -d- -f2; done | sort -n; }

# start_node N: a node, ready, and known to the balancer.
start_node() {
    is_running "node-$1" && return 0
    free_port "$(node_address "$1")" "node $1"
    free_port "$(node_admin "$1")" "node $1"
    launch "node-$1" "$bin/sluice-node" --config cluster.conf --index "$1"
    await "node $1" 15 "$state/log/node-$1.log" ready "$(node_admin "$1")" readyz
    haproxy_says "set server nodes/node$1 state ready; enable health nodes/node$1; enable server nodes/node$1" >/dev/null
}

# stop_node N: no new connections, then a drain, then the end: nothing that runs is lost.
stop_node() {
    haproxy_says "set server nodes/node$1 state drain" >/dev/null || true
    halt "node-$1" $(($(setting nodes.drain-notice-seconds) + $(setting nodes.drain-limit-seconds) + 10))
    haproxy_says "disable server nodes/node$1" >/dev/null || true
}
