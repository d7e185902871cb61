#!/usr/bin/env bash
# The nodes of a cluster: begun, known to the balancer, drained. Part of cluster.sh, which brings its settings.

running_nodes() { for n in {1..8}; do if is_running "node-$n"; then echo "$n"; fi; done; }

# takes_clients N: the balancer sends clients to the node.
takes_clients() { haproxy_says "show stat" | awk -F, -v name="node$1" '$1 == "nodes" && $2 == name { up = $18 == "UP" } END { exit !up }'; }

# start_node N: a node, ready, and sent clients by the balancer.
start_node() {
    if ! is_running "node-$1"; then
        for address in "$(node_address "$1")" "$(node_admin "$1")"; do free_port "$address" "node $1"; done
        launch "node-$1" "$bin/sluice-node" --config "$config" --index "$1"
        await "node $1" 15 "$state/log/node-$1.log" ready "$(node_admin "$1")" readyz
    fi
    haproxy_says "set server nodes/node$1 state ready; enable health nodes/node$1; enable server nodes/node$1" >/dev/null
    await "node $1 at the balancer" 15 "$state/log/haproxy.log" takes_clients "$1"
}

# drain_node N: the balancer sends it nobody else, then it is asked to end: new connections do not meet a closed door.
drain_node() {
    haproxy_says "set server nodes/node$1 state drain" >/dev/null
    ask_to_end "node-$1"
}

# drain_time: how long a node may take to leave, in seconds.
drain_time() { echo $(($(setting nodes.drain-notice-seconds) + $(setting nodes.drain-limit-seconds) + 10)); }
