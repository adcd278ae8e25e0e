"""The servers that are measured beside each other: how they are started, loaded, asked and watched."""

import http.client
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse
import urllib.request

# Seconds without a merge after which all are done.
MERGE_PAUSE_S = 30

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))


class Wire:
    """A connection that stays open and asks in one segment, as Grafana does. It looks for no more in an answer than
    where it ends: `http.client` takes longer over a small one than a server does."""

    def __init__(self, url):
        self.host = urllib.parse.urlsplit(url).netloc
        self.connect()

    def connect(self):
        host, port = self.host.split(":")
        self.socket = socket.create_connection((host, int(port)), timeout=120)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, path, body):
        """The whole answer to a GET, or with a body to a POST, as it came."""
        head = f"{'POST' if body else 'GET'} {path} HTTP/1.1\r\nHost: {self.host}\r\n"
        if body:
            head += f"Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {len(body)}\r\n"
        question = f"{head}\r\n".encode() + (body or b"")
        try:
            return self.exchange(question)
        except ConnectionError:
            # Servers close connections that have been open for some minutes.
            self.connect()
            return self.exchange(question)

    def exchange(self, question):
        self.socket.sendall(question)
        answer, is_whole = bytearray(), None
        while is_whole is None or not is_whole():
            piece = self.socket.recv(1 << 20)
            if not piece:
                raise ConnectionError("the server has hung up")
            answer += piece
            if is_whole is None:
                is_whole = end_of(answer)
        return answer


def end_of(answer):
    """What tells whether all of an answer has come; `None` before its headers have."""
    headers = answer.find(b"\r\n\r\n")
    if headers < 0:
        return None
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", answer[:headers])
    if length is None:
        return lambda: answer.endswith(b"\r\n0\r\n\r\n")
    end = headers + 4 + int(length[1])
    return lambda: len(answer) >= end


class Server:
    """A server under test: how to start it and where it listens."""

    def __init__(self, name, command, http, write, lines=None):
        self.name, self.command, self.http, self.write = name, command, http, write
        self.lines = lines or {}
        self.process = None
        self.directory = None
        self.connection = None
        self.timed = None

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

    def request(self, method, path, body=None):
        """Status and body of an answer, over a connection that stays open."""
        headers = {"Content-Type": "application/x-www-form-urlencoded"} if body else {}
        for attempt in (0, 1):
            try:
                if self.connection is None:
                    self.connection = http.client.HTTPConnection(urllib.parse.urlsplit(self.http).netloc, timeout=120)
                self.connection.request(method, path, body, headers)
                answer = self.connection.getresponse()
                return answer.status, answer.read()
            except (http.client.HTTPException, ConnectionError):
                self.connection.close()
                self.connection = None
                if attempt:
                    raise

    def wire(self):
        """A connection for questions whose answers are timed."""
        if self.timed is None:
            self.timed = Wire(self.http)
        return self.timed

    def settle(self):
        """Makes everything written visible to queries, and waits until the server rests."""
        if self.name == "victoria-metrics":
            self.request("GET", "/internal/force_flush")
        self.rest()

    def stop(self, how=signal.SIGTERM, keep=False):
        if self.timed:
            self.timed.socket.close()
            self.timed = None
        if self.connection:
            self.connection.close()
            self.connection = None
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
    """Bytes of data at rest: write-ahead logs, whose files are reused or dropped later, and caches are left out."""
    total = 0
    for base, _, names in os.walk(directory):
        if {"wal", "chunks_head", "cache"} & set(base.split(os.sep)):
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
    port = lambda offset: f"127.0.0.1:{arguments.port + offset}"
    tributary = arguments.tributary or os.path.join(
        os.environ.get("CARGO_TARGET_DIR", os.path.join(ROOT, "target")), "release", "tributary")
    settings = [f"listen.http={port(0)}", f"listen.graphite_tcp={port(1)}", "listen.graphite_udp=",
                "listen.graphite_pickle=", f"listen.opentsdb={port(2)}", "log.level=warn"]
    command = [tributary, "--data-dir", "{dir}/data"]
    for item in settings + (arguments.set or []):
        command += ["--set", item]
    found.append(Server("tributary", command, f"http://{port(0)}", f"http://{port(0)}/api/v1/write", {
        "carbon": port(1), "carbon-tagged": port(1), "telnet": port(2), "http-put": f"http://{port(2)}/api/put"}))
    victoria = shutil.which(arguments.victoria_metrics)
    if victoria:
        found.append(Server("victoria-metrics", [
            victoria, "-storageDataPath={dir}/data", "-retentionPeriod=100y", f"-httpListenAddr={port(3)}",
            f"-graphiteListenAddr={port(4)}", f"-opentsdbListenAddr={port(5)}",
            f"-opentsdbHTTPListenAddr={port(6)}", "-search.maxUniqueTimeseries=30000000",
            "-search.disableCache=true"],
            f"http://{port(3)}", f"http://{port(3)}/api/v1/write", {
                "carbon": port(4), "carbon-tagged": port(4), "telnet": port(5),
                "http-put": f"http://{port(6)}/api/put"}))
    prometheus = shutil.which(arguments.prometheus)
    if prometheus:
        empty = os.path.join(tempfile.gettempdir(), "bench-prometheus.yml")
        open(empty, "w").write("storage: {tsdb: {out_of_order_time_window: 8d}}\n")
        found.append(Server("prometheus", [
            prometheus, f"--config.file={empty}", "--storage.tsdb.path={dir}/data",
            f"--web.listen-address={port(7)}", "--web.enable-remote-write-receiver"],
            f"http://{port(7)}", f"http://{port(7)}/api/v1/write"))
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


