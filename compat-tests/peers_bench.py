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
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import promql_fuzz

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Server:
    """A server under test: how to start it and where it listens."""

    def __init__(self, name, command, http, write, lines=None):
        self.name, self.command, self.http, self.write = name, command, http, write
        self.lines = lines or {}
        self.process = None
        self.directory = None

    def start(self, directory=None):
        self.directory = directory or tempfile.mkdtemp(prefix=f"bench-{self.name}-")
        command = [part.replace("{dir}", self.directory) for part in self.command]
        log = open(os.path.join(self.directory, "log"), "ab")
        started = time.time()
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for _ in range(1200):
            try:
                urllib.request.urlopen(self.http + "/-/ready", timeout=5).read()
                return time.time() - started
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(open(log.name).read()[-2000:])
                time.sleep(0.05)
        raise SystemExit(f"{self.name} does not become ready")

    def stop(self, how=signal.SIGTERM, keep=False):
        self.process.send_signal(how)
        self.process.wait()
        if not keep:
            shutil.rmtree(self.directory, ignore_errors=True)

    def cpu_seconds(self):
        """Of all its threads, in nanoseconds' resolution: the number of Linux's CPU clock of a process."""
        return time.clock_gettime((~self.process.pid << 3) | 2)

    def memory(self, key="VmRSS"):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(key + r":\s+(\d+)", status).group(1)) * 1024

    def rest(self, seconds=300):
        """Waits until the server uses no CPU, and says how long that took."""
        started, last = time.time(), self.cpu_seconds()
        while time.time() - started < seconds:
            time.sleep(2)
            now = self.cpu_seconds()
            if now - last < 0.06:
                break
            last = now
        return time.time() - started


def size_of(directory):
    """Bytes of data at rest: write-ahead logs, whose files are reused or dropped later, are left out."""
    total = 0
    for base, _, names in os.walk(directory):
        if {"wal", "chunks_head"} & set(base.split(os.sep)):
            continue
        for name in names:
            if name != "log":
                try:
                    total += os.stat(os.path.join(base, name)).st_size
                except OSError:
                    pass
    return total


def servers(arguments):
    found = []
    tributary = arguments.tributary or os.path.join(
        os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "tributary")
    settings = ["listen.http=127.0.0.1:29009", "listen.graphite_tcp=127.0.0.1:22003", "listen.graphite_udp=",
                "listen.graphite_pickle=", "listen.opentsdb=127.0.0.1:24242", "log.level=warn"]
    command = [tributary, "--data-dir", "{dir}/data"]
    for item in settings + (arguments.set or []):
        command += ["--set", item]
    found.append(Server("tributary", command, "http://127.0.0.1:29009", "http://127.0.0.1:29009/api/v1/write", {
        "carbon": "127.0.0.1:22003", "carbon-tagged": "127.0.0.1:22003", "telnet": "127.0.0.1:24242",
        "http-put": "http://127.0.0.1:24242/api/put"}))
    victoria = shutil.which(arguments.victoria_metrics)
    if victoria:
        found.append(Server("victoria-metrics", [
            victoria, "-storageDataPath={dir}/data", "-retentionPeriod=100y", "-httpListenAddr=127.0.0.1:28428",
            "-graphiteListenAddr=127.0.0.1:32003", "-opentsdbListenAddr=127.0.0.1:34242",
            "-opentsdbHTTPListenAddr=127.0.0.1:34243", "-search.maxUniqueTimeseries=30000000",
            "-search.disableCache=true"],
            "http://127.0.0.1:28428", "http://127.0.0.1:28428/api/v1/write", {
                "carbon": "127.0.0.1:32003", "carbon-tagged": "127.0.0.1:32003", "telnet": "127.0.0.1:34242",
                "http-put": "http://127.0.0.1:34243/api/put"}))
    prometheus = shutil.which(arguments.prometheus)
    if prometheus:
        empty = os.path.join(tempfile.gettempdir(), "bench-prometheus.yml")
        open(empty, "w").write("storage: {tsdb: {out_of_order_time_window: 8d}}\n")
        found.append(Server("prometheus", [
            prometheus, f"--config.file={empty}", "--storage.tsdb.path={dir}/data",
            "--web.listen-address=127.0.0.1:29090", "--web.enable-remote-write-receiver"],
            "http://127.0.0.1:29090", "http://127.0.0.1:29090/api/v1/write"))
    wanted = arguments.servers.split(",") if arguments.servers else [server.name for server in found]
    return tributary, [server for server in found if server.name in wanted]


def load(tributary, server, protocol, series, steps, interval, start):
    target = server.lines.get(protocol, server.write)
    command = [tributary, "bench", "ingest", "--protocol", protocol, "--target", target, "--series", str(series),
               "--steps", str(steps), "--interval", str(interval), "--start", str(start)]
    before = server.cpu_seconds()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    server.rest()
    return (server.cpu_seconds() - before) * 1e6 / (series * steps)


