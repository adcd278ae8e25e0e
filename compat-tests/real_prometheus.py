"""Writes with carbon and OpenTSDB beside a real Prometheus, and compares what comes back.

Only Python's standard library. Driven by real_prometheus.sh, which knows the ports.
"""

import argparse
import json
import socket
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

TRIBUTARY = "http://127.0.0.1:19009"
PROMETHEUS = "http://127.0.0.1:19090"
OPENTSDB = "http://127.0.0.1:14242"

# Expressions that Prometheus 2.x and 3.x answer alike. A window's left edge is the one difference: `clear_of_samples`
# chooses instants so that no sample falls on it; sub-queries, whose instants are absolute, are shifted there by CLEAR.
INSTANT = [
    "up",
    "count({__name__=~\".+\", job=~\".+\"})",
    "count by (job) ({__name__=~\"node_.*\"})",
    "sum by (job) (rate(process_cpu_seconds_total[20s]))",
    "sum by (mode) (rate(node_cpu_seconds_total[20s]))",
    "irate(node_cpu_seconds_total{mode!=\"idle\"}[20s])",
    "increase(prometheus_http_requests_total[15s])",
    "node_memory_MemTotal_bytes - node_memory_MemFree_bytes",
    "100 * node_filesystem_avail_bytes / node_filesystem_size_bytes",
    "topk(3, node_cpu_seconds_total)",
    "bottomk(2, node_filesystem_size_bytes)",
    "quantile(0.5, node_cpu_seconds_total)",
    "histogram_quantile(0.9, sum by (le) (rate(prometheus_http_request_duration_seconds_bucket[30s])))",
    "max_over_time(node_load1[30s])",
    "avg_over_time(node_memory_MemFree_bytes[15s] offset 5s)",
    "stddev_over_time(go_goroutines[20s])",
    "quantile_over_time(0.3, go_memstats_alloc_bytes[20s])",
    "changes(process_start_time_seconds[30s])",
    "deriv(node_memory_MemFree_bytes[20s])",
    "predict_linear(node_memory_MemFree_bytes[20s], 60)",
    "label_replace(up, \"host\", \"$1\", \"instance\", \"(.*):.*\")",
    "label_join(up, \"both\", \"-\", \"job\", \"instance\")",
    "absent(nothing_here{job=\"x\"})",
    "up == bool 1",
    "node_network_receive_bytes_total * on (instance) group_left (job) up{job=\"node\"}",
    "count_values(\"version\", go_info)",
    "sum(node_cpu_seconds_total) without (cpu, mode)",
    "sort_desc(node_cpu_seconds_total)",
    "scalar(count(up)) * vector(2)",
    "max_over_time(sum(rate(node_cpu_seconds_total[10s] offset CLEAR))[20s:5s])",
    "node_cpu_seconds_total and on (cpu) node_cpu_seconds_total{mode=\"idle\"}",
    "up or on () vector(1)",
    "up unless up{job=\"node\"}",
    "hour(timestamp(up)) + minute(timestamp(up))",
    "clamp(node_load1, 0, 1)",
    "resets(node_cpu_seconds_total[30s])",
    "delta(node_load1[20s])",
    "{__name__=~\"node_cpu.*\", mode=~\"user|system\", cpu!~\"1\"}",
]


def fetch(base, path, params):
    """The parsed answer, or the error's body."""
    data = urllib.parse.urlencode(params).encode()
    try:
        with urllib.request.urlopen(base + path, data, timeout=30) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as error:
        return json.loads(error.read() or b"{}")


def get(url):
    with urllib.request.urlopen(url, timeout=30) as answer:
        return json.load(answer)


def close(a, b):
    x, y = float(a), float(b)
    return a == b or x == y or (x != x and y != y) or abs(x - y) <= 1e-9 * max(abs(x), abs(y))


def points(series):
    return series.get("values") or [series["value"]]


def difference(ours, theirs):
    """None, or a line that says how two answers differ."""
    if ours.get("status") != theirs.get("status"):
        return f"status {ours} against {theirs.get('status')}"
    if ours["data"]["resultType"] != theirs["data"]["resultType"]:
        return "another result type"
    if ours["data"]["resultType"] == "scalar":
        return None if close(ours["data"]["result"][1], theirs["data"]["result"][1]) else "another value"
    left = {json.dumps(s["metric"], sort_keys=True): s for s in ours["data"]["result"]}
    right = {json.dumps(s["metric"], sort_keys=True): s for s in theirs["data"]["result"]}
    if left.keys() != right.keys():
        odd = sorted(left.keys() ^ right.keys())[:3]
        return f"{len(left)} series against {len(right)}, such as {odd}"
    for key, series in left.items():
        mine, other = points(series), points(right[key])
        if [p[0] for p in mine] != [p[0] for p in other]:
            return f"other instants in {key}: {len(mine)} against {len(other)}"
        for (at, a), (_, b) in zip(mine, other):
            if not close(a, b):
                return f"{key} at {at}: {a} against {b}"
    return None


def clear_of_samples(base, end):
    """The instant in the second before `end` (whole seconds) that is farthest from the milliseconds at which samples lie."""
    scrapes = fetch(base, "/api/v1/query", {"query": "up[90s]", "time": end})["data"]["result"]
    taken = {round(at * 1000) % 1000 for series in scrapes for at, _ in series["values"]} or {0}
    distance = lambda at: min(min((at - one) % 1000, (one - at) % 1000) for one in taken)
    return end - 1 + max(range(1000), key=distance) / 1000


