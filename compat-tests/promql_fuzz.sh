#!/usr/bin/env bash
# Random PromQL asked of tributary and of a real Prometheus over the same random data: both are started
# empty, filled by remote write and stopped again; see promql_fuzz.py for what is asked and compared.
#
#   PROMETHEUS=prometheus   the binary; Debian's 2.x is asked what 2.x and 3.x answer alike, a 3.x the
#                           whole language with its experimental parts
#   SEED=1 QUERIES=2000
set -euo pipefail
cd "$(dirname "$0")/.."
prometheus=${PROMETHEUS:-prometheus}
tributary=${TRIBUTARY:-${CARGO_TARGET_DIR:-target}/release/tributary}
if ! command -v "$prometheus" >/dev/null || ! command -v python3 >/dev/null; then
  echo "0 compared: there is no prometheus here"
  exit 0
fi

level=2
features=()
options=()
if ! "$prometheus" --version 2>&1 | grep -q 'version 2'; then
  level=3
  features=("--enable-feature=promql-experimental-functions,promql-extended-range-selectors,promql-binop-fill-modifiers")
  options=(--features)
fi

work=$(mktemp -d)
pids=()
finish() {
  for pid in "${pids[@]}"; do kill -9 "$pid" 2>/dev/null && wait "$pid" 2>/dev/null || true; done
  rm -rf "$work"
}
trap finish EXIT

echo 'global: {}' > "$work/prometheus.yml"
"$prometheus" --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/prom" --storage.tsdb.retention.time=100y \
  --web.listen-address=127.0.0.1:19091 --web.enable-remote-write-receiver --query.max-samples=500000000 \
  ${features[@]+"${features[@]}"} > "$work/prometheus.log" 2>&1 &
pids+=($!)
"$tributary" --data-dir "$work/data" --set listen.http=127.0.0.1:19010 --set listen.graphite_tcp= --set listen.graphite_udp= \
  --set listen.graphite_pickle= --set listen.opentsdb= ${features[@]+"${features[@]}"} > "$work/tributary.log" 2>&1 &
pids+=($!)
for port in 19091 19010; do
  for _ in $(seq 150); do
    curl -sf "http://127.0.0.1:$port/-/ready" >/dev/null && break
    sleep 0.1
  done
done
python3 compat-tests/promql_fuzz.py --tributary http://127.0.0.1:19010 --prometheus http://127.0.0.1:19091 \
  --seed "${SEED:-1}" --queries "${QUERIES:-2000}" --level "$level" ${options[@]+"${options[@]}"}