def ask(server, query, repeat, **params):
    """Median latency in ms and CPU in ms of a query."""
    path = "/api/v1/query_range" if "start" in params else "/api/v1/query"
    data = urllib.parse.urlencode({"query": query, "nocache": "1", **params}).encode()
    latencies, before = [], server.cpu_seconds()
    for _ in range(repeat):
        started = time.time()
        try:
            urllib.request.urlopen(server.http + path, data, timeout=120).read()
        except OSError as error:
            return f"{error}"[:30]
        latencies.append((time.time() - started) * 1000)
    cpu = (server.cpu_seconds() - before) * 1000 / repeat
    return f"{sorted(latencies)[len(latencies) // 2]:.1f} ms ({cpu:.1f} CPU)"


def row(name, cells):
    print(f"{name:<58}" + "".join(f"{cell:>28}" for cell in cells), flush=True)


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


def disk(tributary, found, arguments):
    """Bytes a sample once a server has had its time to flush and merge."""
    start = int(time.time()) - arguments.steps * arguments.interval - 8 * 3600
    start -= start % 7200
    cells = []
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, arguments.steps, arguments.interval, start)
        if server.name == "victoria-metrics":
            urllib.request.urlopen(server.http + "/internal/force_flush").read()
            urllib.request.urlopen(server.http + "/internal/force_merge").read()
        time.sleep(arguments.settle)
        server.rest()
        if server.name == "tributary":
            server.stop(keep=True)
            server.command += ["--set", "storage.flush_on_close=true"]
            server.start(server.directory)
            server.stop(keep=True)
            server.command = server.command[:-2]
            total = size_of(os.path.join(server.directory, "data"))
        else:
            total = size_of(os.path.join(server.directory, "data"))
            server.stop(keep=True)
        shutil.rmtree(server.directory, ignore_errors=True)
        cells.append(f"{total / (arguments.series * arguments.steps):.2f} B")
    row(f"disk: bytes a sample, {arguments.series} series x {arguments.steps}", cells)


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


QUERIES = [
    ("sum(rate(x[5m])), 1,000 series, 1 h at 60 s", "sum(rate(cpu_usage_0[5m]))"),
    ("one host, max", 'max_over_time(cpu_usage_1{hostname="host_7"}[1m])'),
    ("8 hosts, avg by host", 'avg by (hostname) (cpu_load_3{hostname=~"host_(1|2|3|4|5|6|7|8)"})'),
    ("all hosts, avg by region", "avg by (region) (cpu_usage_2)"),
    ("topk", "topk(5, rate(net_1[5m]))"),
    ("quantile", "quantile(0.9, cpu_load_1)"),
    ("join", "disk_1 / on (hostname) disk_2"),
]


def queries(tributary, found, arguments):
    start = int(time.time()) - 3600
    table = [[] for _ in QUERIES]
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, 240, 15, start)
        for index, (_, query) in enumerate(QUERIES):
            table[index].append(ask(server, query, 20, start=start, end=start + 3600, step=60))
        server.stop()
    for (name, _), cells in zip(QUERIES, table):
        row(name, cells)


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
            if server.name == "victoria-metrics":
                urllib.request.urlopen(server.http + "/internal/force_flush").read()
            server.rest()
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
        if server.name == "victoria-metrics":
            urllib.request.urlopen(server.http + "/internal/force_flush").read()
        server.rest()
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
    url = f"{server.http}/api/query?" + urllib.parse.urlencode({"m": query, **params})
    latencies, before = [], server.cpu_seconds()
    for _ in range(repeat):
        started = time.time()
        urllib.request.urlopen(url, timeout=120).read()
        latencies.append((time.time() - started) * 1000)
    cpu = (server.cpu_seconds() - before) * 1000 / repeat
    return f"{sorted(latencies)[len(latencies) // 2]:.1f} ms ({cpu:.1f} CPU)"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tributary")
    parser.add_argument("--victoria-metrics", default="victoria-metrics")
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--servers", help="names, comma-separated")
    parser.add_argument("--only", help="of ingest,disk,cardinality,queries,families,opentsdb, comma-separated")
    parser.add_argument("--series", type=int, default=100_000)
    parser.add_argument("--steps", type=int, default=240)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--settle", type=float, default=20)
    parser.add_argument("--set", action="append", help="a setting of tributary")
    arguments = parser.parse_args()
    tributary, found = servers(arguments)
    row("", [server.name for server in found])
    parts = {"ingest": ingest, "disk": disk, "cardinality": cardinality, "queries": queries, "families": families,
             "opentsdb": opentsdb}
    for name in (arguments.only or "ingest,disk,cardinality,queries,families,opentsdb").split(","):
        parts[name](tributary, found, arguments)


if __name__ == "__main__":
    main()
