#!/usr/bin/env python3
"""tributary beside its peers: the same data, the same queries, one table.

    cargo build --release && python3 compat-tests/peers_bench.py
    python3 compat-tests/peers_bench.py --only ingest --series 100000 --steps 240
    python3 compat-tests/peers_bench.py --victoria-metrics /path/to/newer --prometheus /path/to/newer

Peers are Debian's `victoria-metrics` and `prometheus`, or the binaries named; one that is not there is
left out. Figures are CPU seconds of the server, so they hold on a busy machine; each server runs alone
and starts empty. Only Python's standard library.
"""

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import time
import urllib.parse
import urllib.request

import peers_dashboards
import peers_scale
import promql_fuzz
from peers import ask, load, measure, row, servers, shown, size_of, to_blocks


def ingest(tributary, found, arguments):
    start = int(time.time()) - arguments.steps * arguments.interval
    for protocol in ("remote-write", "remote-write-2", "carbon", "carbon-tagged", "telnet", "http-put"):
        cells = []
        for server in found:
            # VictoriaMetrics does not speak remote write 2.0.
            is_http = protocol == "remote-write" or protocol == "remote-write-2" and server.name != "victoria-metrics"
            if not is_http and protocol not in server.lines:
                cells.append("-")
                continue
            server.start()
            cost = load(tributary, server, protocol, arguments.series, arguments.steps, arguments.interval, start)
            cells.append(f"{cost:.3f} µs, {server.memory('VmHWM') / 1e6:.0f} MB")
            server.stop()
        row(f"{protocol}: CPU a sample, peak memory", cells)


def bytes_at_rest(server, settle):
    """What the data of a server take once it has had its time to flush and merge; ends the server."""
    time.sleep(settle)
    to_blocks(server)
    total = size_of(os.path.join(server.directory, "data"))
    shutil.rmtree(server.directory, ignore_errors=True)
    return total


def disk(tributary, found, arguments):
    start = int(time.time()) - arguments.steps * arguments.interval - 8 * 3600
    start -= start % 7200
    cells = []
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, arguments.steps, arguments.interval, start)
        total = bytes_at_rest(server, arguments.settle)
        cells.append(f"{total / (arguments.series * arguments.steps):.2f} B")
    row(f"disk: bytes a sample, {arguments.series} series x {arguments.steps}", cells)


def scrapes(count, port):
    """What a node_exporter of this machine says, once a second, as lines of text."""
    address = f"127.0.0.1:{port}"
    exporter = subprocess.Popen(["prometheus-node-exporter", f"--web.listen-address={address}", "--log.level=error"])
    try:
        time.sleep(2)
        for _ in range(count):
            began = time.time()
            text = urllib.request.urlopen(f"http://{address}/metrics").read().decode()
            yield [line for line in text.splitlines() if line and not line.startswith("#")]
            time.sleep(max(0, began + 1 - time.time()))
    finally:
        exporter.terminate()
        exporter.wait()


def node(tributary, found, arguments):
    """Bytes a sample of a real node_exporter: one scrape a second, told as one every fifteen."""
    taken = list(scrapes(arguments.steps, arguments.port + 7))
    start = (int(time.time()) - len(taken) * 15 - 8 * 3600) // 7200 * 7200
    samples = sum(map(len, taken))
    cells = []
    for server in (server for server in found if server.name != "prometheus"):
        server.start()
        for at, lines in enumerate(taken):
            body = "".join(f"{line} {(start + 15 * at) * 1000}\n" for line in lines).encode()
            urllib.request.urlopen(server.http + "/api/v1/import/prometheus", body, timeout=300).read()
        cells.append(f"{bytes_at_rest(server, arguments.settle) / samples:.2f} B")
    row(f"disk: node_exporter, {len(taken[-1])} series x {len(taken)}", cells)


