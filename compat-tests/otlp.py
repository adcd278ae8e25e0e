"""Sends the same OTLP requests to tributary and to a real Prometheus and compares what both keep.

The requests (protobuf and JSON, plain and gzip) cover every kind of metric, names, units, resources,
scopes, exemplars, ends of series, and what is refused. Only Python's standard library, and beside.py in this folder.

    otlp.py --tributary http://127.0.0.1:19009 --prometheus http://127.0.0.1:19090 [--prefix p]

The Prometheus needs --web.enable-otlp-receiver and --enable-feature=exemplar-storage, 3.x.
"""

import base64
import gzip
import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request

import beside

NS = 1_000_000_000


# --- protobuf, as much as is needed -----------------------------------------------------------------

def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, wire, payload):
    return varint(number << 3 | wire) + payload


def message(number, payload):
    return field(number, 2, varint(len(payload)) + payload)


def text(number, value):
    return message(number, value.encode())


def fixed(number, value):
    return field(number, 1, struct.pack("<Q", value & (1 << 64) - 1))


def double(number, value):
    return field(number, 1, struct.pack("<d", value))


def zigzag(number, value):
    return field(number, 0, varint(value << 1 ^ value >> 63))


def flag(number, value):
    return field(number, 0, varint(value)) if value else b""


def any_value(value):
    if "stringValue" in value:
        return text(1, value["stringValue"])
    if "boolValue" in value:
        return field(2, 0, varint(int(value["boolValue"])))
    if "intValue" in value:
        return field(3, 0, varint(int(value["intValue"])))
    if "doubleValue" in value:
        return double(4, value["doubleValue"])
    if "arrayValue" in value:
        return message(5, b"".join(message(1, any_value(item)) for item in value["arrayValue"]["values"]))
    if "kvlistValue" in value:
        return message(6, attributes(1, value["kvlistValue"]["values"]))
    if "bytesValue" in value:
        return message(7, base64.b64decode(value["bytesValue"]))
    return b""


def attributes(number, pairs):
    return b"".join(message(number, text(1, pair["key"]) + message(2, any_value(pair["value"]))) for pair in pairs)


def stamps(point):
    out = b""
    if "startTimeUnixNano" in point:
        out += fixed(2, int(point["startTimeUnixNano"]))
    if "timeUnixNano" in point:
        out += fixed(3, int(point["timeUnixNano"]))
    return out


def value_of(point, double_field, int_field):
    if "asDouble" in point:
        return double(double_field, point["asDouble"])
    if "asInt" in point:
        return fixed(int_field, int(point["asInt"]))
    return b""


def exemplars(number, point):
    out = b""
    for one in point.get("exemplars", []):
        body = attributes(7, one.get("filteredAttributes", [])) + fixed(2, int(one["timeUnixNano"]))
        body += value_of(one, 3, 6)
        body += message(4, bytes.fromhex(one.get("spanId", ""))) + message(5, bytes.fromhex(one.get("traceId", "")))
        out += message(number, body)
    return out


def number_point(point):
    out = attributes(7, point.get("attributes", [])) + stamps(point) + value_of(point, 4, 6)
    return out + exemplars(5, point) + flag(8, point.get("flags", 0))


def packed(number, kind, values):
    return message(number, b"".join(struct.pack("<" + kind, value) for value in values)) if values else b""


def histogram_point(point):
    out = attributes(9, point.get("attributes", [])) + stamps(point) + fixed(4, int(point.get("count", 0)))
    if "sum" in point:
        out += double(5, point["sum"])
    out += packed(6, "Q", [int(count) for count in point.get("bucketCounts", [])])
    out += packed(7, "d", point.get("explicitBounds", []))
    return out + exemplars(8, point) + flag(10, point.get("flags", 0))


def side(number, buckets):
    counts = b"".join(varint(int(count)) for count in buckets.get("bucketCounts", []))
    return message(number, zigzag(1, buckets.get("offset", 0)) + message(2, counts))


