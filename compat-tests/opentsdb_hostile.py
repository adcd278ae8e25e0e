#!/usr/bin/env python3
"""What a careless or a hostile OpenTSDB client may send, and that it costs the server nothing.

    cargo build --release && python3 compat-tests/opentsdb_hostile.py
    python3 compat-tests/opentsdb_hostile.py --tributary target/debug/tributary --port 22100

Starts the program on an empty directory and checks, for each case, the status, the words of the refusal,
how much CPU it cost, and how much the server's memory grew. Only Python's standard library.
"""

import argparse
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MB = 1 << 20
# CPU that a case may cost the server, and how much larger it may leave it
SECONDS_MAX = 10.0
# (a body of 64 MB may be held a few times; what the allocator keeps is used again).
GROWTH_MAX = 256 * MB
# Series of the large metric, and how many a query may touch.
SERIES, SERIES_MAX = 1_000_000, 200_000


class Server:
    """The program, on ports of its own."""

    def __init__(self, binary, port, settings):
        self.directory = tempfile.mkdtemp(prefix="opentsdb-hostile-")
        self.port, self.lines_port = port, port + 1
        command = [binary, "--data-dir", os.path.join(self.directory, "data")]
        own = [f"listen.http=127.0.0.1:{port}", f"listen.opentsdb=127.0.0.1:{port + 1}", "listen.graphite_tcp=",
               "listen.graphite_udp=", "listen.graphite_pickle=", "log.level=error"]
        for item in own + settings:
            command += ["--set", item]
        self.log = open(os.path.join(self.directory, "log"), "ab")
        self.process = subprocess.Popen(command, stdout=self.log, stderr=self.log)
        for _ in range(1200):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/-/ready", timeout=5).read()
                return
            except OSError:
                if self.process.poll() is not None:
                    raise SystemExit(open(self.log.name).read()[-2000:])
                time.sleep(0.05)
        raise SystemExit("the server does not become ready")

    def memory(self):
        status = open(f"/proc/{self.process.pid}/status").read()
        return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024

    def cpu_seconds(self):
        fields = open(f"/proc/{self.process.pid}/stat").read().rsplit(") ", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self):
        self.process.terminate()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.lines_port), timeout=60)

    def send(self, method, path, body=b"", headers=(), parts=None, length=None):
        """Status and text of a request whose body may come in `parts`; an answer may come early."""
        with self.connect() as stream:
            head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
            head += "".join(f"{name}: {value}\r\n" for name, value in headers)
            if parts is not None and length is None:
                head += "Transfer-Encoding: chunked\r\n\r\n"
            else:
                head += f"Content-Length: {len(body) if length is None else length}\r\n\r\n"
            try:
                stream.sendall(head.encode() + body)
                for part in parts or ():
                    stream.sendall(part if length is not None else b"%x\r\n%s\r\n" % (len(part), part))
                if parts is not None and length is None:
                    stream.sendall(b"0\r\n\r\n")
            except OSError:
                pass  # refused before the end
            return answer(stream)

    def get(self, path, **params):
        query = urllib.parse.urlencode(params, doseq=True)
        return self.send("GET", f"{path}?{query}" if query else path)

    def post(self, path, value, headers=()):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        return self.send("POST", path, body, headers)

    def telnet(self, parts, wait=b"unknown command: end"):
        """What the line protocol says to these bytes."""
        with self.connect() as stream:
            try:
                for part in parts:
                    stream.sendall(part)
                stream.sendall(b"\nend\n")
            except OSError:
                pass
            said = b""
            while wait not in said:
                try:
                    more = stream.recv(1 << 16)
                except OSError:
                    break
                if not more:
                    break
                said += more
            return 0, said.decode(errors="replace")


def answer(stream):
    data = b""
    while True:
        try:
            more = stream.recv(1 << 16)
        except OSError:
            break
        if not more:
            break
        data += more
    head, _, body = data.partition(b"\r\n\r\n")
    status = head.split(b" ")[1] if b" " in head else b"0"
    return int(status), body.decode(errors="replace")


