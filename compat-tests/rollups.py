#!/usr/bin/env python3
"""Rollups in the real program: months of samples, every question asked of summaries and of samples alone.

    cargo build --release && python3 compat-tests/rollups.py --days 90 --hosts 20

Loads the same samples into two servers, one with rules and one without; waits until everything is rolled up; then asks
questions in all three languages (of the first server also with `rollups=false`), compares the answers and prints what each
cost the server in CPU seconds and how many bytes the stores have. At the end late samples and a delete, and, with a
retention, answers from summaries whose samples are gone. Only Python's standard library.
"""

import argparse, json, math, os, random, shutil, signal, subprocess, tempfile, time, urllib.error, urllib.parse, urllib.request

DAY = 86_400
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
RULE = """
[[storage.rollup_rule]]
match = '{__name__=~"roll_.+"}'
resolutions = ["5m", "1h"]
"""


class Server:
    def __init__(self, binary, directory, port, rule, settings=()):
        self.binary, self.data, self.port, self.lines = binary, os.path.join(directory, "data"), port, port + 1
        self.config = os.path.join(directory, "tributary.toml")
        os.makedirs(directory, exist_ok=True)
        with open(self.config, "w") as file:
            file.write(rule)
        self.log = open(os.path.join(directory, "log"), "ab")
        self.start(settings)

    def start(self, settings=()):
        command = [self.binary, "--config", self.config, "--data-dir", self.data]
        for item in [f"listen.http=127.0.0.1:{self.port}", f"listen.opentsdb=127.0.0.1:{self.lines}", "listen.graphite_tcp=",
                     "listen.graphite_udp=", "listen.graphite_pickle=", "prometheus.admin_api=true", "log.level=warn",
                     "graphite.step=15s", *settings]:
            command += ["--set", item]
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        for _ in range(1200):
            try:
                return urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=5).read()
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(open(self.log.name).read()[-2000:])
                time.sleep(0.05)
        raise SystemExit("the server does not become ready")

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(120)

    def ask(self, path, body=None, method=None):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", body, method=method)
        with urllib.request.urlopen(request, timeout=600) as answer:
            return answer.read()

    def post(self, path, body=b""):
        """Repeats what the server cannot take yet."""
        for _ in range(600):
            try:
                return self.ask(path, body, "POST")
            except urllib.error.HTTPError as error:
                if error.code != 503:
                    raise
                time.sleep(0.5)
        raise SystemExit("the server takes nothing")

    def cpu(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def metric(self, name):
        for line in self.ask("/metrics").decode().splitlines():
            if line.startswith(name + " "):
                return float(line.split()[1])
        return 0.0

    def settle(self):
        """Waits until the maintenance has nothing more to do."""
        names = ["tributary_rollups_total", "tributary_compactions_total", "tributary_flushes_total"]
        last, since = None, time.time()
        while time.time() < since + 12:
            now = [self.metric(name) for name in names]
            if now != last:
                last, since = now, time.time()
            time.sleep(1)
        return dict(zip(names, last))

    def bytes(self):
        """(samples, summaries): bytes of the blocks' objects."""
        found = [0, 0]
        for path, _, files in os.walk(os.path.join(self.data, "objects", "blocks")):
            if "meta.json" in files:
                with open(os.path.join(path, "meta.json")) as file:
                    rolled = "rollup" in json.load(file)
                found[rolled] += sum(os.path.getsize(os.path.join(path, name)) for name in files)
        return found


def load(servers, args, start, end):
    """Counters with resets, gauges with fractions and whole ones, some with gaps."""
    rng = random.Random(args.seed)
    for host in range(args.hosts):
        counter, level = 0, 50.0
        for day in range(start, end, DAY):
            lines = []
            for at in range(day, min(day + DAY, end), args.interval):
                counter = 0 if rng.random() < 1e-4 else counter + rng.randrange(100)
                level = min(100.0, max(0.0, level + rng.gauss(0, 1)))
                if host % 5 == 0 and at // 7200 % 11 == 0:
                    continue
                millis = at * 1000 + (host % 3) * 137
                lines.append(f'roll_requests_total{{host="h{host}"}} {counter} {millis}')
                lines.append(f'roll_load{{host="h{host}"}} {level:.3f} {millis}')
                lines.append(f'roll_users{{host="h{host}"}} {int(level * 10)} {millis}')
            body = ("\n".join(lines) + "\n").encode()
            for server in servers:
                server.post("/api/v1/import/prometheus", body)


def promql(query, start, end, step):
    return "/api/v1/query_range?" + urllib.parse.urlencode({"query": query, "start": start, "end": end, "step": step})


def questions(start, end):
    span = {"start": start, "end": end, "step": 3600}
    for query in ["sum(rate(roll_requests_total[1h]))", "rate(roll_requests_total[6h])", "increase(roll_requests_total[1d])",
                  "avg_over_time(roll_load[1h])", "max_over_time(roll_users[1h])", "min by (host) (min_over_time(roll_load[3h]))",
                  "count_over_time(roll_load[1h])", "sum_over_time(roll_users[1h])", "last_over_time(roll_load[1h])",
                  "roll_load", "sum(roll_users)", "present_over_time(roll_load[1h])", "timestamp(roll_load)"]:
        yield query, promql(query, **span)
    yield "rate, 5 m steps, a week", promql("sum(rate(roll_requests_total[5m]))", end - 7 * DAY, end, 300)
    for aggregator in ["sum", "avg", "max", "min", "count", "last"]:
        m = urllib.parse.quote(f"sum:1h-{aggregator}:roll_users{{host=*}}")
        yield f"OpenTSDB 1h-{aggregator}", f"/api/query?start={start}&end={end - 1}&m={m}"
    yield "stays with samples: quantile", promql("quantile_over_time(0.9, roll_load[1h])", end - 7 * DAY, end, 3600)
    yield "stays with samples: rate over 1 h 15 s", promql("sum(rate(roll_requests_total[3615s]))", end - 7 * DAY, end, 3600)


def numbers(answer):
    """Series name and instant → value, of either language."""
    found, data = {}, json.loads(answer)
    rows = data["data"]["result"] if isinstance(data, dict) else data
    for row in rows:
        name = json.dumps(row.get("metric") if isinstance(row.get("metric"), dict) else [row.get("metric"), row.get("tags")], sort_keys=True)
        points = row["values"] if "values" in row else row["dps"].items()
        found.update({(name, str(at)): float(value) for at, value in points})
    return found


def compare(left, right):
    """(how many values, how many differ in any digit, the largest relative difference)."""
    left, right = numbers(left), numbers(right)
    if left.keys() != right.keys():
        missing = sorted(left.keys() ^ right.keys())
        raise SystemExit(f"FAIL {len(missing)} points are on one side only: {missing[:3]}")
    differ, worst = 0, 0.0
    for key, a in left.items():
        b = right[key]
        if a != b and not (math.isnan(a) and math.isnan(b)):
            differ += 1
            worst = max(worst, abs(a - b) / max(abs(a), abs(b)))
    return len(left), differ, worst


def timed(server, path, runs):
    server.ask(path)
    before = server.cpu()
    for _ in range(runs):
        answer = server.ask(path)
    return answer, (server.cpu() - before) / runs * 1000


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default=os.path.join(ROOT, "target/release/tributary"))
    parser.add_argument("--port", type=int, default=21300)
    parser.add_argument("--days", type=int, default=90)
    parser.add_argument("--hosts", type=int, default=20)
    parser.add_argument("--interval", type=int, default=15)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    directory = tempfile.mkdtemp(prefix="rollups-")
    end = int(time.time()) // DAY * DAY
    start = end - args.days * DAY
    rolled = Server(args.binary, os.path.join(directory, "rolled"), args.port, RULE)
    plain = Server(args.binary, os.path.join(directory, "plain"), args.port + 10, "")
    servers = [rolled, plain]
    try:
        began = time.time()
        load(servers, args, start, end)
        samples = 3 * args.hosts * args.days * DAY // args.interval
        print(f"{samples} samples loaded into both in {time.time() - began:.0f} s")
        rolled.settle()
        # What was loaded later made dirty what was rolled up already; this does not wait for its turn.
        rolled.post("/api/v1/admin/tsdb/clean_tombstones")
        print("rolled up:", rolled.settle(), "plain:", plain.settle())
        print(f"CPU for everything so far: with rules {rolled.cpu():.1f} s, without {plain.cpu():.1f} s")
        (raw, summaries), (other, _) = rolled.bytes(), plain.bytes()
        print(f"bytes: samples {raw}, summaries {summaries} ({100 * summaries / raw:.0f} %); without rules {other}")
        failed = 0
        for name, path in questions(start, end):
            got, cost = timed(rolled, path, args.runs)
            forced, forced_cost = timed(rolled, path + "&rollups=false", args.runs)
            want, want_cost = timed(plain, path, args.runs)
            count, differ, worst = compare(got, want)
            same = compare(forced, want)[1] == 0
            failed += worst > 1e-13 or not same or count == 0
            print(f"{'ok  ' if worst <= 1e-13 and same and count else 'FAIL'} {name}: {count} values, {differ} differ (by {worst:.1e}); "
                  f"CPU ms: summaries {cost:.1f}, samples {forced_cost:.1f}, without rules {want_cost:.1f}")
        failed += late_and_deleted(servers, start, end)
        failed += samples_gone(rolled, start, end)
        if failed:
            raise SystemExit(f"{failed} checks failed")
    finally:
        for server in servers:
            if server.process.poll() is None:
                server.stop()
        shutil.rmtree(directory)