def exponential_point(point):
    out = attributes(1, point.get("attributes", [])) + stamps(point) + fixed(4, int(point.get("count", 0)))
    if "sum" in point:
        out += double(5, point["sum"])
    out += zigzag(6, point.get("scale", 0)) + fixed(7, int(point.get("zeroCount", 0)))
    out += side(8, point.get("positive", {})) + side(9, point.get("negative", {}))
    out += flag(10, point.get("flags", 0)) + exemplars(11, point)
    return out + double(14, point.get("zeroThreshold", 0.0))


def summary_point(point):
    out = attributes(7, point.get("attributes", [])) + stamps(point)
    out += fixed(4, int(point.get("count", 0))) + double(5, point.get("sum", 0.0))
    for quantile in point.get("quantileValues", []):
        out += message(6, double(1, quantile["quantile"]) + double(2, quantile["value"]))
    return out + flag(8, point.get("flags", 0))


KINDS = {
    "gauge": (5, number_point),
    "sum": (7, number_point),
    "histogram": (9, histogram_point),
    "exponentialHistogram": (10, exponential_point),
    "summary": (11, summary_point),
}


def metric_message(metric):
    out = text(1, metric["name"]) + text(2, metric.get("description", "")) + text(3, metric.get("unit", ""))
    for kind, (number, encode) in KINDS.items():
        if kind in metric:
            data = metric[kind]
            body = b"".join(message(1, encode(point)) for point in data.get("dataPoints", []))
            body += flag(2, data.get("aggregationTemporality", 0)) + flag(3, int(data.get("isMonotonic", False)))
            out += message(number, body)
    return out


def protobuf(request):
    out = b""
    for resource in request["resourceMetrics"]:
        body = message(1, attributes(1, resource.get("resource", {}).get("attributes", [])))
        for scope in resource["scopeMetrics"]:
            about = scope.get("scope", {})
            inner = message(1, text(1, about.get("name", "")) + text(2, about.get("version", "")) +
                            attributes(3, about.get("attributes", [])))
            inner += b"".join(message(2, metric_message(metric)) for metric in scope["metrics"])
            body += message(2, inner + text(3, scope.get("schemaUrl", "")))
        out += message(1, body)
    return out


# --- requests ---------------------------------------------------------------------------------------

def attribute(key, value):
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    if isinstance(value, bytes):
        return {"key": key, "value": {"bytesValue": base64.b64encode(value).decode()}}
    if isinstance(value, list):
        return {"key": key, "value": {"arrayValue": {"values": [attribute("", item)["value"] for item in value]}}}
    if isinstance(value, dict):
        values = [attribute(name, item) for name, item in value.items()]
        return {"key": key, "value": {"kvlistValue": {"values": values}}}
    return {"key": key, "value": {"stringValue": value}}


def pairs(**values):
    return [attribute(key.replace("__dot__", "."), value) for key, value in values.items()]


def request(metrics, resource=None, scope=None, schema=""):
    resource = resource if resource is not None else [("service.name", "shop"), ("service.namespace", "web"),
                                                      ("service.instance.id", "i-1"), ("host.name", "h1")]
    return {"resourceMetrics": [{
        "resource": {"attributes": [attribute(key, value) for key, value in resource]},
        "scopeMetrics": [{"scope": scope or {"name": "lib", "version": "1.2"}, "schemaUrl": schema,
                          "metrics": metrics}],
    }]}


def point(at, value, **more):
    kind = {"asInt": str(value)} if isinstance(value, int) else {"asDouble": value}
    return {"timeUnixNano": str(at), "startTimeUnixNano": str(at - 60 * NS), **kind, **more}


