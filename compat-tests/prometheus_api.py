"""Asks tributary and a real Prometheus 3.x the same questions about the same data, endpoint by endpoint, and
compares statuses, content types and bodies.

The data goes to both by remote write 1.0 (floats, stale markers, native histograms, exemplars). Only Python's
standard library, and in this folder beside.py, and otlp.py for protobuf.

    prometheus_api.py --tributary http://127.0.0.1:19009 --prometheus http://127.0.0.1:19090

The Prometheus needs --web.enable-remote-write-receiver --web.enable-admin-api, an out-of-order window and
--enable-feature=exemplar-storage.
"""

import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request

import beside
from otlp import double, field, message, text, varint, zigzag

STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]


def snappy(data):
    """A snappy block of literals only."""
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 60):
        piece = data[start:start + 60]
        out.append(len(piece) - 1 << 2)
        out += piece
    return bytes(out)


def labels(number, pairs):
    return b"".join(message(number, text(1, name) + text(2, value)) for name, value in sorted(pairs.items()))


def series(pairs, samples=(), histograms=(), exemplars=()):
    out = labels(1, pairs)
    for at, value in samples:
        bits = struct.pack("<Q", 0x7FF0000000000002) if value is STALE else struct.pack("<d", value)
        out += message(2, field(1, 1, bits) + field(2, 0, varint(at)))
    for at, value in exemplars:
        out += message(3, labels(1, {"trace_id": f"t{value}"}) + double(2, value) + field(3, 0, varint(at)))
    for at, body in histograms:
        out += message(4, body + field(15, 0, varint(at)))
    return message(1, out)


def native(count, schema=1, hint=0):
    """An integer histogram with two buckets of `count` each and one observation at zero."""
    spans = message(11, zigzag(1, 0) + field(2, 0, varint(2)))
    deltas = message(12, varint(count << 1) + varint(0))
    return (field(1, 0, varint(2 * count + 1)) + double(3, 1.5 * count) + zigzag(4, schema) + double(5, 0.001) +
            field(6, 0, varint(1)) + spans + deltas + field(14, 0, varint(hint)))


def custom(count):
    """Custom buckets up to 0.5 and 1."""
    spans = message(11, zigzag(1, 0) + field(2, 0, varint(3)))
    deltas = message(12, varint(count << 1) + varint(0) + varint(0))
    bounds = message(16, struct.pack("<dd", 0.5, 1.0))
    return field(1, 0, varint(3 * count)) + double(3, 2.0 * count) + zigzag(4, -53) + spans + deltas + bounds


def data(now):
    at = [now - 60_000 * back for back in range(10, -1, -1)]
    out = b""
    for host in ("a", "b"):
        for index, code in enumerate(("200", "500")):
            pairs = {"__name__": "http_requests_total", "instance": f"{host}:80", "job": "web", "code": code}
            samples = [(t, 10.0 * n * (index + 1)) for n, t in enumerate(at)]
            out += series(pairs, samples, exemplars=[(at[4], 6), (at[8], 7)] if index == 0 else ())
        out += series({"__name__": "up", "instance": f"{host}:80", "job": "web"}, [(t, 1.0) for t in at])
    out += series({"__name__": "gone", "job": "web"}, [(at[0], 1.0), (at[9], 1e6), (at[10], STALE)])
    out += series({"__name__": "values", "le": "a\"b\\c\nd"}, [(at[9], 1.2345678901234567e+21), (at[10], float("inf"))])
    out += series({"__name__": "values", "le": "nan"}, [(at[10], float("nan"))])
    out += series({"__name__": "values", "le": "small"}, [(at[10], -9.99e-7)])
    out += series({"__name__": "http.status:sum", "a.b": "x y", "é": "<&>"}, [(at[10], 2.5)])
    out += series({"__name__": "size", "job": "web"}, histograms=[(t, native(n + 1)) for n, t in enumerate(at)])
    out += series({"__name__": "size_gauge", "job": "web"}, histograms=[(t, native(n + 1, hint=3)) for n, t in enumerate(at)])
    out += series({"__name__": "latency", "job": "web"}, histograms=[(t, custom(n + 1)) for n, t in enumerate(at)])
    return out


