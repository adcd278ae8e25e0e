"""Random PromQL asked of tributary and of a real Prometheus over the same random data.

    promql_fuzz.py --tributary http://127.0.0.1:9009 --prometheus http://127.0.0.1:9090 \
        --seed 1 --queries 10000

Writes one hour of series (counters with resets, gauges with gaps, stale markers, NaN and infinities,
classic and native histograms) to both with remote write 1.0, then asks both the same queries and prints
every one that is answered differently: status, error text, warnings, labels, instants, values. Both
servers must be empty; the Prometheus needs --web.enable-remote-write-receiver and, for the whole grammar,
the features that --features names. Only Python's standard library.

`--level 2` leaves out what Prometheus 2.x answers differently: native histograms, 3.x functions, notes,
counters near zero, and samples on the edges of windows, which are closed on the left there.
"""

import argparse
import http.client
import json
import math
import random
import re
import struct
import sys
import urllib.parse

BASE_S = 1_700_000_000 // 3600 * 3600
SPAN_S = 3600
STEP_S = 15
STALE = struct.unpack("<d", struct.pack("<Q", 0x7FF0000000000002))[0]

# ---------------------------------------------------------------- remote write, by hand


def varint(number):
    out = bytearray()
    number &= (1 << 64) - 1
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    out.append(number)
    return bytes(out)


def zigzag(number):
    return varint((number << 1) ^ (number >> 63))


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def fixed64(number, value):
    return varint(number << 3 | 1) + struct.pack("<d", value)


def float_sample(at_ms, value):
    # The marker's bits do not survive arithmetic, so it is packed as it is.
    return field(2, fixed64(1, value) + varint(2 << 3) + varint(at_ms))


def histogram_sample(at_ms, h):
    """h: schema, zero_threshold, zero, sum, positive {index: count}, negative, custom, hint, is_float."""
    total = h["zero"] + sum(h["positive"].values()) + sum(h["negative"].values())
    out = b""
    if h["is_float"]:
        out += fixed64(2, total)
    else:
        out += varint(1 << 3) + varint(int(total))
    out += fixed64(3, h["sum"]) + varint(4 << 3) + zigzag(h["schema"]) + fixed64(5, h["zero_threshold"])
    if h["is_float"]:
        out += fixed64(7, h["zero"])
    else:
        out += varint(6 << 3) + varint(int(h["zero"]))
    for spans_field, deltas_field, counts_field, buckets in (
        (8, 9, 10, h["negative"]),
        (11, 12, 13, h["positive"]),
    ):
        previous, run = None, None
        spans, counts = [], []
        for index in sorted(buckets):
            if previous is not None and index == previous + 1:
                run[1] += 1
            else:
                run = [index if previous is None else index - previous - 1, 1]
                spans.append(run)
            counts.append(buckets[index])
            previous = index
        for offset, length in spans:
            out += field(spans_field, varint(1 << 3) + zigzag(offset) + varint(2 << 3) + varint(length))
        if h["is_float"] and counts:
            out += field(counts_field, b"".join(struct.pack("<d", count) for count in counts))
        elif counts:
            deltas = [counts[0]] + [b - a for a, b in zip(counts, counts[1:])]
            out += field(deltas_field, b"".join(zigzag(int(delta)) for delta in deltas))
    out += varint(14 << 3) + varint(h["hint"]) + varint(15 << 3) + varint(at_ms)
    if h["custom"]:
        out += field(16, b"".join(struct.pack("<d", bound) for bound in h["custom"]))
    return field(4, out)


def write_request(series):
    out = b""
    for labels, samples in series:
        body = b""
        for name, value in sorted(labels.items()):
            body += field(1, field(1, name.encode()) + field(2, value.encode()))
        out += field(1, body + b"".join(samples))
    return out