def shifted(query, end):
    """The query whose CLEAR is how long the instant `end` lies before a whole second."""
    return query.replace("CLEAR", f"{round(-end * 1000) % 1000}ms")


def feed(seconds, path):
    """Carbon and OpenTSDB clients: every point that was acknowledged is noted in a file."""
    carbon = socket.create_connection(("127.0.0.1", 12003))
    telnet = socket.create_connection(("127.0.0.1", 14242))
    until = time.time() + seconds
    with open(path, "a", encoding="utf-8") as acknowledged:
        while time.time() < until:
            now = int(time.time())
            carbon.sendall(f"compat.carbon.value {now % 97} {now}\n".encode())
            telnet.sendall(f"put compat.telnet {now} {now % 89} host=a\n".encode())
            point = {"metric": "compat.http", "timestamp": now, "value": now % 83, "tags": {"host": "a"}}
            body = json.dumps([point]).encode()
            request = urllib.request.Request(OPENTSDB + "/api/put", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=10) as answer:
                assert answer.status == 204, answer.status
            acknowledged.write(f"{now} {now % 83}\n")
            acknowledged.flush()
            time.sleep(1)
    # What the line protocols took is in the log once they are read to their end.
    for line in (carbon, telnet):
        line.shutdown(socket.SHUT_WR)
        line.settimeout(5)
        try:
            while line.recv(4096):
                pass
        except OSError:
            pass
        line.close()


def compare_prometheus():
    end = clear_of_samples(PROMETHEUS, int(time.time()) - 12)
    # Late enough that no window reaches back to the first scrape, where 2.x and 3.x extrapolate differently.
    start = end - 20
    failures, count = [], 0
    for query in (shifted(one, end) for one in INSTANT):
        for params, path in (
            ({"query": query, "time": end}, "/api/v1/query"),
            ({"query": query, "start": start, "end": end, "step": 4}, "/api/v1/query_range"),
        ):
            count += 1
            found = difference(fetch(TRIBUTARY, path, params), fetch(PROMETHEUS, path, params))
            if found:
                failures.append(f"{path} {query}: {found}")
    for path, params in (
        ("/api/v1/labels", {"start": start, "end": end}),
        ("/api/v1/series", {"match[]": "node_cpu_seconds_total", "start": start, "end": end}),
        ("/api/v1/label/job/values", None),
    ):
        count += 1
        if params is None:
            ours, theirs = get(TRIBUTARY + path)["data"], get(PROMETHEUS + path)["data"]
        else:
            ours, theirs = fetch(TRIBUTARY, path, params)["data"], fetch(PROMETHEUS, path, params)["data"]
        key = lambda item: json.dumps(item, sort_keys=True)
        if path != "/api/v1/labels" and sorted(map(key, ours)) != sorted(map(key, theirs)):
            failures.append(f"{path}: {len(ours)} against {len(theirs)}")
        if path == "/api/v1/labels" and not set(theirs) <= set(ours):
            failures.append(f"{path}: missing {sorted(set(theirs) - set(ours))[:5]}")
    return count, failures


def compare_others(path):
    """Every acknowledged point of the other protocols is there, seen from all three languages."""
    failures = []
    wanted = dict(map(int, line.split()) for line in open(path, encoding="utf-8"))
    first, last = min(wanted), max(wanted)
    answer = get(f"{OPENTSDB}/api/query?start={first}&end={last}&m=sum:compat.http%7Bhost=*%7D")
    stored = {int(at): value for at, value in answer[0]["dps"].items()}
    lost = {at for at, value in wanted.items() if stored.get(at) != value}
    if lost:
        failures.append(f"OpenTSDB: {len(lost)} of {len(wanted)} acknowledged points differ")
    for metric, divisor in (("compat.telnet", 89), ("compat.carbon.value", 97)):
        query = f'count_over_time({{"{metric}"}}[{last - first + 2}s])'
        result = fetch(TRIBUTARY, "/api/v1/query", {"query": query, "time": last + 1})["data"]["result"]
        got = int(result[0]["value"][1]) if result else 0
        if got < len(wanted) - 2:
            failures.append(f"{metric}: {got} of {len(wanted)} points in PromQL")
    url = f"{TRIBUTARY}/render?target=compat.carbon.value&from={first - 60}&until={last + 60}&format=json"
    series = get(url)
    values = [value for value, _ in series[0]["datapoints"] if value is not None] if series else []
    if not values:
        failures.append("Graphite: compat.carbon.value has no points")
    if not get(f"{TRIBUTARY}/metrics/find?query=compat.*"):
        failures.append("Graphite: find sees nothing below compat")
    if "compat.telnet" not in get(f"{OPENTSDB}/api/suggest?type=metrics&q=compat"):
        failures.append("OpenTSDB: suggest does not know compat.telnet")
    return 6, failures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("step", choices=["feed", "compare"])
    parser.add_argument("--seconds", type=int, default=30)
    parser.add_argument("--acknowledged", required=True)
    arguments = parser.parse_args()
    if arguments.step == "feed":
        feed(arguments.seconds, arguments.acknowledged)
        return
    count, failures = compare_prometheus()
    more, others = compare_others(arguments.acknowledged)
    failures += others
    for failure in failures:
        print("DIFFERS", failure)
    print(f"{count + more - len(failures)} passed, {len(failures)} failed")
    sys.exit(1 if failures else 0)


if __name__ == "__main__":
    main()