def requests(now, prefix):
    """Name, request; times ascend, so that Prometheus takes all."""
    exemplar = {"timeUnixNano": str(now), "asDouble": 0.3, "traceId": "0102030405060708090a0b0c0d0e0f10",
                "spanId": "0102030405060708", "filteredAttributes": pairs(user="u1")}
    long_exemplar = {**exemplar, "filteredAttributes": pairs(user="x" * 100), "asDouble": 7.5}
    name = lambda text: prefix + text
    counts = {"bucketCounts": ["1", "2", "0", "4"], "explicitBounds": [0.5, 1.0, 10.0], "count": "7", "sum": 12.5}
    expo = {"count": "12", "sum": 30.5, "scale": 2, "zeroCount": "2",
            "positive": {"offset": -3, "bucketCounts": ["1", "0", "0", "0", "0", "4", "2"]},
            "negative": {"offset": 0, "bucketCounts": ["3"]}}
    yield "gauges", request([
        {"name": name("memory.used"), "unit": "By", "description": "used", "gauge": {"dataPoints": [
            point(now, 5, attributes=pairs(state="free", cpu__dot__id=3)),
            point(now, 2.5, attributes=pairs(state="used", flag=True, part=0.25, raw=b"xyz", list=["a", 1, None or "b"],
                                             map={"b": 1, "a": "<"}))]}},
        {"name": name("ratio.of.x"), "unit": "1", "gauge": {"dataPoints": [point(now, 0.5)]}},
        {"name": name("speed"), "unit": "m/s", "gauge": {"dataPoints": [point(now, 1.5)]}},
        {"name": name("9.things"), "unit": "{things}", "gauge": {"dataPoints": [point(now, 1.5)]}},
    ])
    yield "sums", request([
        {"name": name("requests"), "unit": "1", "sum": {"aggregationTemporality": 2, "isMonotonic": True, "dataPoints": [
            point(now, 10, exemplars=[exemplar, long_exemplar], attributes=pairs(code=200)),
            point(now + NS, 11, attributes=pairs(code=200))]}},
        {"name": name("queue.total.size"), "sum": {"aggregationTemporality": 2, "dataPoints": [point(now, -4)]}},
    ])
    yield "histograms", request([
        {"name": name("latency"), "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": str(now), "exemplars": [exemplar, long_exemplar], **counts, "attributes": pairs(le="mine")},
            {"timeUnixNano": str(now), "count": "3", "attributes": pairs(route="/")}]}},
    ])
    yield "exponential", request([
        {"name": name("size"), "unit": "By", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": str(now), "exemplars": [exemplar], **expo},
            {"timeUnixNano": str(now), **expo, "scale": 10, "attributes": pairs(fine="yes")},
            {"timeUnixNano": str(now), "count": "0", "attributes": pairs(empty="yes")}]}},
    ])
    yield "summaries", request([
        {"name": name("rpc"), "unit": "ms", "summary": {"dataPoints": [
            {"timeUnixNano": str(now), "count": "5", "sum": 2.5, "attributes": pairs(quantile="mine"),
             "quantileValues": [{"quantile": 0.5, "value": 1.5}, {"quantile": 0.99, "value": 9.0},
                                {"quantile": 1e-7, "value": 0.0}]}]}},
    ])
    yield "names that meet", request([
        {"name": name("meet"), "gauge": {"dataPoints": [point(now, 1, attributes=pairs(
            a__dot__b="1", a_b="2", _a="3", __name__="no", job="mine", **{"0x": "4", "é": "5", "a b": "6"}))]}},
    ])
    yield "an end", request([
        {"name": name("memory.used"), "unit": "By", "gauge": {"dataPoints": [
            point(now + 2 * NS, 0, flags=1, attributes=pairs(state="free", cpu__dot__id=3))]}},
        {"name": name("latency"), "unit": "s", "histogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": str(now + 2 * NS), "flags": 1, "count": "0", "sum": 0.0,
             "explicitBounds": [0.5], "bucketCounts": ["0", "0"], "attributes": pairs(le="mine")}]}},
        {"name": name("size"), "unit": "By", "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": [
            {"timeUnixNano": str(now + 2 * NS), "flags": 1, "count": "0"}]}},
    ])
    yield "long", request([
        {"name": name("long"), "gauge": {"dataPoints": [point(now + at * NS, at) for at in range(0, 700, 100)]}}],
        resource=[("service.name", "long"), ("os.type", "linux"), ("a", {"b": [1, 2.5]})])
    yield "only a name", request([{"name": name("bare"), "gauge": {"dataPoints": [point(now, 1)]}}],
                                 resource=[("service.name", "bare")])
    yield "no service", request([{"name": name("noservice"), "gauge": {"dataPoints": [point(now, 1)]}}],
                                resource=[("host.name", "h")])
    yield "nothing", {"resourceMetrics": []}
    yield "no points", request([{"name": name("none"), "gauge": {"dataPoints": []}}])
    yield "scope", request([{"name": name("scoped"), "gauge": {"dataPoints": [point(now, 1)]}}],
                           scope={"name": "s", "version": "2", "attributes": pairs(kind__dot__of="k")}, schema="http://x")
    bad = lambda metric: request([{"name": name("kept"), "gauge": {"dataPoints": [point(now, 1)]}}, metric])
    yield "refused: delta", bad({"name": name("delta"), "sum": {
        "aggregationTemporality": 1, "isMonotonic": True, "dataPoints": [point(now, 1)]}})
    yield "refused: no temporality", bad({"name": name("unspecified"), "sum": {"dataPoints": [point(now, 1)]}})
    yield "refused: no kind", bad({"name": name("kindless")})
    yield "refused: scale", bad({"name": name("coarse"), "exponentialHistogram": {
        "aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": str(now), **expo, "scale": -5}]}})
    yield "refused: label", bad({"name": name("label"), "gauge": {"dataPoints": [point(now, 1, attributes=pairs(é="1"))]}})
    yield "refused: nameless label", bad({"name": name("x"), "gauge": {"dataPoints": [
        point(now, 1, attributes=[attribute("", "1")])]}})
    yield "refused: name", request([{"name": "é", "gauge": {"dataPoints": [point(now, 1)]}}])
    yield "refused: count", bad({"name": name("miscounted"), "exponentialHistogram": {
        "aggregationTemporality": 2, "dataPoints": [{"timeUnixNano": str(now), **expo, "count": "99"}]}})
    yield "refused: exemplar", bad({"name": name("exemplar"), "sum": {
        "aggregationTemporality": 2, "dataPoints": [point(now, 1, exemplars=[{"timeUnixNano": str(now)}])]}})