def late_and_deleted(servers, start, end):
    """A late sample and a delete are in the very next answer."""
    late = f'roll_users{{host="h1"}} 1000000 {(start + 5 * DAY + 1800) * 1000 + 1}\n'.encode()
    span = {"start": start, "end": end, "step": 3600}
    path = promql("max_over_time(roll_users[1h])", **span)
    first = urllib.parse.urlencode({"match[]": 'roll_users{host="h2"}', "start": start + 10 * DAY, "end": start + 12 * DAY + 1234})
    failed = 0
    for what, act in [("a late sample", lambda server: server.post("/api/v1/import/prometheus", late)),
                      ("a delete", lambda server: server.post("/api/v1/admin/tsdb/delete_series?" + first))]:
        for server in servers:
            act(server)
        count, differ, _ = compare(servers[0].ask(path), servers[1].ask(path))
        print(f"{'ok  ' if not differ else 'FAIL'} {what}: {count} values, {differ} differ")
        failed += differ > 0
    return failed


def samples_gone(server, start, end):
    """With a retention of a week the answers about what is older stay, but for two edges."""
    span = {"start": start + 3600, "end": end - 8 * DAY, "step": 3600}
    paths = [promql(query, **span) for query in ["sum(rate(roll_requests_total[6h]))", "max_over_time(roll_users[1h])", "roll_load"]]
    before = [server.ask(path) for path in paths]
    server.stop()
    server.start(["storage.retention=7d"])
    server.settle()
    left = int(server.metric("tributary_blocks"))
    failed = 0
    for path, want in zip(paths, before):
        count, differ, worst = compare(server.ask(path), want)
        failed += worst > 1e-13
        print(f"{'ok  ' if worst <= 1e-13 else 'FAIL'} samples gone ({left} blocks left): {count} values, {differ} differ (by {worst:.1e})")
    moved = promql("sum(rate(roll_requests_total[6h]))", start + DAY + 100, end - 8 * DAY, 3600)
    count = len(numbers(server.ask(moved)))
    target = urllib.parse.quote("maxSeries(seriesByTag('name=roll_users'))")
    graph = json.loads(server.ask(f"/render?format=json&from={start + DAY}&until={start + 20 * DAY}&target={target}"))
    points = [value for row in graph for value, _ in row["datapoints"] if value is not None]
    names = json.loads(server.ask(f"/api/v1/series?match[]=roll_load&start={start}&end={start + DAY}"))["data"]
    print(f"{'ok  ' if count and points and names else 'FAIL'} other windows {count} values, Graphite {len(points)} points, {len(names)} series named")
    # Samples go with the block that they are in, which has three days.
    gone = promql("roll_load", start + 3600, end - 11 * DAY, 3600)
    raw = numbers(server.ask(gone + "&rollups=false"))
    print(f"{'ok  ' if not raw else 'FAIL'} of samples alone nothing is left: {len(raw)} values")
    return failed + (not (count and points and names)) + bool(raw)


if __name__ == "__main__":
    main()
