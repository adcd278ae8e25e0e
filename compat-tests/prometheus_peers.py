"""A real Prometheus around tributary, in every role that its version has: it writes to tributary (remote write 1.0, and
2.0 where it can), reads from it (remote read) and scrapes it (federation); promtool asks and pushes; and a 3.x is
asked everything that otlp.py, prometheus_api.py and prometheus_search.py ask. Each time the answers of both are compared.

    prometheus_peers.py --tributary target/release/tributary [--prometheus BIN] [--promtool BIN] [--seconds 25]

Only Python's standard library. Says so and ends with 0 where there is no Prometheus. Takes about two minutes.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request

import otlp
import prometheus_api
import prometheus_search
import real_prometheus

HERE = os.path.dirname(os.path.abspath(__file__))


class Processes:
    """Everything that was started, ended when the block is left."""

    def __init__(self, work):
        self.work, self.started = work, []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in self.started:
            process.kill()
            process.wait()

    def run(self, name, command, port):
        log = open(os.path.join(self.work, name + ".log"), "w", encoding="utf-8")
        process = subprocess.Popen(command, stdout=log, stderr=log)
        self.started.append(process)
        base = f"http://127.0.0.1:{port}"
        for _ in range(150):
            try:
                urllib.request.urlopen(base + "/-/ready", timeout=5).close()
                return base
            except OSError:
                time.sleep(0.2)
        raise SystemExit(f"{name} did not become ready: " + open(log.name, encoding="utf-8").read()[-2000:])

    def tributary(self, binary, name, port, *settings):
        off = [f"listen.{one}=" for one in ("graphite_tcp", "graphite_udp", "graphite_pickle", "opentsdb")]
        sets = [part for one in (f"listen.http=127.0.0.1:{port}", *off, *settings) for part in ("--set", one)]
        return self.run(name, [binary, "--data-dir", os.path.join(self.work, name), *sets], port)

    def prometheus(self, binary, name, port, config, *flags):
        path = os.path.join(self.work, name + ".yml")
        with open(path, "w", encoding="utf-8") as file:
            file.write(config)
        return self.run(name, [binary, "--config.file=" + path, "--storage.tsdb.path=" + os.path.join(self.work, name),
                               f"--web.listen-address=127.0.0.1:{port}", *flags], port)


def scrape(targets, more=""):
    jobs = "".join(f"  - {{job_name: {job}, static_configs: [{{targets: ['{target}']}}]}}\n" for job, target in targets)
    return f"global: {{scrape_interval: 1s}}\nscrape_configs:\n{jobs}{more}"


def remote_write(url, version):
    protobuf = "    protobuf_message: io.prometheus.write.v2.Request\n" if version == 2 else ""
    return f"remote_write:\n  - url: {url}/api/v1/write\n{protobuf}    queue_config: {{batch_send_deadline: 500ms}}\n"


def alike(ours, theirs, queries, start, end):
    """Compares instant and range queries of two servers."""
    failures, count = [], 0
    for query in queries:
        for path, params in (("/api/v1/query", {"query": query, "time": end}),
                             ("/api/v1/query_range", {"query": query, "start": start, "end": end, "step": 3})):
            count += 1
            found = real_prometheus.difference(real_prometheus.fetch(ours, path, params),
                                               real_prometheus.fetch(theirs, path, params))
            if found:
                failures.append(f"{path} {query}: {found}")
    return count, failures


def comparable(queries, arguments):
    """2.x extrapolates a counter beyond zero otherwise, which young counters show."""
    return [query for query in queries if arguments.major >= 3 or "http_requests_total[" not in query]


def writes(run, arguments, version):
    """Prometheus scrapes itself and tributary and writes both to tributary."""
    ours = run.tributary(arguments.tributary, f"written{version}", arguments.port)
    theirs = run.prometheus(arguments.prometheus, f"writer{version}", arguments.port + 1, scrape(
        [("prometheus", f"127.0.0.1:{arguments.port + 1}"), ("tributary", f"127.0.0.1:{arguments.port}")],
        remote_write(ours, version)))
    # Long enough that no window reaches back to the first scrapes, where 2.x and 3.x extrapolate counters differently.
    time.sleep(arguments.seconds)
    end = real_prometheus.clear_of_samples(theirs, int(time.time()) - 6)
    queries = ["up", "count by (job) ({__name__=~\".+\", job=~\".+\"})", "sum by (job) (rate(process_cpu_seconds_total[10s]))",
               "prometheus_http_requests_total", "increase(prometheus_http_requests_total[8s])",
               "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[8s])))",
               "tributary_ingested_samples_total", "topk(3, go_memstats_alloc_bytes)", "go_info"]
    count, failures = alike(ours, theirs, comparable(queries, arguments), end - 8, end)
    return ours, theirs, end, count, failures


def reads(run, arguments, ours, end):
    """A Prometheus without data of its own answers from tributary, through remote read."""
    # External labels would be asked for as well; this one has none.
    theirs = run.prometheus(arguments.prometheus, "reader", arguments.port + 2,
                            f"remote_read:\n  - {{url: '{ours}/api/v1/read', read_recent: true}}\n")
    queries = ["up", "rate(prometheus_http_requests_total[8s])", "sum by (job) (rate(process_cpu_seconds_total[10s]))",
               "count by (job) ({__name__=~\".+\", job!=\"\"})", "max_over_time(go_goroutines[8s])",
               "go_info offset 3s", "absent(nothing)", "{__name__=~\"prometheus_tsdb.*\", job!~\"x\"}"]
    count, failures = alike(ours, theirs, comparable(queries, arguments), end - 8, end)
    for path, params in (("/api/v1/series", {"match[]": "up", "start": end - 10, "end": end}),
                         ("/api/v1/label/job/values", None)):
        # Names and values are not part of remote read: a Prometheus shows its own only.
        if params:
            count += 1
            a, b = (sorted(map(json.dumps, real_prometheus.fetch(base, path, params)["data"])) for base in (ours, theirs))
            if a != b:
                failures.append(f"remote read {path}: {a[:3]} against {b[:3]}")
    return count, failures


def federates(run, arguments, ours):
    """A Prometheus scrapes /federate of tributary."""
    more = ("  - job_name: federate\n    honor_labels: true\n    metrics_path: /federate\n"
            "    params: {'match[]': ['{job=\"prometheus\"}']}\n"
            f"    static_configs: [{{targets: ['127.0.0.1:{arguments.port}']}}]\n")
    theirs = run.prometheus(arguments.prometheus, "federation", arguments.port + 3, scrape([], more))
    # Targets are looked for every five seconds.
    time.sleep(10)
    end = int(time.time()) - 2
    failures = []
    sets = []
    for base in (ours, theirs):
        found = real_prometheus.fetch(base, "/api/v1/query", {
            "query": '{job="prometheus", __name__!~"up|scrape_.*|.*_(bucket|count|sum)"}', "time": end})["data"]["result"]
        sets.append({json.dumps(one["metric"], sort_keys=True): one["value"][1] for one in found})
    missing = sorted(sets[0].keys() ^ sets[1].keys())
    if not sets[0] or missing:
        failures.append(f"federation: {len(sets[0])} series against {len(sets[1])}, such as {missing[:2]}")
    stamps = real_prometheus.fetch(theirs, "/api/v1/query", {"query": 'count(up{job="federate"} == 1)', "time": end})
    if not stamps["data"]["result"]:
        failures.append("federation: the scrape failed")
    return 2, failures


def promtool(arguments, ours, theirs, end):
    """promtool's questions have the same answers, and what it pushes arrives."""
    failures, count = [], 0

    def run(*command, data=None):
        return subprocess.run([arguments.promtool, *command], input=data, capture_output=True, text=True, timeout=60)

    span = [f"--start={end - 8}", f"--end={end}"]
    for command in (["query", "instant", f"--time={end}", None, "up"], ["query", "range", *span, "--step=4s", None, "up"],
                    ["query", "series", *span, "--match=up", None], ["query", "labels", *span, None, "job"],
                    ["query", "instant", None, "up{"]):
        count += 1
        answers = [run(*[base if part is None else part for part in command]) for base in (ours, theirs)]
        a, b = ((one.returncode, sorted(one.stdout.splitlines()), one.stderr) for one in answers)
        if a != b:
            failures.append(f"promtool {command[:2]}: {a} against {b}")
    for command in (["check", "healthy", f"--url={ours}"], ["check", "ready", f"--url={ours}"]):
        answer = run(*command)
        if "expected command" in answer.stderr:
            continue
        count += 1
        if answer.returncode != 0:
            failures.append(f"promtool {command}: {answer.stderr or answer.stdout}")
    if "push" not in run("--help").stderr + run("--help").stdout:
        return count, failures
    count += 1
    page = "# TYPE pushed_total counter\npushed_total{x=\"1\"} 5\n# TYPE pushed gauge\npushed 2.5\n"
    answer = run("push", "metrics", ours, data=page)
    found = real_prometheus.fetch(ours, "/api/v1/query", {"query": "{__name__=~\"pushed.*\", job=\"promtool\"}"})
    values = sorted(one["value"][1] for one in found["data"]["result"])
    if answer.returncode != 0 or values != ["2.5", "5"]:
        failures.append(f"promtool push: {answer.stderr}{answer.stdout} {values}")
    return count, failures


