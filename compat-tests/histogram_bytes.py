"""Bytes that tributary and a Prometheus need on disk for the same native histograms.

    histogram_bytes.py [--tributary target/release/tributary] [--prometheus BIN] [--series 20] [--hours 6] [--interval 15] [--port 19480]

Both get the same remote write 1.0 requests, oldest samples first: histograms of request durations that drift over the
day, one kind at a time. Prometheus's bytes are those of the chunks in a snapshot of its head, tributary's those of the
chunks of the blocks that it writes on shutdown. Only Python's standard library.
"""

import argparse
import json
import math
import os
import random
import signal
import struct
import tempfile
import time
import urllib.parse

from otlp import double, field, message, varint, zigzag
from prometheus_api import call, series, snappy
from prometheus_peers import Processes

STEPS_PER_REQUEST = 60
BOUNDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10]


def packed(number, encoded):
    return message(number, b"".join(encoded))


def spans_of(indexes):
    """Runs of neighbouring buckets as (offset, length)."""
    spans, next_index = [], 0
    for index in indexes:
        if spans and index == next_index:
            spans[-1][1] += 1
        else:
            spans.append([index - next_index, 1])
        next_index = index + 1
    return b"".join(message(11, zigzag(1, offset) + field(2, 0, varint(length))) for offset, length in spans)


def zigzag_number(value):
    return varint((value << 1) ^ (value >> 63))


class Durations:
    """A service whose requests come in waves and whose latency wanders."""

    def __init__(self, seed, schema):
        self.random = random.Random(seed)
        self.schema = schema
        self.per_interval = self.random.choice([2, 20, 200])
        self.median = self.random.uniform(0.01, 0.3)
        self.buckets, self.zeros, self.sum = {}, 0, 0.0

    def index(self, value):
        if self.schema is None:
            return sum(bound < value for bound in BOUNDS)
        return math.ceil(math.log2(value) * 2**self.schema)

    def step(self):
        self.median *= math.exp(self.random.gauss(0, 0.02))
        # A wave of load now and then; some requests are cached and take no time at all.
        count = max(0, round(self.random.gauss(self.per_interval, math.sqrt(self.per_interval))))
        for _ in range(count):
            if self.schema is not None and self.random.random() < 0.02:
                self.zeros += 1
                continue
            value = round(self.median * math.exp(self.random.gauss(0, 0.6)), 9)
            index = self.index(value)
            self.buckets[index] = self.buckets.get(index, 0) + 1
            self.sum += value

    def integer(self):
        """The counter as a client library exposes it."""
        indexes = sorted(self.buckets)
        counts = [self.buckets[index] for index in indexes]
        deltas = [b - a for a, b in zip([0] + counts, counts)]
        out = field(1, 0, varint(sum(counts) + self.zeros)) + double(3, self.sum) + spans_of(indexes)
        out += packed(12, map(zigzag_number, deltas))
        if self.schema is None:
            return out + zigzag(4, -53) + packed(16, [struct.pack("<d", bound) for bound in BOUNDS])
        return out + zigzag(4, self.schema) + double(5, 2.0**-128) + field(6, 0, varint(self.zeros))

    def rate(self, before):
        """A gauge of floats, as a recording rule of rates makes it; `before` is a state of the past."""
        seconds = 300.0
        buckets, zeros, total = before
        rates = {index: (count - buckets.get(index, 0)) / seconds for index, count in self.buckets.items()}
        rates = {index: rate for index, rate in rates.items() if rate}
        zero = (self.zeros - zeros) / seconds
        out = double(2, sum(rates.values()) + zero) + double(3, (self.sum - total) / seconds)
        out += zigzag(4, self.schema) + double(5, 2.0**-128) + double(7, zero) + spans_of(sorted(rates))
        return out + packed(13, [struct.pack("<d", rates[index]) for index in sorted(rates)]) + field(14, 0, varint(3))

    def state(self):
        return dict(self.buckets), self.zeros, self.sum


def histograms(kind, seed, steps):
    """`steps` bodies of one series."""
    source = Durations(seed, {"custom": None, "fine": 5}.get(kind, 3))
    past = []
    for _ in range(steps):
        source.step()
        past = past[-20:] + [source.state()]
        yield source.rate(past[0]) if kind == "floats" else source.integer()


def requests(kind, arguments, start):
    steps = arguments.hours * 3600 // arguments.interval
    sources = [histograms(kind, number, steps) for number in range(arguments.series)]
    for first in range(0, steps, STEPS_PER_REQUEST):
        out = b""
        for number, source in enumerate(sources):
            bodies = [(start + 1000 * arguments.interval * (first + step), next(source)) for step in range(min(STEPS_PER_REQUEST, steps - first))]
            out += series({"__name__": f"durations_{kind}", "instance": str(number)}, histograms=bodies)
        yield snappy(out)


def size(directory):
    """Bytes of all files below that hold chunks."""
    return sum(os.path.getsize(os.path.join(root, name)) for root, _, names in os.walk(directory) for name in names
               if os.path.basename(root) == "chunks" or name.startswith("chunks"))


def measure(kind, arguments, work):
    start = int(time.time() * 1000) // 7_200_000 * 7_200_000 - arguments.hours * 3_600_000
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}
    with Processes(work) as run:
        ours = run.tributary(arguments.tributary, f"ours-{kind}", arguments.port, "storage.flush_on_close=true")
        theirs = run.prometheus(arguments.prometheus, f"theirs-{kind}", arguments.port + 1, "global: {}\n",
                                "--web.enable-remote-write-receiver", "--web.enable-admin-api", "--log.level=error")
        for body in requests(kind, arguments, start):
            for base in (ours, theirs):
                status, _, answer = call(base, "POST", "/api/v1/write", body, headers)
                assert status == 204, f"{base}: {status} {answer}"
        query = "/api/v1/query?" + urllib.parse.urlencode({
            "query": f"sum(count_over_time(durations_{kind}[{arguments.hours}h]))", "time": start / 1000 + arguments.hours * 3600})
        counts = [json.loads(call(base, "GET", query)[2])["data"]["result"][0]["value"][1] for base in (ours, theirs)]
        assert counts[0] == counts[1], counts
        status, _, answer = call(theirs, "POST", "/api/v1/admin/tsdb/snapshot")
        assert status == 200, answer
        process = run.started[0]
        process.send_signal(signal.SIGTERM)
        process.wait()
        samples = arguments.series * arguments.hours * 3600 // arguments.interval
        return size(os.path.join(work, f"ours-{kind}")), size(os.path.join(work, f"theirs-{kind}", "snapshots")), samples


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tributary", default="target/release/tributary")
    parser.add_argument("--prometheus", default="prometheus")
    parser.add_argument("--port", type=int, default=19480)
    parser.add_argument("--series", type=int, default=20)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--interval", type=int, default=15, help="seconds between two samples")
    parser.add_argument("--kinds", default="exponential,fine,custom,floats")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="tributary-histograms-") as work:
        for kind in arguments.kinds.split(","):
            ours, theirs, samples = measure(kind, arguments, work)
            print(f"{kind:12} {ours / samples:8.1f} bytes a histogram, Prometheus {theirs / samples:8.1f}: {ours / theirs:.2f} times")


if __name__ == "__main__":
    main()