def cardinality(tributary, found, arguments):
    series = arguments.many
    start = int(time.time()) - 60
    lines = {name: [] for name in ("write", "memory", "count", "regex", "restart")}
    for server in found:
        server.start()
        cost = load(tributary, server, "remote-write", series, 4, 15, start)
        lines["write"].append(f"{cost:.2f} µs")
        lines["memory"].append(f"{server.memory() / 1e6:.0f} MB")
        at = int(time.time())
        lines["count"].append(ask(server, 'count({__name__=~".+"})', 3, time=start + 45))
        lines["regex"].append(ask(server, 'count({hostname=~".*_[0-9]*77"})', 5, time=start + 45))
        server.stop(signal.SIGKILL, keep=True)
        lines["restart"].append(f"{server.start(server.directory):.1f} s")
        server.stop()
    row(f"{series} new series x 4: CPU a sample", lines["write"])
    row("  memory afterwards", lines["memory"])
    row('  count({__name__=~".+"})', lines["count"])
    row('  count({hostname=~".*_[0-9]*77"})', lines["regex"])
    row("  ready after kill -9", lines["restart"])


# PromQL by operator family: what is asked, of which data set, and for how long back.
FAMILIES = [
    ("rate, 1,000 series", "hour", "rate(cpu_usage_0[5m])"),
    ("sum(rate), 1,000 series", "hour", "sum(rate(cpu_usage_0[5m]))"),
    ("sum by (le) (rate), 10,000 series", "hour", "sum by (le) (rate(latency_bucket[5m]))"),
    ("topk(10), 10,000 series", "hour", 'topk(10, {__name__=~"cpu_usage_.*"})'),
    ("quantile(0.9), 10,000 series", "hour", 'quantile(0.9, {__name__=~"cpu_usage_.*"})'),
    ("quantile_over_time, 1,000 series", "hour", "quantile_over_time(0.9, cpu_usage_0[10m])"),
    ("max_over_time, 1,000 series", "hour", "max_over_time(cpu_usage_0[10m])"),
    ("histogram_quantile, 10,000 buckets", "hour", "histogram_quantile(0.9, sum by (le, hostname) (rate(latency_bucket[5m])))"),
    ("histogram_quantile of sums, 10,000 buckets", "hour", "histogram_quantile(0.9, sum by (le) (rate(latency_bucket[5m])))"),
    ("10,000 x 10,000 one to one", "hour", "count(latency_bucket / on (le, hostname) latency_bucket)"),
    ("1,000 x 1,000 one to one", "hour", "cpu_usage_0 - on (hostname) cpu_usage_1"),
    ("count_values, 1,000 series", "hour", 'count_values("v", round(cpu_usage_0))'),
    ("7 d sub-query, 10 series", "week", "max_over_time(rate(cpu_usage_0[5m])[7d:5m])"),
]


def bucket_bodies(start, steps, interval):
    """1,000 histograms of ten buckets in remote write's words."""
    bounds = ["0.01", "0.05", "0.1", "0.25", "0.5", "1", "2.5", "5", "10", "+Inf"]
    series = [({"__name__": "latency_bucket", "hostname": f"host_{host}", "le": le}, host, place)
              for host in range(1000) for place, le in enumerate(bounds)]
    for step in range(0, steps, 20):
        rows = []
        for labels, host, place in series:
            samples = [promql_fuzz.float_sample((start + at * interval) * 1000, float(at * (place + 1) * (host % 7 + 1)))
                       for at in range(step, min(step + 20, steps))]
            rows.append((labels, samples))
        yield promql_fuzz.snappy(promql_fuzz.write_request(rows))


def families(tributary, found, arguments):
    """Every family over one hour (or a week) at 15 s steps; CPU of the server and latency."""
    now = int(time.time()) // 60 * 60
    hour, week = now - 3600, now - 7 * 86400
    table = [[] for _ in FAMILIES]
    for server in found:
        for data in ("hour", "week"):
            server.start()
            if data == "hour":
                load(tributary, server, "remote-write", arguments.series, 240, 15, hour)
                writer = promql_fuzz.Server(server.write)
                for body in bucket_bodies(hour, 240, 15):
                    writer.write(body)
            else:
                load(tributary, server, "remote-write", 1_000, 7 * 1440, 60, week)
            server.settle()
            for index, (_, of, query) in enumerate(FAMILIES):
                if of == data:
                    span = {"start": hour, "end": hour + 3585, "step": 15} if of == "hour" else {"time": now}
                    table[index].append(ask(server, query, 15, **span))
                    print(server.name, FAMILIES[index][0], table[index][-1], file=sys.stderr, flush=True)
            server.stop()
    for (name, _, _), cells in zip(FAMILIES, table):
        row(name, cells)