def repeated(part, size):
    """`part` until `size` bytes are out."""
    for _ in range(size // len(part)):
        yield part


def many_series(server):
    """A metric with a million series, one point each."""
    now = int(time.time()) * 1000
    for first in range(0, SERIES, 50_000):
        lines = "".join(f'{{"metric":{{"__name__":"many","host":"h{at}"}},"values":[1],"timestamps":[{now}]}}\n'
                        for at in range(first, first + 50_000))
        request = urllib.request.Request(f"http://127.0.0.1:{server.port}/api/v1/import", lines.encode())
        urllib.request.urlopen(request, timeout=600).read()


def cases(server):
    """Name, what is done, status (0 for lines) and a text that the answer must hold."""
    now = int(time.time())
    point = {"metric": "m", "timestamp": now, "value": 1, "tags": {"host": "a"}}
    tags = {f"k{number}": "v" for number in range(10_000)}
    ask = lambda m, **more: server.get("/api/query", start="1h-ago", m=m, **more)
    deep = "absolute(" * 50_000 + "sum:m" + ")" * 50_000
    piece = json.dumps([point] * 1000).encode()[1:-1] + b","
    formula = lambda text: {"time": {"start": "1h-ago", "aggregator": "sum"}, "filters": [],
                            "metrics": [{"id": "a", "metric": "m", "aggregator": "sum"}],
                            "expressions": [{"id": "e", "expr": text}]}
    bomb = gzip.compress(b"[" + b" " * (1 << 30), 1)
    put = lambda **changes: server.post("/api/put?details", {**point, **changes})
    return [
        # Bodies
        ("1 GB of points, length announced", lambda: server.send(
            "POST", "/api/put", parts=repeated(piece, 1 << 30), length=1 << 30), 413, "is larger than"),
        ("1 GB of points, in chunks", lambda: server.send(
            "POST", "/api/put", parts=repeated(piece, 1 << 30)), 413, "is larger than"),
        ("1 GB question", lambda: server.send(
            "POST", "/api/query", parts=repeated(b'{"queries":[' + b" " * 65_000, 1 << 30)), 413, "is larger than"),
        ("1 GB in a megabyte of gzip", lambda: server.post(
            "/api/put", bomb, [("Content-Encoding", "gzip")]), 413, "is larger than"),
        ("a million brackets", lambda: server.post("/api/put", b"[" * 1_000_000), 400, "Unable to parse"),
        ("a million brackets as a question", lambda: server.post(
            "/api/query", b'{"queries":' + b"[" * 100_000), 400, "Unable to parse"),
        ("no body", lambda: server.post("/api/put", b""), 400, "Missing request content"),
        ("no points", lambda: server.post("/api/put", b"[]"), 400, "No datapoints found in content"),
        ("no JSON", lambda: server.post("/api/put", b"put m 1 1 a=b"), 400, "must start as an object or an array"),
        ("half a body", lambda: server.post("/api/put", b'[{"metric":"m"'), 400, "Unable to parse the given JSON"),
        ("a put by GET", lambda: server.get("/api/put"), 405, "not permitted for this endpoint"),
        # Points
        ("10,000 tags", lambda: put(tags=tags), 400, "Too many tags: 10000 maximum allowed: 8"),
        ("10,000 tags in a line", lambda: server.telnet(
            [b"put m 1 1 " + " ".join(f"{k}={v}" for k, v in tags.items()).encode()]), 0, "longer than"),
        ("nine tags in a line", lambda: server.telnet(
            [b"put m 1 1 " + " ".join(f"k{n}=v" for n in range(9)).encode()]), 0, "Too many tags: 9 maximum allowed: 8"),
        ("a name of 20 MB", lambda: put(metric="m" * (20 * MB)), 400, '"failed":1'),
        ("no number", lambda: put(value="1.2.3"), 400, "Unable to parse value to a number"),
        ("infinity", lambda: put(value="1e400"), 400, "Infinity"),
        ("a time in the year 5138", lambda: put(timestamp=99_999_999_999_999), 400, "bad timestamp"),
        ("an illegal name", lambda: put(metric="a b"), 400, "illegal character"),
        # Lines
        ("a line without end", lambda: server.telnet(repeated(b"put " + b"x" * 65_532, 512 * MB)), 0,
         "line is longer than"),
        ("a line of blanks", lambda: server.telnet([b"put" + b" " * 900]), 0, "empty metric name"),
        ("bytes of no text", lambda: server.telnet([b"put m\x07\xff 1 1 a=b"]), 0, "illegal character"),
        ("no such command", lambda: server.telnet([b"drop everything"]), 0, "unknown command: drop.  Try `help'."),
        # Ranges
        ("an end before the start", lambda: server.get("/api/query", start=now, end=now - 1, m="sum:m"), 400,
         "must be greater than or equal to the start time"),
        ("a negative time", lambda: server.get("/api/query", start="-5", m="sum:m"), 400,
         "Negative timestamps are not supported"),
        ("milliseconds over 40 years", lambda: server.get(
            "/api/query", start="1", end=now, m="sum:1ms-avg-nan:m"), 413, "more than our limit"),
        ("days of a calendar over all time", lambda: server.post("/api/query", {
            "start": 1, "end": 9_000_000_000_000_000, "useCalendar": True, "timezone": "Europe/Paris",
            "queries": [{"aggregator": "sum", "metric": "m", "downsample": "1ms-sum"}]}), 413, "more than our limit"),
        # Filters
        ("an expression that backtracks", lambda: ask("sum:m{host=regexp((a+)+$)}"), 200, "[]"),
        ("an expression that explodes", lambda: server.post("/api/query", {"start": "1h-ago", "queries": [{
            "aggregator": "sum", "metric": "m", "filters": [{"type": "regexp", "tagk": "host", "groupBy": True,
                                                               "filter": "((((a{99}){99}){99}){99}){99}"}]}]}), 400, ""),
        ("an expression without end", lambda: ask("sum:m{host=regexp([)}"), 500, "Unclosed character class"),
        ("100,000 literals", lambda: server.post("/api/query", {"start": "1h-ago", "queries": [{
            "aggregator": "sum", "metric": "m", "filters": [{"type": "iliteral_or", "tagk": "host", "groupBy": True,
             "filter": "|".join(f"h{n}" for n in range(100_000))}]}]}), (200, 400, 413), ""),
        ("stars upon stars", lambda: ask("sum:m{host=wildcard(" + "*a" * 1_500 + "*)}"), 200, "[]"),
        ("a metric that nobody wrote", lambda: ask("sum:nope"), 400, "No such name for 'metrics': 'nope'"),
        # Questions
        ("no question", lambda: server.get("/api/query", start="1h-ago"), 400, "Missing sub queries"),
        ("no aggregator", lambda: ask("m"), 400, "not enough :-separated parts"),
        ("an unknown aggregator", lambda: ask("best:m"), 400, "No such aggregation function: best"),
        ("20,000 sub-queries", lambda: server.post("/api/query", {"start": "1h-ago", "queries": [
            {"aggregator": "sum", "metric": "m", "downsample": f"{n + 1}s-avg"} for n in range(20_000)]}),
         (200, 400, 413), ""),
        ("deep calls", lambda: server.get("/api/query/gexp", start="1h-ago", exp=deep), (400, 413, 414, 431, 500), ""),
        ("deep parentheses", lambda: server.post(
            "/api/query/exp", formula("(" * 100_000 + "a" + ")" * 100_000)), (400, 413, 500), ""),
        ("a sum of 100,000", lambda: server.post(
            "/api/query/exp", formula("+".join(["a"] * 100_000))), (200, 400, 413, 500), ""),
        # Many series
        ("all of a million series, one by one", lambda: ask("none:many"), 413, "series"),
        ("the sum of a million series", lambda: ask("sum:1m-avg:many"), 413, "series"),
        ("a million groups", lambda: ask("sum:many{host=*}"), 413, "series"),
        ("one of a million series", lambda: ask("sum:many{host=h77}"), 200, '"dps"'),
        ("a look-up of a million series", lambda: server.get("/api/search/lookup", m="many{host=*}", limit=10), 200,
         '"results"'),
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    target = os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target"))
    parser.add_argument("--tributary", default=os.path.join(target, "release", "tributary"))
    parser.add_argument("--port", type=int, default=22100)
    parser.add_argument("--only", default="", help="cases whose name holds this")
    arguments = parser.parse_args()
    server = Server(arguments.tributary, arguments.port, [f"query.series_max={SERIES_MAX}"])
    wrong = 0
    try:
        assert server.telnet([f"put m {int(time.time())} 1 host=a".encode()]) is not None
        many_series(server)
        for name, act, statuses, text in cases(server):
            if arguments.only not in name:
                continue
            statuses = statuses if isinstance(statuses, tuple) else (statuses,)
            before, started = server.memory(), server.cpu_seconds()
            status, said = act()
            took, grown = server.cpu_seconds() - started, server.memory() - before
            fine = status in statuses and text in said and took < SECONDS_MAX and grown < GROWTH_MAX
            wrong += not fine
            print(f"{'ok   ' if fine else 'WRONG'} {name}: {status}, {took:.2f} s of CPU, {grown / MB:+.0f} MB"
                  + ("" if fine else f"; wanted {statuses} {text!r}, got {said[:300]!r}"), flush=True)
        status, said = server.get("/api/query", start="1h-ago", m="sum:m{host=a}")
        alive = status == 200 and "dps" in said
        print(f"afterwards: {'answers' if alive else 'DOES NOT ANSWER'}, {server.memory() / MB:.0f} MB")
        wrong += not alive
    finally:
        server.stop()
    raise SystemExit(1 if wrong else 0)


if __name__ == "__main__":
    main()
