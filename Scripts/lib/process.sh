# Functions for processes that outlive the script: started, found again by number and birth, ended; waiting; ports.

say() { printf '%s\n' "$*"; }
die() { printf 'error: %s\n' "$*" >&2; exit 1; }

# born PID: when the process began, in ticks since the machine did; with the number it names one process for ever.
born() {
    local line fields
    { read -r line <"/proc/$1/stat"; } 2>/dev/null || return 1
    read -ra fields <<<"${line##*) }"
    # A zombie has ended; only its parent has not looked yet.
    [ "${fields[0]}" != Z ] && echo "${fields[19]}"
}

# pid_of NAME: the number of a process that launch started; fails when it has ended, whoever has its number now.
pid_of() {
    local pid birth
    { read -r pid birth <"$state/run/$1.pid"; } 2>/dev/null && [ -n "$birth" ] && [ "$(born "$pid")" = "$birth" ] && echo "$pid"
}

is_running() { pid_of "$1" >/dev/null; }

# launch NAME COMMAND…: starts a process in the background, its output in the state folder's log/NAME.log.
launch() {
    local name=$1; shift
    mkdir -p "$state/run" "$state/log"
    setsid "$@" >>"$state/log/$name.log" 2>&1 </dev/null &
    echo "$! $(born $!)" >"$state/run/$name.pid"
    disown
}

# ask_to_end NAME: SIGTERM, once: a second one would cut a node's drain short.
ask_to_end() { local pid; pid=$(pid_of "$1") && kill -TERM "$pid" 2>/dev/null || true; }

# await_end NAME SECONDS: waits for the end; kills when the time is over, says so and fails.
await_end() {
    local pid result=0
    for _ in $(seq $(($2 * 10))); do
        is_running "$1" || break
        sleep 0.1
    done
    if pid=$(pid_of "$1"); then
        say "$1 did not end within $2 s: killed"
        kill -KILL "$pid" 2>/dev/null || true
        result=1
    fi
    rm -f "$state/run/$1.pid"
    return "$result"
}

halt() { ask_to_end "$1"; await_end "$1" "$2"; }

# strike NAME: kill -9, without a word to anybody.
strike() { local pid; pid=$(pid_of "$1") && kill -KILL "$pid" && rm -f "$state/run/$1.pid"; }

# await WHAT SECONDS LOG COMMAND…: waits until the command succeeds; names the log when it does not.
await() {
    local what=$1 seconds=$2 log=$3; shift 3
    for _ in $(seq $((seconds * 20))); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.05
    done
    tail -n 5 "$log" >&2 2>/dev/null || true
    die "$what is not ready after $seconds s; see $log"
}

# free_port ADDRESS WHO: a clear message instead of a puzzling one when somebody else listens there.
free_port() {
    local port=${1##*:} owner
    owner=$(ss -ltnpH "sport = :$port" 2>/dev/null | head -n 1)
    [ -z "$owner" ] && return 0
    owner=$(sed -n 's/.*users:(("\([^"]*\)",pid=\([0-9]*\).*/\1, process \2/p' <<<"$owner")
    die "port $port, which $2 needs, is taken by ${owner:-a process of another user}; end it or change ${config:-cluster.conf}"
}

# free_ports: the first of thirty ports in a row that nobody listens on, below those that the kernel gives out.
free_ports() {
    local base
    for _ in $(seq 100); do
        base=$((RANDOM % 400 * 50 + 10000))
        [ -n "$(ss -ltnH "sport >= :$base and sport < :$((base + 30))")" ] || { echo "$base"; return 0; }
    done
    die "no thirty free ports in a row"
}