# The same of OpenTSDB's words and of PromQL's.
DAYS = [
    ("sum:1m-avg:day", "sum(avg_over_time(day[1m]))"),
    ("sum:1m-avg:day{dc=*}", "sum by (dc) (avg_over_time(day[1m]))"),
    ("max:1m-max:day", "max(max_over_time(day[1m]))"),
]


def day_of_lines(series, start, interval):
    """A gauge of many hosts over one day as JSON lines, some hosts alike."""
    noise = random.Random(1)
    count = 86400 // interval
    times = ",".join(str((start + at * interval) * 1000) for at in range(count))
    walks = []
    for _ in range(60):
        value, walk = 5000, []
        for _ in range(count):
            value += noise.randint(-60, 60)
            walk.append(f"{value / 100:.2f}")
        walks.append(",".join(walk))
    for first in range(0, series, 100):
        yield "".join(
            f'{{"metric":{{"__name__":"day","host":"host_{at:05}","dc":"dc{at % 7}"}},'
            f'"values":[{noise.choice(walks)}],"timestamps":[{times}]}}\n'
            for at in range(first, min(first + 100, series))).encode()


def opentsdb(tributary, found, arguments):
    """10,000 series over a day, thinned to minutes: OpenTSDB's query here, PromQL's there."""
    start = int(time.time()) // 86400 * 86400 - 2 * 86400
    table = [[] for _ in DAYS]
    found = [server for server in found if server.name != "prometheus"]
    for server in found:
        server.start()
        for body in day_of_lines(10_000, start, 30):
            urllib.request.urlopen(server.http + "/api/v1/import", body, timeout=300).read()
        server.settle()
        for index, (own, promql) in enumerate(DAYS):
            if server.name == "tributary":
                cell = ask_opentsdb(server, own, 5, start=start, end=start + 86399)
            else:
                cell = ask(server, promql, 5, start=start, end=start + 86399, step=60)
            table[index].append(cell)
        server.stop()
    for (name, _), cells in zip(DAYS, table):
        row(f"{name}, 10,000 series, 1 day at 30 s", cells)


def ask_opentsdb(server, query, repeat, **params):
    path = "/api/query?" + urllib.parse.urlencode({"m": query, **params})
    return shown(measure(server, path, None, repeat))


PARTS = {"ingest": ingest, "disk": disk, "node": node, "cardinality": cardinality, "queries": peers_dashboards.queries,
         "families": families, "opentsdb": opentsdb, "cold": peers_dashboards.cold,
         "together": peers_dashboards.together, "scale": peers_scale.scale}
# Many minutes, root, gigabytes of memory or another package: only where asked for.
SLOW = {"cold", "node", "scale"}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tributary")
    parser.add_argument("--victoria-metrics", default="victoria-metrics")
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--servers", help="names, comma-separated")
    parser.add_argument("--only", help=f"of {','.join(PARTS)}, comma-separated")
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--settle", type=float, default=20)
    parser.add_argument("--port", type=int, default=29000, help="the first of eight ports")
    parser.add_argument("--sizes", default="10000,100000,1000000,10000000", help="numbers of series for scale")
    parser.add_argument("--csv", help="where scale writes its table for benches/scale_chart.py")
    parser.add_argument("--set", action="append", help="a setting of tributary")
    arguments = parser.parse_args()
    tributary, found = servers(arguments)
    row("", [server.name for server in found])
    for name in (arguments.only or ",".join(part for part in PARTS if part not in SLOW)).split(","):
        PARTS[name](tributary, found, arguments)


if __name__ == "__main__":
    main()