def to_blocks(server):
    """Stops a server once its data are where they stay."""
    server.settle()
    if server.name == "tributary":
        server.stop(keep=True)
        server.command += ["--set", "storage.flush_on_close=true"]
        server.start(server.directory)
        server.stop(keep=True)
        del server.command[-2:]
        # What was flushed in pieces is merged, bit by bit: no merge takes longer than the process has run.
        server.start(server.directory)
        last, since = None, time.time()
        while time.time() < since + MERGE_PAUSE_S:
            merges = re.search(rb"^tributary_compactions_total (\S+)", server.request("GET", "/metrics")[1], re.M)[1]
            if merges != last:
                last, since = merges, time.time()
            time.sleep(1)
        server.rest()
    elif server.name == "victoria-metrics":
        server.request("GET", "/internal/force_merge")
        server.rest()
    server.stop(keep=True)


def promql(query, **params):
    """Path and body of a request for a query."""
    path = "/api/v1/query_range" if "start" in params else "/api/v1/query"
    # `nocache` keeps VictoriaMetrics from answering out of its result cache.
    return path, urllib.parse.urlencode({"query": query, "nocache": "1", **params}).encode()


def measure(server, path, body, repeat):
    """Median latency and mean CPU of a request, both in ms."""
    wire, latencies, before = server.wire(), [], server.cpu_seconds()
    for _ in range(repeat):
        started = time.perf_counter()
        answer = wire.ask(path, body)
        latencies.append((time.perf_counter() - started) * 1000)
        if not answer.startswith(b"HTTP/1.1 200 "):
            raise OSError(answer[:200].decode("latin-1"))
    return sorted(latencies)[len(latencies) // 2], (server.cpu_seconds() - before) * 1000 / repeat


def shown(figures):
    return f"{figures[0]:.1f} ms ({figures[1]:.1f} CPU)"


def ask(server, query, repeat, **params):
    """Latency and CPU of a query as a cell of the table."""
    try:
        return shown(measure(server, *promql(query, **params), repeat))
    except OSError as error:
        return f"{error}"[:30]


def row(name, cells):
    print(f"{name:<58}" + "".join(f"{cell:>28}" for cell in cells), flush=True)