def side_by_side(run, arguments):
    """The same OTLP requests and the same questions to a tributary and a Prometheus of the same settings."""
    window = "storage: {tsdb: {out_of_order_time_window: 1h}}\n"
    plain = run.tributary(arguments.tributary, "plain", arguments.port + 4, "prometheus.admin_api=true")
    flags = ["--web.enable-otlp-receiver", "--web.enable-remote-write-receiver", "--web.enable-admin-api", "--log.level=error"]
    theirs = run.prometheus(arguments.prometheus, "plain-peer", arguments.port + 5, window, *flags,
                            "--enable-feature=exemplar-storage")
    options = {"translation_strategy": "NoUTF8EscapingWithSuffixes", "promote_all_resource_attributes": "true",
               "keep_identifying_resource_attributes": "true", "convert_histograms_to_nhcb": "true",
               "promote_scope_metadata": "true"}
    features = "otlp-deltatocumulative,type-and-unit-labels,search-api"
    other = run.tributary(arguments.tributary, "other", arguments.port + 6, "otlp.ignore_resource_attributes=os.type",
                          f"prometheus.enable_feature={features}", *(f"otlp.{key}={value}" for key, value in options.items()))
    section = "otlp:\n  ignore_resource_attributes: [os.type]\n" + "".join(f"  {key}: {value}\n" for key, value in options.items())
    other_peer = run.prometheus(arguments.prometheus, "other-peer", arguments.port + 7, window + section, *flags,
                                f"--enable-feature=exemplar-storage,{features}")
    total, failures = 0, []
    for compare, ours, peer, deltas in ((prometheus_api.compare, plain, theirs, False), (otlp.compare, plain, theirs, False),
                                        (otlp.compare, other, other_peer, True), (prometheus_search.compare, other, other_peer, True)):
        asked = argparse.Namespace(tributary=ours, prometheus=peer, prefix="otlp", deltas=deltas, searches=400, seed=1)
        count, found = compare(asked)
        total, failures = total + count, failures + found
    return total, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tributary", default=os.path.join(HERE, "../target/release/tributary"))
    parser.add_argument("--prometheus", default=os.environ.get("PROMETHEUS", "prometheus"))
    parser.add_argument("--promtool", default=os.environ.get("PROMTOOL", "promtool"))
    parser.add_argument("--port", type=int, default=19400, help="the first of eight")
    parser.add_argument("--seconds", type=int, default=34, help="how long is scraped and written")
    arguments = parser.parse_args()
    if not shutil.which(arguments.prometheus):
        print("0 compared: there is no prometheus")
        return
    shown = subprocess.run([arguments.prometheus, "--version"], capture_output=True, text=True, check=False)
    digits = re.search(r"version (\d+)\.", shown.stdout + shown.stderr)
    # A build from source without a tag says no version: it is a new one.
    arguments.major = int(digits.group(1)) if digits else 3
    total, failures = 0, []
    with tempfile.TemporaryDirectory(prefix="tributary-peers-") as work:
        for version in (1, 2) if arguments.major >= 3 else (1,):
            with Processes(work) as run:
                ours, theirs, end, count, found = writes(run, arguments, version)
                total, failures = total + count, failures + [f"remote write {version}: {one}" for one in found]
                if version == 1:
                    steps = [reads(run, arguments, ours, end), federates(run, arguments, ours)]
                    if shutil.which(arguments.promtool):
                        steps.append(promtool(arguments, ours, theirs, end))
                    for count, found in steps:
                        total, failures = total + count, failures + found
        if arguments.major >= 3:
            with Processes(work) as run:
                count, found = side_by_side(run, arguments)
                total, failures = total + count, failures + found
        else:
            print("OTLP and the endpoints are compared with a 3.x only")
    for failure in failures:
        print("DIFFERS", failure)
    print(f"{total - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
