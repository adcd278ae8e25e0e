#!/usr/bin/env bash
# The main job, for real: a Prometheus that scrapes a node_exporter remote-writes into tributary for a
# minute, carbon and OpenTSDB clients write beside it, tributary is killed with -9 in between and
# restarted, and at the end both answer the same queries.
#
# Needs the Debian packages `prometheus` and `prometheus-node-exporter` (installed here when the
# script may) and python3. Exits 0 with a line saying so where they cannot be had.
#
#   PROMETHEUS=, NODE_EXPORTER=   binaries to use instead
#   SECONDS_TO_RUN=60             how long to scrape
set -euo pipefail
cd "$(dirname "$0")/.."
prometheus=${PROMETHEUS:-prometheus}
exporter=${NODE_EXPORTER:-prometheus-node-exporter}
run_for=${SECONDS_TO_RUN:-60}
tributary=${TRIBUTARY:-${CARGO_TARGET_DIR:-target}/release/tributary}

have() { command -v "$1" >/dev/null 2>&1; }
if ! have "$prometheus" || ! have "$exporter"; then
  if [ "$(id -u)" = 0 ] && have apt-get; then
    # No service may start: this script runs its own, on its own ports.
    printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d && chmod +x /usr/sbin/policy-rc.d
    (apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq \
      --no-install-recommends prometheus prometheus-node-exporter) >/dev/null 2>&1 || true
    rm -f /usr/sbin/policy-rc.d
  fi
fi
if ! have "$prometheus" || ! have "$exporter" || ! have python3; then
  echo "0 compared: prometheus and prometheus-node-exporter cannot be installed here"
  exit 0
fi
[ -x "$tributary" ] || cargo build --release

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

cat > "$work/prometheus.yml" <<YAML
global: {scrape_interval: 1s}
scrape_configs:
  - job_name: node
    static_configs: [{targets: ["127.0.0.1:19100"]}]
  - job_name: prometheus
    static_configs: [{targets: ["127.0.0.1:19090"]}]
  - job_name: tributary
    static_configs: [{targets: ["127.0.0.1:19009"]}]
remote_write:
  - url: http://127.0.0.1:19009/api/v1/write
    queue_config: {batch_send_deadline: 500ms, max_backoff: 1s}
YAML

start_tributary() {
  "$tributary" --data-dir "$work/data" --set listen.http=127.0.0.1:19009 \
    --set listen.graphite_tcp=127.0.0.1:12003 --set listen.graphite_udp=127.0.0.1:12003 \
    --set listen.graphite_pickle=127.0.0.1:12004 --set listen.opentsdb=127.0.0.1:14242 \
    >> "$work/tributary.log" 2>&1 &
  tributary_pid=$!
  pids+=("$tributary_pid")
  for _ in $(seq 100); do
    curl -sf http://127.0.0.1:19009/-/ready >/dev/null && return
    sleep 0.1
  done
  echo "tributary did not become ready:"; cat "$work/tributary.log"; exit 1
}

start_tributary
"$exporter" --web.listen-address=127.0.0.1:19100 > "$work/exporter.log" 2>&1 &
pids+=($!)
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prom" \
  --web.listen-address=127.0.0.1:19090 > "$work/prometheus.log" 2>&1 &
pids+=($!)

python3 compat-tests/real_prometheus.py feed --seconds $((run_for / 2)) --acknowledged "$work/acknowledged"
echo "killing tributary with -9"
kill -9 "$tributary_pid"; wait "$tributary_pid" 2>/dev/null || true
start_tributary
python3 compat-tests/real_prometheus.py feed --seconds $((run_for - run_for / 2)) --acknowledged "$work/acknowledged"
# Whatever Prometheus could not send while tributary was down is sent again by now.
sleep 8
if ! python3 compat-tests/real_prometheus.py compare --acknowledged "$work/acknowledged"; then
  tail -n 20 "$work/tributary.log" "$work/prometheus.log"
  exit 1
fi
