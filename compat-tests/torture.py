#!/usr/bin/env python3
"""Torture: writers on all protocols while the server is killed, stopped, starved of disk and told wrong times.

A server is started on a directory of its own. Writers send samples and remember which were acknowledged. Round
by round something bad happens: `kill -9`; SIGSTOP for a while; a disk that is full, or files that grow no more
(RLIMIT_FSIZE of the running process); a clock that jumps by seconds or a year, forwards or backwards; an orderly stop.
After every restart, and at the end, each acknowledged sample is asked for and compared. Protocols without an answer
(carbon, telnet put) are compared as well: what is there must be what was sent.

The full disk is a small tmpfs, for which one has to be root; the clock is libfaketime's (Debian's package `faketime`).
What cannot be had is left out, and the first line says so.

    compat-tests/torture.py --binary target/release/tributary --rounds 200
"""
import argparse, glob, http.client, json, os, random, resource, shutil, signal, socket, struct, subprocess
import tempfile, threading, time, urllib.parse

DISK_MIB = 512
FAKETIME = glob.glob("/usr/lib/*/faketime/libfaketimeMT.so.1") + glob.glob("/usr/lib*/faketime/libfaketimeMT.so.1")
# Seconds by which the clock is wrong.
CLOCKS = [0, 0, 3, -3, 90, -90, 7200, -7200, 400 * 86400, -400 * 86400]


def varint(n):
    out = bytearray()
    while n > 127:
        out.append(n & 127 | 128)
        n >>= 7
    out.append(n)
    return bytes(out)


def field(number, payload):
    return varint(number << 3 | 2) + varint(len(payload)) + payload


def remote_write_body(rows):
    """A WriteRequest of (labels, samples), as snappy that copies nothing."""
    raw = bytearray()
    for labels, samples in rows:
        pairs = b"".join(field(1, field(1, n.encode()) + field(2, v.encode())) for n, v in sorted(labels.items()))
        points = b"".join(field(2, b"\x09" + struct.pack("<d", v) + b"\x10" + varint(t)) for t, v in samples)
        raw += field(1, pairs + points)
    out = bytearray(varint(len(raw)))
    for at in range(0, len(raw), 65536):
        piece = raw[at:at + 65536]
        out += b"\xf4" + struct.pack("<H", len(piece) - 1) + piece
    return bytes(out)