def snappy(data):
    """One block of literals: legal, and nobody here pays for bytes."""
    out = bytearray(varint(len(data)))
    for start in range(0, len(data), 65536):
        part = data[start : start + 65536]
        out += bytes([61 << 2]) + struct.pack("<H", len(part) - 1) + part
    return bytes(out)


# ---------------------------------------------------------------- data


def eighths(rng, top):
    """Multiples of 1/8: sums of them are exact in any order."""
    return rng.randrange(0, top * 8) / 8


def make_data(rng, level):
    """A list of (labels, {ms: value or histogram})."""
    series = []
    # Where counters begin, and how often they begin anew; 2.x extrapolates to zero in another way.
    floor, resets = (0.0, 1.0) if level >= 3 else (1e6, 0.0)

    def instants(gaps, jitter):
        at = rng.randrange(0, STEP_S) * 1000 if jitter else 0
        found = []
        skip = 0
        for number in range(SPAN_S // STEP_S):
            if skip == 0 and rng.random() < gaps:
                skip = rng.randrange(1, 40)
            if skip:
                skip -= 1
                continue
            shake = rng.randrange(1, 900) if jitter else 0
            # Prometheus 2.x closes windows on the left: an odd millisecond is never an edge.
            found.append((BASE_S + number * STEP_S) * 1000 + at + shake + (7 if level < 3 else 0))
        return found

    for host in "abc":
        for code in ("200", "404", "500"):
            value, points = floor + eighths(rng, 100), {}
            for at in instants(0.02, rng.random() < 0.5):
                value = 0.0 if rng.random() < 0.02 * resets else value + eighths(rng, 20)
                points[at] = value
            series.append(({"__name__": "c_total", "host": host, "code": code, "dc": "x" if host < "c" else "y"}, points))
    for host in "abcd":
        for dc in ("x", "y"):
            value, points = 0.0, {}
            for at in instants(0.03, rng.random() < 0.5):
                value += eighths(rng, 16) - 8
                points[at] = value
            for at in rng.sample(sorted(points), len(points) // 20):
                points[at] = STALE
            series.append(({"__name__": "g", "host": host, "dc": dc}, points))
        points = {at: float(rng.randrange(-2, 4)) for at in instants(0.02, False)}
        series.append(({"__name__": "s", "host": host}, points))
        points = {at: rng.choice([math.nan, math.inf, -math.inf, 0.0, 1.0, -1.5]) for at in instants(0.02, False)}
        series.append(({"__name__": "w", "host": host}, points))
        counts, times = [floor] * 6, instants(0.01, False)
        rows = [{} for _ in range(6)]
        for at in times:
            if rng.random() < 0.01 * resets:
                counts = [0.0] * 6
            for bucket in range(6):
                counts[bucket] += rng.randrange(0, 6)
            total = 0.0
            for bucket in range(6):
                total += counts[bucket]
                rows[bucket][at] = total
        for bucket, le in enumerate(["0.1", "0.5", "1", "2.5", "10", "+Inf"]):
            series.append(({"__name__": "h_bucket", "host": host, "le": le}, rows[bucket]))
    for host in "ab":
        labels = {"__name__": "target_info", "job": "j", "instance": host, "version": "v" + host}
        series.append((labels, {at: 1.0 for at in instants(0.01, False)}))
        points, value = {}, floor
        for at in instants(0.01, False):
            value += eighths(rng, 4)
            points[at] = value
        series.append(({"__name__": "j_total", "job": "j", "instance": host}, points))
    if level >= 3:
        native(rng, series, instants)
    return series


def native(rng, series, instants):
    for number, host in enumerate("abc"):
        h = None
        points = {}
        for at in instants(0.02, False):
            if h is None or rng.random() < 0.02:
                # All buckets from the start: a chunk of Prometheus gives its older histograms the empty
                # buckets of its newer ones, which shows as soon as 0 is multiplied by NaN.
                places = list(range(6)) + list(range(8, 14))
                h = {"schema": rng.choice([0, 1, 3]), "zero_threshold": rng.choice([0.001, 0.25]), "zero": 0,
                     "sum": 0.0, "positive": dict.fromkeys(places, 0), "negative": dict.fromkeys(places if number else [], 0),
                     "custom": [], "hint": 0, "is_float": False}
            h = dict(h, positive=dict(h["positive"]), negative=dict(h["negative"]))
            for _ in range(rng.randrange(1, 4)):
                side = "negative" if rng.random() < 0.2 and number else "positive"
                index = rng.randrange(0, 6) + (8 if rng.random() < 0.1 else 0)
                h[side][index] = h[side].get(index, 0) + rng.randrange(0, 5)
            h["zero"] += rng.randrange(0, 2)
            h["sum"] += eighths(rng, 10)
            points[at] = h
        series.append(({"__name__": "nh", "host": host}, points))
        points = {}
        for at in instants(0.02, False):
            positive = dict.fromkeys(range(-3, 6), 0.0)
            positive.update((index, eighths(rng, 9)) for index in rng.sample(range(-3, 6), 4))
            points[at] = {"schema": rng.choice([1, 2]), "zero_threshold": 0.001, "zero": eighths(rng, 3), "sum": eighths(rng, 50),
                          "positive": positive, "negative": {1: 1.0}, "custom": [], "hint": 3, "is_float": True}
        series.append(({"__name__": "ng", "host": host}, points))
        h, points = None, {}
        bounds = [0.5, 1.0, 2.5, 10.0] if host != "c" else [0.5, 2.5, 20.0]
        for at in instants(0.02, False):
            if h is None or rng.random() < 0.02:
                h = {"schema": -53, "zero_threshold": 0.0, "zero": 0, "sum": 0.0, "positive": {}, "negative": {},
                     "custom": bounds, "hint": 0, "is_float": False}
                h["positive"] = dict.fromkeys(range(len(bounds) + 1), 0)
            h = dict(h, positive=dict(h["positive"]))
            for _ in range(2):
                index = rng.randrange(0, len(bounds) + 1)
                h["positive"][index] = h["positive"].get(index, 0) + rng.randrange(0, 5)
            h["sum"] += eighths(rng, 10)
            points[at] = h
        series.append(({"__name__": "nc", "host": host}, points))
    mixed, source = {}, series[-3][1]
    for number, at in enumerate(sorted(source)):
        mixed[at] = source[at] if number // 30 % 2 else eighths(rng, 10)
    series.append(({"__name__": "mix", "host": "a"}, mixed))


def requests_of(series):
    """Bodies in time order, ten minutes each."""
    for start in range(BASE_S, BASE_S + SPAN_S + 600, 600):
        part = []
        for labels, points in series:
            samples = []
            for at in sorted(points):
                if start * 1000 <= at < (start + 600) * 1000:
                    value = points[at]
                    make = histogram_sample if isinstance(value, dict) else float_sample
                    samples.append(make(at, value))
            # Kinds are stored one after the other within a series of a request: a change begins another.
            kinds = [isinstance(points[at], dict) for at in sorted(points) if start * 1000 <= at < (start + 600) * 1000]
            while samples:
                run = next((place for place, kind in enumerate(kinds) if kind != kinds[0]), len(kinds))
                part.append((labels, samples[:run]))
                samples, kinds = samples[run:], kinds[run:]
        if part:
            yield snappy(write_request(part))


# ---------------------------------------------------------------- queries


class Grammar:
    """Type-correct random expressions."""

    LABELS = ["host", "dc", "code", "le", "instance"]
    SIMPLE = ["abs", "ceil", "floor", "exp", "sqrt", "ln", "log2", "log10", "sgn", "sin", "cos", "deg", "rad",
              "day_of_month", "hour", "minute", "month", "timestamp", "absent", "sort", "sort_desc", "-", "+"]
    RANGE = ["rate", "increase", "delta", "irate", "idelta", "avg_over_time", "min_over_time", "max_over_time",
             "sum_over_time", "count_over_time", "stddev_over_time", "stdvar_over_time", "last_over_time",
             "present_over_time", "absent_over_time", "changes", "resets", "deriv"]
    RANGE3 = ["mad_over_time", "ts_of_min_over_time", "ts_of_max_over_time", "ts_of_last_over_time",
              "first_over_time", "ts_of_first_over_time"]
    NATIVE = ["histogram_count", "histogram_sum", "histogram_avg", "histogram_stddev", "histogram_stdvar"]
    AGGREGATES = ["sum", "avg", "min", "max", "count", "group", "stddev", "stdvar"]

    def __init__(self, rng, level, features):
        self.rng, self.level, self.features = rng, level, features
        self.metrics = ["c_total", "c_total", "g", "g", "s", "w", "h_bucket", "j_total"]
        if level >= 3:
            self.metrics += ["nh", "nh", "ng", "nc", "mix"]

    def number(self):
        return self.rng.choice(["0", "1", "2", "0.5", "-1", "3", "10", "100", "-0.25", "NaN", "Inf", "1e3"])

    def duration(self):
        return self.rng.choice(["30s", "1m", "2m", "5m", "10m", "15m", "47s", "1h", "90s"])

    def selector(self):
        rng = self.rng
        matchers = []
        if rng.random() < 0.4:
            matchers.append(rng.choice(['host="a"', 'host!="b"', 'host=~"a|c"', 'host!~"[ab]"', 'dc="x"', 'code=~"2.."',
                                        'code=""', 'le="+Inf"', 'host=~".+"', 'nope=""', 'dc!=""']))
        name = rng.choice(self.metrics)
        if rng.random() < 0.03:
            name = ""
            matchers = ['__name__=~"%s"' % rng.choice(["g|s", "c_.*", "h_.*", "[gw]"])]
        return name + ("{" + ",".join(matchers) + "}" if matchers else "")

    def modifiers(self):
        rng, out = self.rng, ""
        if rng.random() < 0.15:
            out += " offset " + rng.choice(["1m", "5m", "-2m", "7s"])
        if rng.random() < 0.08:
            out += " @ " + rng.choice(["start()", "end()", str(BASE_S + rng.randrange(0, SPAN_S)), str(BASE_S + 1800.5)])
        return out

    def range(self):
        """The text between brackets: with features, sometimes an expression of durations."""
        if self.features and self.rng.random() < 0.1:
            return self.rng.choice(["1m+90s", "step()+5m", "max_of(5m,step())", "2*150s", "range()/7+1m", "5m-step()/3"])
        return self.duration()

    def extended(self, depth):
        """A function over a window with interpolated or anchored edges."""
        rng = self.rng
        kind = rng.choice(["anchored", "smoothed"])
        names = ["rate", "increase", "delta"] + (["changes", "resets"] if kind == "anchored" else [])
        if kind == "smoothed" and rng.random() < 0.3:
            return "%s smoothed%s" % (self.selector(), self.modifiers())
        return "%s(%s[%s] %s%s)" % (rng.choice(names), self.selector(), self.range(), kind, self.modifiers())

    def info(self):
        rng = self.rng
        wanted = rng.choice(["", ', {version=~".+"}', ', {version="va"}', ', {__name__="target_info"}', ', {nope=""}'])
        return "info(%s%s)" % (rng.choice(["j_total", "rate(j_total[5m])", "g", self.selector()]), wanted)

    def matrix(self, depth):
        rng = self.rng
        if depth > 0 and rng.random() < 0.2:
            step = rng.choice(["", "15s", "1m", "37s"])
            return "(%s)[%s:%s]%s" % (self.vector(depth - 1), self.range(), step, self.modifiers())
        return "%s[%s]%s" % (self.selector(), self.range(), self.modifiers())

    def grouping(self):
        rng = self.rng
        kind = rng.choice(["", "by", "by", "without"])
        labels = rng.sample(self.LABELS, rng.randrange(0, 3))
        return " %s (%s) " % (kind, ", ".join(labels)) if kind else ""

    def aggregate(self, depth):
        rng = self.rng
        kind = rng.random()
        inner = self.vector(depth - 1)
        if kind < 0.6:
            return "%s%s(%s)" % (rng.choice(self.AGGREGATES if self.level > 2 else self.AGGREGATES[:-2]), self.grouping(), inner)
        if kind < 0.75:
            return "%s%s(%s, %s)" % (rng.choice(["topk", "bottomk"]), self.grouping(), rng.choice("1235"), inner)
        if kind < 0.9:
            return "quantile%s(%s, %s)" % (self.grouping(), rng.choice(["0", "0.5", "0.9", "1", "0.33", "1.5"]), inner)
        if self.level > 2 and (kind < 0.95 or not self.features):
            return 'count_values%s("v", %s)' % (self.grouping(), inner)
        if kind < 0.975 or self.level < 3:
            if not self.features:
                return "group%s(%s)" % (self.grouping(), inner)
            return "limitk%s(%s, %s)" % (self.grouping(), rng.choice("123"), inner)
        return "limit_ratio%s(%s, %s)" % (self.grouping(), rng.choice(["0.5", "-0.3", "0.9"]), inner)

    def binary(self, depth):
        rng = self.rng
        left = self.vector(depth - 1)
        if rng.random() < 0.45:
            op = rng.choice(["+", "-", "*", "/", "%", "^", "==", "!=", ">", "<", ">=", "<="] + ["atan2"] * (self.level > 2))
            flag = " bool" if op in ("==", "!=", ">", "<", ">=", "<=") and rng.random() < 0.4 else ""
            right = self.scalar(depth - 1)
            if rng.random() < 0.3:
                left, right = right, left
            return "(%s) %s%s (%s)" % (left, op, flag, right)
        right = self.vector(depth - 1)
        if self.features and self.level >= 3 and rng.random() < 0.05:
            return "(%s) %s (%s)" % (rng.choice(["nh", "nc", "ng", left]), rng.choice(["</", ">/"]), rng.choice(["1", "2.5", "0", "-1", "Inf"]))
        # For 2.x a pair that a comparison filters out is none.
        compared = ["==", "!=", ">", "<="] if self.level > 2 else []
        op = rng.choice(["+", "-", "*", "/", "and", "or", "unless"] + compared)
        match = ""
        if rng.random() < 0.6:
            match = " %s (%s)" % (rng.choice(["on", "ignoring"]), ", ".join(rng.sample(self.LABELS, rng.randrange(0, 3))))
            if op not in ("and", "or", "unless") and rng.random() < 0.4:
                match += " %s (%s)" % (rng.choice(["group_left", "group_right"]), rng.choice(["", "dc"]))
        if self.features and op not in ("and", "or", "unless") and rng.random() < 0.2:
            match += " %s(%s)" % (rng.choice(["fill", "fill_left", "fill_right"]), rng.choice(["0", "1.5", "-1", "NaN"]))
        return "(%s) %s%s (%s)" % (left, op, match, right)

    def scalar(self, depth):
        rng = self.rng
        kind = rng.random()
        if depth <= 0 or kind < 0.7:
            return self.number()
        if kind < 0.8:
            return "time()"
        if kind < 0.9:
            return "scalar(%s)" % self.vector(depth - 1)
        return "%s %s %s" % (self.scalar(depth - 1), rng.choice("+-*/"), self.scalar(depth - 1))

    def function(self, depth):
        rng = self.rng
        if self.features and rng.random() < 0.12:
            return self.info() if rng.random() < 0.3 else self.extended(depth)
        kind = rng.random()
        if kind < 0.45:
            names = self.RANGE + (self.RANGE3 if self.features else [])
            name = rng.choice(names)
            if self.level < 3 and name in ("rate", "increase"):
                return "%s(%s[%s]%s)" % (name, rng.choice(["c_total", "j_total", "h_bucket"]), self.duration(), self.modifiers())
            return "%s(%s)" % (name, self.matrix(depth - 1))
        if kind < 0.5:
            return "quantile_over_time(%s, %s)" % (rng.choice(["0.5", "0.9", "0", "2"]), self.matrix(depth - 1))
        if kind < 0.53 and self.level > 2:
            return "predict_linear(%s, %s)" % (self.matrix(depth - 1), rng.choice(["60", "3600", "-30"]))
        inner = self.vector(depth - 1)
        if kind < 0.68:
            # The last digit of a large argument decides.
            names = [name for name in self.SIMPLE if self.level > 2 or name not in ("sin", "cos")]
            return "%s(%s)" % (rng.choice(names), inner)
        if kind < 0.74:
            name = rng.choice(["clamp_min", "clamp_max", "round"])
            return "%s(%s, %s)" % (name, inner, self.number())
        if kind < 0.77:
            return "clamp(%s, %s, %s)" % (inner, self.number(), self.number())
        if kind < 0.82:
            return 'label_replace(%s, "%s", "$1-x", "host", "%s")' % (inner, rng.choice(["z", "host", "dc"]), rng.choice(["(.*)", "(a|b)", "q"]))
        if kind < 0.85:
            return 'label_join(%s, "z", "/", "host", "dc")' % inner
        if kind < 0.93 or self.level < 3:
            return "histogram_quantile(%s, %s)" % (rng.choice(["0.5", "0.9", "0", "1", "-1"]), rng.choice([
                inner, "rate(h_bucket[5m])", "sum by (le) (rate(h_bucket[5m]))", "rate(nh[5m])" if self.level >= 3 else inner]))
        if kind < 0.96:
            return "%s(%s)" % (rng.choice(self.NATIVE), rng.choice([inner, "rate(nh[5m])", "ng", "sum(nc)"]))
        return "histogram_fraction(%s, %s, %s)" % (rng.choice(["0", "-1", "0.5"]), rng.choice(["1", "2.5", "Inf"]), rng.choice([inner, "nh", "nc"]))

    def vector(self, depth):
        rng = self.rng
        kind = rng.random()
        if depth <= 0 or kind < 0.15:
            return self.selector() + self.modifiers()
        if kind < 0.45:
            return self.function(depth)
        if kind < 0.7:
            return self.aggregate(depth)
        if kind < 0.97:
            return self.binary(depth)
        return "vector(%s)" % self.scalar(depth - 1)

    def request(self):
        """Endpoint and parameters of one query."""
        rng = self.rng
        query = self.vector(rng.randrange(1, 4)) if rng.random() < 0.97 else self.scalar(2)
        # Odd milliseconds are no edges of windows; see the top.
        shift = 0 if self.level >= 3 else 0.003
        if rng.random() < 0.5:
            return "query", {"query": query, "time": BASE_S + rng.randrange(0, SPAN_S + 400, 5) + shift}
        step = rng.choice([15, 30, 60, 300, 47])
        start = BASE_S + rng.randrange(-120, SPAN_S)
        return "query_range", {"query": query, "start": start + shift, "end": start + step * rng.randrange(0, 40) + shift, "step": step}


# ---------------------------------------------------------------- comparison


# What is known to differ and does not count, each for a reason that stands in DIFFERENCES.md: last digits
# (of values that became labels; of deviations of instants, whose squares eat nine digits), the number of
# samples that Prometheus claims to have repaired, and where a note points whose text occurs twice or that
# is about the operand of a unary plus.

NUMBER = re.compile(r"-?[0-9.]+(e[-+][0-9]+)?$")


def close(a, b, tolerance=1e-9):
    x, y = float(a), float(b)
    if math.isnan(x) or math.isnan(y):
        return math.isnan(x) and math.isnan(y)
    return x == y or abs(x - y) <= tolerance * max(abs(x), abs(y)) + 1e-12


def tolerance_of(query):
    if " % (" in query:
        # What is left of a large number is all last digits.
        return 1e-6
    of_instants = any(name in query for name in ("ts_of_", "timestamp(", "time()", "predict_linear"))
    return 1e-5 if of_instants and ("stddev" in query or "stdvar" in query) else 1e-9


def round_text(text):
    """A value or histogram that became a label, without its last digits."""
    if text.startswith("{count:"):
        return re.sub(r"[0-9.]+(e[-+][0-9]+)?", lambda number: "%.10g" % float(number.group(0).rstrip(".")), text)
    return "%.10g" % float(text) if NUMBER.match(text) else text


def round_note(note, query):
    note = re.sub(r" over [0-9]+ samples", "", note)
    if "quantile value should be" in note or "+(" in query:
        note = re.sub(r" \([0-9]+:[0-9]+\)$", "", note)
    return note


def same_histogram(a, b):
    if not (close(a["count"], b["count"]) and close(a["sum"], b["sum"])):
        return False
    left, right = a.get("buckets", []), b.get("buckets", [])
    return len(left) == len(right) and all(
        x[0] == y[0] and all(close(p, q) for p, q in zip(x[1:], y[1:])) for x, y in zip(left, right))


def points_of(series):
    floats = series.get("values") or ([series["value"]] if "value" in series else [])
    histograms = series.get("histograms") or ([series["histogram"]] if "histogram" in series else [])
    return floats, histograms


def difference(query, level, ours, theirs):
    """What differs, in a word; None where nothing does."""
    tolerance = tolerance_of(query)
    (status_a, a), (status_b, b) = ours, theirs
    if status_a != status_b:
        return "status %s and %s: %s | %s" % (status_a, status_b, a.get("error"), b.get("error"))
    if a.get("errorType") != b.get("errorType"):
        return "error type %s and %s" % (a.get("errorType"), b.get("errorType"))
    if status_a != 200:
        # Which of several duplicates a message names depends on the order of the series.
        cut = lambda text: (text or "").replace('invalid parameter "query": ', "").split(": [{")[0].split("{")[0]
        return None if cut(a["error"]) == cut(b["error"]) else "error %r and %r" % (a["error"], b["error"])
    for notes in ("warnings", "infos") if level > 2 else ():
        left, right = (sorted({round_note(note, query) for note in answer.get(notes, [])}) for answer in (a, b))
        if left != right:
            return "%s %r and %r" % (notes, left, right)
    a, b = a["data"], b["data"]
    if a["resultType"] != b["resultType"]:
        return "type %s and %s" % (a["resultType"], b["resultType"])
    if a["resultType"] in ("scalar", "string"):
        return None if close(a["result"][1], b["result"][1]) else "%s and %s" % (a["result"], b["result"])
    key = lambda series: tuple((name, round_text(text)) for name, text in sorted(series["metric"].items()))
    left, right = {key(s): s for s in a["result"]}, {key(s): s for s in b["result"]}
    if left.keys() != right.keys():
        return "series: only here %s, only there %s" % (sorted(left.keys() - right.keys())[:3], sorted(right.keys() - left.keys())[:3])
    for name in left:
        (floats, histograms), (other_floats, other_histograms) = points_of(left[name]), points_of(right[name])
        if [at for at, _ in floats] != [at for at, _ in other_floats] or [at for at, _ in histograms] != [at for at, _ in other_histograms]:
            return "instants of %s: %s and %s" % (name, (floats[:3], histograms[:1]), (other_floats[:3], other_histograms[:1]))
        for (at, x), (_, y) in zip(floats, other_floats):
            if not close(x, y, tolerance):
                return "value of %s at %s: %s and %s" % (name, at, x, y)
        for (at, x), (_, y) in zip(histograms, other_histograms):
            if not same_histogram(x, y):
                return "histogram of %s at %s: %s and %s" % (name, at, x, y)
    return None


def is_slip(query):
    """An instant of samples at "@" with an offset, which Prometheus leaves out of account; see DIFFERENCES.md."""
    return any("@" in part and "offset" in part for part in re.findall(r"timestamp\([^()]*(?:\(\))?[^()]*\)", query))


def may_be_tie(query, answers):
    """Which of several equal values are the best is not defined: only success must be common to both."""
    chooses = any(name in query for name in ("topk", "bottomk", "limitk"))
    # The share is drawn by the labels' hash, so the last digit of one decides.
    chooses |= "limit_ratio" in query and "count_values" in query
    return chooses and all(status == 200 for status, _ in answers)


class Server:
    def __init__(self, url):
        self.address = urllib.parse.urlsplit(url).netloc
        self.connection = http.client.HTTPConnection(self.address, timeout=120)

    def send(self, path, body, headers):
        for attempt in (0, 1):
            try:
                self.connection.request("POST", path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                if attempt:
                    raise

    def write(self, body):
        status, answer = self.send("/api/v1/write", body, {
            "Content-Encoding": "snappy", "Content-Type": "application/x-protobuf", "X-Prometheus-Remote-Write-Version": "0.1.0"})
        if status // 100 != 2:
            sys.exit("%s refuses the data: %s %s" % (self.address, status, answer[:300]))

    def ask(self, endpoint, parameters):
        status, body = self.send("/api/v1/" + endpoint, urllib.parse.urlencode(parameters), {"Content-Type": "application/x-www-form-urlencoded"})
        return status, json.loads(body)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tributary", default="http://127.0.0.1:9009")
    parser.add_argument("--prometheus", default="http://127.0.0.1:9090")
    parser.add_argument("--seed", type=int, default=random.randrange(1 << 32))
    parser.add_argument("--queries", type=int, default=1000)
    parser.add_argument("--level", type=int, default=3, choices=[2, 3])
    parser.add_argument("--features", action="store_true", help="also what needs --enable-feature=promql-experimental-functions,"
                        "promql-extended-range-selectors,promql-binop-fill-modifiers, on both sides")
    parser.add_argument("--written", action="store_true", help="the data of this seed is in both already")
    parser.add_argument("--show", type=int, default=20, help="differences to print")
    arguments = parser.parse_args()
    print("seed %d" % arguments.seed, flush=True)
    rng = random.Random(arguments.seed)
    ours, theirs = Server(arguments.tributary), Server(arguments.prometheus)
    data = make_data(random.Random(arguments.seed), arguments.level)
    if not arguments.written:
        for body in requests_of(data):
            ours.write(body)
            theirs.write(body)
    grammar = Grammar(rng, arguments.level, arguments.features)
    different = ties = failed = empty = 0
    for number in range(arguments.queries):
        endpoint, parameters = grammar.request()
        answers = ours.ask(endpoint, parameters), theirs.ask(endpoint, parameters)
        failed += answers[1][0] != 200
        empty += answers[1][0] == 200 and not answers[1][1]["data"]["result"]
        found = difference(parameters["query"], arguments.level, *answers)
        if found and (may_be_tie(parameters["query"], answers) or is_slip(parameters["query"])):
            ties += 1
        elif found:
            different += 1
            if different <= arguments.show:
                print("\n%d %s %s\n  %s" % (number, endpoint, json.dumps(parameters), found[:700]), flush=True)
    print("%d queries, %d answered differently (%d fail and %d are empty in both; %d choose among equals)"
          % (arguments.queries, different, failed, empty, ties))
    sys.exit(1 if different else 0)


if __name__ == "__main__":
    main()