def deltas(now, prefix):
    """The same series again and again, for servers that make totals of differences."""
    name = lambda text: prefix + text
    for step in range(4):
        at = now + step * 10 * NS
        stamp = {"timeUnixNano": str(at), "startTimeUnixNano": str(at - 10 * NS)}
        buckets = {"offset": -2 - step, "bucketCounts": [str(step + 1), "0", "5"]}
        yield f"delta {step}", request([
            {"name": name("d.int"), "sum": {"aggregationTemporality": 1, "isMonotonic": True,
                                            "dataPoints": [{**stamp, "asInt": str(step + 1)}]}},
            {"name": name("d.float"), "sum": {"aggregationTemporality": 1,
                                              "dataPoints": [{**stamp, "asDouble": 0.5}]}},
            {"name": name("d.hist"), "histogram": {"aggregationTemporality": 1, "dataPoints": [
                {**stamp, "count": "3", "sum": 1.5, "bucketCounts": ["1", "2"], "explicitBounds": [1.0 + step // 2]}]}},
            {"name": name("d.expo"), "exponentialHistogram": {"aggregationTemporality": 1, "dataPoints": [
                {**stamp, "count": str(step + 7), "sum": 2.5, "scale": 3 - step, "zeroCount": "1", "positive": buckets}]}},
        ])
    late = {"timeUnixNano": str(now + 15 * NS), "startTimeUnixNano": str(now + 5 * NS)}
    yield "a late one", request([{"name": name("d.int"), "sum": {"aggregationTemporality": 1, "isMonotonic": True,
                                                                 "dataPoints": [{**late, "asInt": "100"}]}}])


# --- servers ----------------------------------------------------------------------------------------

def send(base, body, content_type, compress):
    headers = {"Content-Type": content_type}
    if compress:
        body, headers["Content-Encoding"] = gzip.compress(body), "gzip"
    call = urllib.request.Request(base + "/api/v1/otlp/v1/metrics", body, headers)
    try:
        with urllib.request.urlopen(call, timeout=30) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def ask(base, path, **params):
    try:
        with urllib.request.urlopen(f"{base}{path}?{urllib.parse.urlencode(params)}", timeout=30) as answer:
            return json.load(answer)["data"]
    except urllib.error.HTTPError as error:
        return error.read().decode()


def kept(base, prefix, now):
    """All series of a prefix with all their samples, as text to be compared."""
    end = now // NS + 900
    out = {}
    for selector in (f'{{__name__=~"_?{prefix}.*|{prefix}.*"}}', 'target_info{job=~"long|web/shop|bare"}'):
        for series in ask(base, "/api/v1/query", query=f"{selector}[30m]", time=end)["result"]:
            out[json.dumps(series["metric"], sort_keys=True)] = {
                "values": series.get("values"), "histograms": series.get("histograms")}
    found = ask(base, "/api/v1/query_exemplars", query=f'{{__name__=~"{prefix}.*"}}', start=now // NS - 60, end=end)
    for one in found:
        out["exemplars of " + json.dumps(one["seriesLabels"], sort_keys=True)] = [
            {**exemplar, "labels": dict(sorted(exemplar["labels"].items()))} for exemplar in one["exemplars"]]
    return out


def compare(arguments):
    failures, count = [], 0
    now = int(time.time()) * NS - 1200 * NS
    for encoding in ("protobuf", "json"):
        prefix = f"{arguments.prefix}_{encoding}_"
        cases = list(requests(now, prefix)) + (list(deltas(now, prefix)) if arguments.deltas else [])
        for index, (name, body) in enumerate(cases):
            if arguments.deltas and name == "refused: delta":
                continue
            if encoding == "json":
                data, content_type = json.dumps(body).encode(), "application/json"
            else:
                data, content_type = protobuf(body), "application/x-protobuf"
            answers = [send(base, data, content_type, index % 2 == 1)
                       for base in (arguments.tributary, arguments.prometheus)]
            count += 1
            if answers[0] != answers[1]:
                failures.append(f"{encoding}, {name}: {answers[0]} against {answers[1]}")
        ours, theirs = (kept(base, prefix, now) for base in (arguments.tributary, arguments.prometheus))
        for key in sorted(ours.keys() | theirs.keys()):
            count += 1
            if ours.get(key) != theirs.get(key):
                failures.append(f"{key}: {json.dumps(ours.get(key))[:400]} against {json.dumps(theirs.get(key))[:400]}")
    for name, data, content_type, headers in (
        ("no type", b"", "", None), ("a parameter", b"{}", "application/json; charset=utf-8", None),
        ("text", b"x", "text/plain", None), ("encoding", b"", "application/json", "deflate"),
        ("cut off", b"\x0a\xff", "application/x-protobuf", None), ("no json", b"{", "application/json", None)):
        answers = []
        for base in (arguments.tributary, arguments.prometheus):
            call = urllib.request.Request(base + "/api/v1/otlp/v1/metrics", data, {"Content-Type": content_type})
            if headers:
                call.add_header("Content-Encoding", headers)
            try:
                with urllib.request.urlopen(call, timeout=30) as answer:
                    answers.append((answer.status, answer.read().decode()))
            except urllib.error.HTTPError as error:
                body = error.read().decode()
                # What a parser says of broken bytes is its own.
                answers.append((error.code, body if name not in ("cut off", "no json") else "", error.headers["Content-Type"]))
        count += 1
        if answers[0] != answers[1]:
            failures.append(f"{name}: {answers[0]} against {answers[1]}")
    return count, failures


def add_arguments(parser):
    parser.add_argument("--prefix", default="otlp")
    parser.add_argument("--deltas", action="store_true", help="both make totals of differences")


if __name__ == "__main__":
    beside.main("OTLP", compare, add_arguments)