def call(base, method, path, body=None, headers=None, raw=False):
    request = urllib.request.Request(base + path, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            content = answer.read()
            return answer.status, {key.title(): value for key, value in answer.headers.items()}, content if raw else content.decode(errors="replace")
    except urllib.error.HTTPError as error:
        content = error.read()
        return error.code, {key.title(): value for key, value in error.headers.items()}, content if raw else content.decode(errors="replace")


def questions(now):
    """Method, path, parameters; lists are given in the URL and, for POST, in a form."""
    end, start = now / 1000, now / 1000 - 600
    every = {"start": start, "end": end}
    get = lambda path, *pairs: ("GET", path, list(pairs))
    post = lambda path, *pairs: ("POST", path, list(pairs))
    q = "/api/v1/query"
    for expression in ("up", "1+1", "\"text\"", "http_requests_total", "size", "latency", "size_gauge", "values", "gone",
                       '{"http.status:sum"}', "rate(http_requests_total[5m])", "up[3m]", "size[3m]", "absent(x)",
                       "sum by (code) (http_requests_total)", "up{", "rate(up)", "", "1/0",
                       "histogram_quantile(0.5, latency)", "topk(1, values)", "sort(http_requests_total)"):
        yield get(q, ("query", expression), ("time", end))
        yield post(q, ("query", expression), ("time", end))
    for pairs in ([("time", "x")], [("time", "2015-07-01T20:10:51.781Z")], [("time", "1e9")], [("limit", "1"), ("time", end)], [("limit", "x")],
                  [("limit", "-1")], [("limit", "99999999999999999999")], [("timeout", "x")], [("timeout", "1s"), ("time", end)],
                  [("lookback_delta", "x")], [("lookback_delta", "1"), ("time", end - 30)], [("lookback_delta", "0"), ("time", end)],
                  [("time", "-292273086-05-16T16:47:06Z")], [("time", " 1")]):
        yield get(q, ("query", "up"), *pairs)
    # As typed for curl -g: nothing is escaped.
    for query in ('up{job="web"}', 'up>0', 'count(up<2)by(job)', '{"http.status:sum"}', 'up{job=~"w.b"}', 'label_replace(up,"x","`","","")'):
        yield "GET", f"{q}?query={query}&time={end}", []
    r = "/api/v1/query_range"
    for expression in ("up", "1", "rate(http_requests_total[2m])", "size", "latency", "up[1m]", "\"x\"", "gone", "time()", "x{"):
        yield get(r, ("query", expression), ("start", start), ("end", end), ("step", "60"))
    for pairs in ([], [("start", start)], [("start", start), ("end", end)], [("start", end), ("end", start), ("step", 1)],
                  [("start", start), ("end", end), ("step", 0)], [("start", start), ("end", end), ("step", -1)],
                  [("start", start), ("end", end), ("step", "x")], [("start", 0), ("end", 11000), ("step", 1)],
                  [("start", 0), ("end", 11001), ("step", 1)], [("start", start), ("end", end), ("step", "1m"), ("limit", 1)],
                  [("start", start), ("end", end), ("step", "0.5")], [("start", "x"), ("end", end), ("step", 1)],
                  [("start", start), ("end", "y"), ("step", 1)], [("start", start), ("end", end), ("step", "1e30")]):
        yield get(r, ("query", "up"), *pairs)
    for path in ("/api/v1/series", "/api/v1/labels", "/api/v1/label/code/values", "/api/v1/label/__name__/values",
                 "/api/v1/label/a.b/values", "/api/v1/label/U__a_2e_b/values", "/api/v1/label/nothing/values",
                 "/api/v1/label/U__xx_/values", "/api/v1/label/%C3%A9/values", "/api/v1/label/U___e9_/values"):
        for pairs in ([], [("match[]", "up")], [("match[]", "up"), ("match[]", "gone")], [("match[]", "{__name__=~\".+\"}")],
                      [("match[]", "{}")], [("match[]", "up[5m]")], [("match[]", "")], [("match[]", "up"), ("limit", 1)],
                      [("match[]", "up"), ("limit", "x")], [("match[]", "up"), ("start", "x")], [("match[]", "up"), ("end", "x")],
                      [("match[]", "up"), ("start", 1), ("end", 2)], [("match[]", "up"), ("limit", 0)],
                      [("match[]", "{job=~\"w.*\",job=\"\"}")], [("match[]", "up offset 5m")],
                      # Turned round, but not across a border of windows or blocks.
                      [("match[]", "up"), ("start", end), ("end", end - 1)]):
            yield get(path, *pairs)
            if "/label/" not in path:
                yield post(path, *pairs)
    e = "/api/v1/query_exemplars"
    for expression in ("http_requests_total", "rate(http_requests_total[5m]) + up", "1", "", "x{", '{code="500"}'):
        yield get(e, ("query", expression), ("start", start), ("end", end))
    yield get(e, ("query", "up"), ("start", end), ("end", start))
    yield get(e, ("query", "up"), ("start", "x"))
    yield post(e, ("query", "http_requests_total"), ("start", start), ("end", end))
    yield get(e)
    for path in ("/api/v1/format_query", "/api/v1/parse_query"):
        for expression in ("sum by(x)(rate(up[5m]))", "up{", "", "1", "a and on (x) b", "latency[5m:1m] @ 5", "\"é\""):
            yield get(path, ("query", expression))
            yield post(path, ("query", expression))
        yield get(path)
    for path in ("metadata", "targets/metadata"):
        for pairs in ([("limit", "x")], [("limit_per_metric", "x"), ("limit", 0)], [("limit", 0)], [("metric", "nothing")]):
            yield get("/api/v1/" + path, *pairs)
    for target in ("{", "{job=\"x\"}", "{}"):
        yield get("/api/v1/targets/metadata", ("match_target", target))
    for path in ("targets", "targets?state=active", "targets?state=dropped", "targets?state=x", "scrape_pools", "scrape_pools/config",
                 "scrape_pools/config?scrapePool=x", "targets/relabel_steps", "targets/relabel_steps?scrapePool=x",
                 "targets/relabel_steps?scrapePool=x&labels=%7B", "targets/relabel_steps?scrapePool=x&labels=%7B%22a%22%3A%22b%22%7D",
                 "alertmanagers", "rules", "rules?type=alert", "rules?type=x",
                 "rules?group_limit=x", "rules?group_limit=0", "rules?match[]=%7B", "rules?exclude_alerts=x",
                 "rules?group_next_token=a", "alerts", "notifications", "status/walreplay", "status/tsdb?limit=0", "status/tsdb?limit=x",
                 "status/tsdb?limit=10001", "status/tsdb/blocks", "nothing", "status/nothing", "query/x", "features",
                 "status/self_metrics?metric_name_pattern=nothing_like_it",
                 "search/metric_names", "search/label_names?search[]=a", "search/label_values?label=job"):
        yield get("/api/v1/" + path)
    for method in ("DELETE", "PUT", "PATCH"):
        yield method, q, []
    yield "POST", "/api/v1/rules", []
    yield "GET", "/api/v1/write", []
    yield "GET", "/api/v1/read", []
    yield "GET", "/api/v1/otlp/v1/metrics", []
    yield "GET", "/api/v1/admin/tsdb/snapshot", []
    yield "OPTIONS", q, []
    yield "OPTIONS", "/api/v1/whatever/else", []
    admin = "/api/v1/admin/tsdb/"
    for pairs in ([], [("match[]", "{}")], [("match[]", "nothing"), ("start", "x")], [("match[]", "nothing"), ("end", "x")],
                  [("match[]", "nothing")]):
        yield post(admin + "delete_series", *pairs)
    yield "PUT", admin + "delete_series", [("match[]", "nothing")]
    yield post(admin + "snapshot", ("skip_head", "x"))
    yield post(admin + "clean_tombstones")
    for pairs in ([], [("match[]", "up")], [("match[]", "{__name__=~\".+\"}")], [("match[]", "x{")], [("match[]", "up"), ("match[]", "gone")]):
        yield get("/federate", *pairs)
    yield post("/-/reload")
    yield get("/-/reload")
    yield post("/-/quit")


# What differs by nature: own versions, times, processes.
def normal(path, status, headers, body):
    kind = headers.get("Content-Type", "").split(";")[0]
    if status == 405 or status == 404:
        return status, body.strip(), sorted(headers.get("Allow", "").replace(" ", "").split(","))
    if kind == "application/json":
        value = json.loads(body)
        if path.startswith("/api/v1/features"):
            value["data"] = {key: value["data"].get(key) for key in ("promql", "promql_functions", "promql_operators", "otlp_receiver")} | {
                "search": {key: on for key, on in value["data"]["api"].items() if "search" in key}}
        if path.startswith(("/api/v1/query?", "/api/v1/query_range")) and value.get("data"):
            value["data"].pop("stats", None)
        data = value.get("data")
        if path.startswith("/api/v1/series") and isinstance(data, list):
            data.sort(key=json.dumps)
        if isinstance(data, dict) and data.get("resultType") == "vector" and "sort" not in path and "topk" not in path:
            # The order of an instant vector is that of the storage.
            data["result"].sort(key=json.dumps)
        for key in ("warnings", "infos"):
            if key in value:
                value[key].sort()
        return status, kind, json.dumps(value, sort_keys=False)
    return status, kind, body


def compare(arguments):
    now = int(time.time()) // 60 * 60_000
    body = snappy(data(now))
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}
    for base in (arguments.tributary, arguments.prometheus):
        status, _, answer = call(base, "POST", "/api/v1/write", body, headers)
        assert status == 204, f"{base}: {status} {answer}"
    count, failures = 0, []

    def check(name, ours, theirs):
        nonlocal count
        count += 1
        if ours != theirs:
            failures.append(f"{name}\n    {str(ours)[:600]}\n    {str(theirs)[:600]}")

    for method, path, pairs in questions(now):
        form = urllib.parse.urlencode(pairs).encode()
        url, payload, headers = path, None, {"Origin": "http://grafana"}
        if method == "POST" and pairs:
            payload, headers["Content-Type"] = form, "application/x-www-form-urlencoded"
        elif pairs:
            url = f"{path}?{form.decode()}"
        answers = [call(base, method, url, payload, headers) for base in (arguments.tributary, arguments.prometheus)]
        check(f"{method} {path} {pairs}", *(normal(url, *answer) for answer in answers))
        if answers[1][0] == 200 and path.startswith("/api"):
            cors = [{key: one[1].get(key) for key in ("Access-Control-Allow-Origin", "Access-Control-Allow-Methods",
                                                      "Access-Control-Allow-Headers", "Access-Control-Expose-Headers")}
                    for one in answers]
            check(f"CORS of {path}", *cors)
    everything = "/federate?" + urllib.parse.urlencode([("match[]", '{__name__=~".+"}')])
    for accept in ("text/plain;version=0.0.4", "application/openmetrics-text;version=1.0.0,text/plain;q=0.5",
                   "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.5",
                   "text/plain;escaping=values", "text/plain;escaping=dots", "text/plain;escaping=nothing", "*/*",
                   "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;escaping=allow-utf-8;q=0.7,"
                   "text/plain;q=0.3"):
        both = [call(base, "GET", everything, headers={"Accept": accept}, raw=True)
                for base in (arguments.tributary, arguments.prometheus)]
        check(f"federate as {accept}", *((one[0], one[1].get("Content-Type"), one[2]) for one in both))
    return count, failures


if __name__ == "__main__":
    beside.main("HTTP API", compare)