class Disk:
    """The directory of the server: a small file system of its own where that can be had."""

    def __init__(self):
        self.home = tempfile.mkdtemp(prefix="torture-")
        self.root = os.path.join(self.home, "disk")
        os.mkdir(self.root)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={DISK_MIB}m", "tributary-torture", self.root]
        self.is_own = os.geteuid() == 0 and subprocess.run(mount, capture_output=True).returncode == 0
        self.filler = os.path.join(self.root, "filler")

    def fill(self, left):
        """Takes all room but `left` bytes."""
        with open(self.filler, "ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(bytes(1 << 20))
            except OSError:
                pass
            filler.truncate(max(0, filler.tell() - left))

    def free(self):
        if os.path.exists(self.filler):
            os.remove(self.filler)

    def remove(self):
        if self.is_own:
            subprocess.run(["umount", "-l", self.root])
        shutil.rmtree(self.home, ignore_errors=True)


class Server:
    def __init__(self, args, disk):
        self.args, self.disk, self.process = args, disk, None
        self.data, self.log = os.path.join(disk.root, "data"), os.path.join(disk.home, "server.log")
        self.clock = os.path.join(disk.home, "clock")
        self.environment = dict(os.environ)
        if FAKETIME:
            # The file is read again before every answer; durations are not touched, as with a real clock that is set.
            self.environment |= {"LD_PRELOAD": FAKETIME[0], "FAKETIME_TIMESTAMP_FILE": self.clock,
                                 "FAKETIME_NO_CACHE": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
            self.set_clock(0)
        self.http, self.carbon, self.telnet = args.port, args.port + 1, args.port + 2

    def start(self):
        settings = {
            "listen.http": f"127.0.0.1:{self.http}", "listen.graphite_tcp": f"127.0.0.1:{self.carbon}",
            "listen.opentsdb": f"127.0.0.1:{self.telnet}", "listen.graphite_udp": "", "listen.graphite_pickle": "",
            "wal.file_bytes": "256KiB", "storage.partition": "20s", "storage.flush_after": "2s", "log.level": "warn",
        }
        command = [self.args.binary, "--data-dir", self.data]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        # A process at its file size limit gets a signal that it would die of; the error is what matters.
        before = lambda: signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        log = open(self.log, "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, preexec_fn=before, env=self.environment)
        end = time.time() + 60
        while time.time() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}; see {self.log}")
            try:
                if self.request("GET", "/-/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise SystemExit("the server does not get ready")

    def request(self, method, path, body=None, headers={}, port=None, timeout=15):
        connection = http.client.HTTPConnection("127.0.0.1", port or self.http, timeout=timeout)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return answer.status, answer.read()
        finally:
            connection.close()

    def limit_files(self, bytes_max):
        _, hard = resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE)
        resource.prlimit(self.process.pid, resource.RLIMIT_FSIZE, (bytes_max, hard))

    def set_clock(self, offset):
        with open(self.clock + ".new", "w") as file:
            file.write(f"{offset:+d}")
        os.replace(self.clock + ".new", self.clock)

    def end(self, how):
        self.process.send_signal(how)
        self.process.wait(60)


class Writer(threading.Thread):
    """Sends batches of one series at a time; `sent` and `acknowledged` are {series: {ms: value}}."""

    def __init__(self, server, kind, stop):
        super().__init__(daemon=True)
        self.server, self.kind, self.stopped = server, kind, stop
        self.sent, self.acknowledged, self.number, self.errors = {}, {}, 0, 0
        self.lock, self.socket = threading.Lock(), None

    def batch(self):
        self.number += 1
        series = f"torture_{self.kind}_{self.number % 17}"
        now = int(time.time() * 1000)
        step = 1 if self.kind in ("remote_write", "import", "put") else 1000
        # Lines of carbon and telnet have whole seconds; a value is never used twice.
        count = random.randint(1, 50) if step == 1 else 1
        first = now - count if step == 1 else now // 1000 * 1000
        return series, [(first + i * step, float(self.number * 100 + i)) for i in range(count)]

    def send(self, series, samples):
        if self.kind == "remote_write":
            body = remote_write_body([({"__name__": series, "job": "torture"}, samples)])
            headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
            return self.server.request("POST", "/api/v1/write", body, headers)[0] // 100 == 2
        if self.kind == "import":
            text = "".join(f'{series}{{job="torture"}} {v} {t}\n' for t, v in samples)
            return self.server.request("POST", "/api/v1/import/prometheus", text)[0] // 100 == 2
        if self.kind == "put":
            points = [{"metric": series, "timestamp": t, "value": v, "tags": {"job": "torture"}} for t, v in samples]
            answer = self.server.request("POST", "/api/put?sync", json.dumps(points), port=self.server.telnet)
            return answer[0] == 204
        lines = "".join(
            f"{series};job=torture {v} {t // 1000}\n" if self.kind == "carbon" else f"put {series} {t // 1000} {v} job=torture\n"
            for t, v in samples)
        if self.socket is None:
            port = self.server.carbon if self.kind == "carbon" else self.server.telnet
            self.socket = socket.create_connection(("127.0.0.1", port), timeout=15)
        self.socket.sendall(lines.encode())
        return False

    def run(self):
        while not self.stopped.is_set():
            series, samples = self.batch()
            with self.lock:
                for t, v in samples:
                    self.sent.setdefault(series, {}).setdefault(t, []).append(v)
            try:
                acknowledged = self.send(series, samples)
            except (OSError, http.client.HTTPException):
                acknowledged, self.socket = False, None
            if acknowledged:
                with self.lock:
                    self.acknowledged.setdefault(series, {}).update(samples)
            else:
                self.errors += 1
                time.sleep(0.01 if self.kind in ("carbon", "telnet") else 0.05)


def stored(server, series, since):
    # The window of each question begins before the first write, however long the comparison takes.
    end = time.time() + 5
    seconds = int(end - since) + 120
    query = urllib.parse.urlencode({"query": f'{{__name__="{series}"}}[{seconds}s]', "time": end})
    status, body = server.request("GET", "/api/v1/query?" + query, timeout=60)
    if status != 200:
        raise SystemExit(f"query of {series}: {status} {body[:200]}")
    return {round(float(t) * 1000): float(v) for row in json.loads(body)["data"]["result"] for t, v in row["values"]}


def check(server, writers, since):
    """Compares everything; exits when a sample is lost or wrong."""
    compared = 0
    for writer in writers:
        with writer.lock:
            acknowledged = {series: dict(points) for series, points in writer.acknowledged.items()}
            names = list(writer.sent)
        for series in names:
            found = stored(server, series, since)
            for at, value in found.items():
                if value not in writer.sent[series].get(at, []):
                    raise SystemExit(f"WRONG: {series} at {at}: {value}, sent was {writer.sent[series].get(at)}")
            for at, value in acknowledged.get(series, {}).items():
                later = writer.sent[series][at]
                # Sent again at the same instant: what was sent later may have won.
                if at not in found or found[at] not in later[later.index(value):]:
                    raise SystemExit(f"LOST: {series} at {at}: {value} was acknowledged, found {found.get(at)}")
                compared += 1
    return compared


def kinds(disk):
    """What may happen, the more often the more it is named."""
    known = ["kill", "kill", "kill", "stop", "no growth", "no growth then kill", "orderly"]
    known += ["full", "full then kill"] if disk.is_own else []
    return known + (["clock", "clock then kill"] if FAKETIME else [])


def disaster(server, disk):
    kind = random.choice(kinds(disk))
    if kind == "stop":
        server.process.send_signal(signal.SIGSTOP)
        time.sleep(random.uniform(0.2, 2))
        server.process.send_signal(signal.SIGCONT)
    elif kind.startswith("no growth"):
        server.limit_files(random.choice([0, 4096, 60_000]))
        time.sleep(random.uniform(0.5, 2))
    elif kind.startswith("full"):
        disk.fill(random.choice([0, 4096, 60_000]))
        time.sleep(random.uniform(0.5, 2))
    elif kind.startswith("clock"):
        server.set_clock(random.choice(CLOCKS))
        time.sleep(random.uniform(0.5, 2))
    if kind in ("stop", "no growth", "full", "clock"):
        server.limit_files(resource.RLIM_INFINITY)
        disk.free()
        return kind
    server.end(signal.SIGTERM if kind == "orderly" else signal.SIGKILL)
    disk.free()
    server.start()
    return kind


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--port", type=int, default=25100)
    parser.add_argument("--keep", action="store_true", help="leave the store of a failed run where it is")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    # An exception, so that the server ends with this script.
    signal.signal(signal.SIGTERM, lambda *_: exit("ended from outside"))
    random.seed(args.seed)
    disk = Disk()
    left_out = [] if disk.is_own else ["the full disk (not root, or no mount)"]
    left_out += [] if FAKETIME else ["clock steps (no libfaketime)"]
    print(f"seed {args.seed}; left out: {', '.join(left_out) or 'nothing'}", flush=True)
    succeeded = False
    server, stop, since, counts = Server(args, disk), threading.Event(), time.time(), {}
    writers = [Writer(server, kind, stop) for kind in ("remote_write", "import", "put", "carbon", "telnet")]
    try:
        server.start()
        for writer in writers:
            writer.start()
        for number in range(1, args.rounds + 1):
            time.sleep(random.uniform(0.3, 2))
            what = disaster(server, disk)
            counts[what] = counts.get(what, 0) + 1
            if number % 5 == 0 or number == args.rounds:
                print(f"round {number} ({what}): {check(server, writers, since)} acknowledged samples are there", flush=True)
        stop.set()
        for writer in writers:
            writer.join(30)
        server.end(signal.SIGKILL)
        server.start()
        count = check(server, writers, since)
        for writer in writers:
            sent = sum(len(points) for points in writer.sent.values())
            print(f"{writer.kind}: {sent} instants sent, {writer.errors} requests without an acknowledgement")
        server.end(signal.SIGTERM)
        verified = subprocess.run([args.binary, "verify", "--data-dir", server.data], capture_output=True, text=True)
        print(verified.stdout.strip())
        if verified.returncode != 0:
            raise SystemExit("verify found damage")
        print("rounds:", ", ".join(f"{what} {times}" for what, times in sorted(counts.items())))
        print(f"OK: {count} acknowledged samples, 0 lost, 0 changed, {args.rounds} rounds")
        succeeded = True
    finally:
        if server.process and server.process.poll() is None:
            server.process.kill()
            server.process.wait()
        if succeeded or not args.keep:
            disk.remove()
        else:
            print("kept:", disk.home)


if __name__ == "__main__":
    main()
