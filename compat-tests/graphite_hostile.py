"""Hostile input on a running server's Graphite side: everything is refused, and nobody else notices.

    graphite_hostile.py --http http://127.0.0.1:9009 --carbon 127.0.0.1:2003 --pickle 127.0.0.1:2004 --pid 1234 [--series 1000000]

A neighbour writes a sample and reads it back all the while. Every attack must be answered with an error (or skipped,
where the protocol has no answer) within its time, and the server's memory may grow by no more than its bound. With
--series that many series are sent first, and a request for all of them is one of the attacks: give the server
`query.memory_bytes_max = "256MiB"` for it, and `graphite.pickle_bytes_max = "16MiB"`. Exit status 1 where anything is otherwise.
"""

import argparse
import pickle
import socket
import struct
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

FAILED = []


class Server:
    def __init__(self, options):
        self.options = options

    def get(self, path, parameters, post=False):
        body = urllib.parse.urlencode(parameters)
        url = self.options.http + path
        request = urllib.request.Request(url, body.encode()) if post else url + "?" + body
        try:
            with urllib.request.urlopen(request, timeout=120) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()

    def connect(self, address):
        host, port = address.rsplit(":", 1)
        return socket.create_connection((host, int(port)), timeout=60)

    def memory(self):
        with open("/proc/%d/status" % self.options.pid) as lines:
            fields = dict(line.split(":", 1) for line in lines)
        return int(fields["VmRSS"].split()[0]) // 1024

    def value(self, name, at):
        status, body = self.get("/render", {"target": name, "from": at - 60, "until": at + 60, "format": "raw"})
        return status == 200 and body.decode()


class Neighbour(threading.Thread):
    """Writes and reads, and notes the slowest round and every failure."""

    def __init__(self, server):
        super().__init__(daemon=True)
        self.server, self.rounds, self.slowest, self.failures, self.stop = server, 0, 0.0, [], False

    def run(self):
        with self.server.connect(self.server.options.carbon) as sock:
            while not self.stop:
                started, at = time.time(), int(time.time())
                try:
                    self.rounds += 1
                    sock.sendall(b"neighbour.a %d %d\n" % (self.rounds, at))
                    wanted = "%.1f" % self.rounds
                    while wanted not in (self.server.value("neighbour.a", at) or ""):
                        if time.time() - started > 20:
                            raise RuntimeError("sample %d cannot be read" % self.rounds)
                        time.sleep(0.01)
                except Exception as error:  # noqa: BLE001: anything at all is a failure
                    self.failures.append(repr(error))
                self.slowest = max(self.slowest, time.time() - started)
                time.sleep(0.1)


def attack(server, what, act, seconds=20, megabytes=200):
    """`act` returns a text: empty where all went well."""
    before, peak, done = server.memory(), [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], server.memory())

    watcher = threading.Thread(target=watch)
    watcher.start()
    started = time.time()
    try:
        wrong = act()
    except Exception as error:  # noqa: BLE001
        wrong = repr(error)
    spent = time.time() - started
    done.set()
    watcher.join()
    grown = max(peak[0], server.memory()) - before
    if spent > seconds:
        wrong = wrong or "took %.1f s" % spent
    if grown > megabytes:
        wrong = wrong or "memory grew by %d MB" % grown
    print("%-44s %6.2f s  %+5d MB  %s" % (what, spent, grown, wrong or "ok"), flush=True)
    if wrong:
        FAILED.append(what)


def refused(answer):
    status, body = answer
    text = body.decode(errors="replace")
    if not 400 <= status < 600 or status == 500:
        return "status %d: %s" % (status, text[:120])
    if not text or len(text) > 2000 or text.startswith("<"):
        return "no clear message: %s" % text[:120]
    return ""


def frames(server, bodies, closes=False):
    """Sends frames of which none is stored, then a good one on the same connection."""
    with server.connect(server.options.pickle) as sock:
        try:
            for body in bodies:
                sock.sendall(struct.pack("!L", len(body)) + body)
        except OSError as error:
            return "" if closes else repr(error)
        at = int(time.time())
        good = pickle.dumps([("after.attack", (at, 7.5))], 2)
        sock.sendall(struct.pack("!L", len(good)) + good)
        for _ in range(1000):
            if "7.5" in (server.value("after.attack", at) or ""):
                return ""
            time.sleep(0.02)
    return "the frame behind it is not stored"


def length_prefix(server):
    with server.connect(server.options.pickle) as sock:
        sock.sendall(b"\xff\xff\xff\xff" + b"x" * 1000)
        return "" if sock.recv(1) == b"" else "the connection stays open"


def endless_line(server):
    with server.connect(server.options.carbon) as sock:
        for _ in range(300):
            sock.sendall(b"a" * (1 << 20))
        at = int(time.time())
        sock.sendall(b"\nafter.line 8.5 %d\n" % at)
        for _ in range(1000):
            if "8.5" in (server.value("after.line", at) or ""):
                return ""
            time.sleep(0.02)
    return "the line behind it is not stored"


def slow_senders(server):
    socks = [server.connect(server.options.pickle) for _ in range(200)]
    for sock in socks:
        sock.sendall(struct.pack("!L", 16 << 20) + b"]" * 1000)
    time.sleep(1)
    for sock in socks:
        sock.close()
    return ""


def pickles(server):
    billion = b"]q\x00" + b"".join(b"(h%ch%cl0(h%ch%clq%c" % (i, i, i, i, i + 1) for i in range(100)) + b"."
    attack(server, "pickle: a program", lambda: frames(server, [b"cposix\nsystem\n(S'true'\ntR.", b"\x80\x04\x8c\x05posix\x8c\x06system\x93."]))
    attack(server, "pickle: a billion laughs", lambda: frames(server, [billion] * 20))
    attack(server, "pickle: lists in 16 MiB", lambda: frames(server, [b"]0" * ((8 << 20) - 4) + b"N."]), megabytes=300)
    attack(server, "pickle: marks in 16 MiB", lambda: frames(server, [b"(" * (16 << 20)]), megabytes=300)
    attack(server, "pickle: nesting in 16 MiB", lambda: frames(server, [b"]" * ((8 << 20) - 4) + b"a" * ((8 << 20) - 5) + b"."]), megabytes=300)
    attack(server, "pickle: a memo of 2^31", lambda: frames(server, [b"]r\xff\xff\xff\x7f."] * 1000))
    attack(server, "pickle: one long path, a million times", lambda: frames(server, [
        b"](X\x00\x40\x00\x00" + b"a" * 0x4000 + b"K\x01K\x01\x86\x86q\x00" + b"h\x00" * 1000000 + b"e."]), megabytes=300)
    attack(server, "pickle: a length of 4 GiB", lambda: length_prefix(server))
    attack(server, "pickle: 200 senders of half a frame", lambda: slow_senders(server))
    attack(server, "plaintext: a line of 300 MB", lambda: endless_line(server))


def globs(server):
    find = lambda query: lambda: refused(server.get("/metrics/find", {"query": query}, post=True))
    render = lambda query: lambda: refused(server.get("/render", {"target": query, "format": "json"}, post=True))

    def answered(query):
        status, body = server.get("/metrics/find", {"query": query}, post=True)
        return "" if status == 200 or not refused((status, body)) else "status %d %s" % (status, body[:100])

    attack(server, "find: a thousand braces", lambda: answered("x" + "{a,b}" * 1000))
    attack(server, "find: a thousand braces and a star", lambda: answered("x" + "{a,b*}" * 1000))
    attack(server, "find: a thousand stars", lambda: answered("*a" * 1000))
    attack(server, "find: a thousand levels", lambda: answered(".".join("*" * 1000)))
    attack(server, "find: braces nested 10,000 deep", find("{" * 10000 + "a" + "}" * 10000))
    attack(server, "find: 200,000 open braces", lambda: answered("{" * 200000))
    attack(server, "find: 200,000 open brackets", lambda: answered("[" * 200000))
    attack(server, "find: a glob of 10 MB", find("a*" * 5000000))
    attack(server, "find: a hundred thousand names", lambda: answered("{" + ",".join("n%d" % i for i in range(30000)) + "}"))
    attack(server, "render: a thousand braces", lambda: refused(server.get("/render", {"target": "x" + "{a,b*}" * 20000, "format": "json"}, post=True)) and "")
    attack(server, "render: nested 10,000 deep", render("sumSeries(" * 10000 + "a" + ")" * 10000))
    attack(server, "render: piped 10,000 times", render("a" + "|scale(1)" * 10000))
    attack(server, "render: a target of 10 MB", render("group(" + ",".join("a%d" % i for i in range(1000000)) + ")"))


def windows(server):
    render = lambda target, **more: lambda: refused(server.get("/render", dict({"target": target, "format": "json"}, **more), post=True))
    attack(server, "render: movingAverage(x,10**9)", render("movingAverage(neighbour.a,1000000000)"))
    attack(server, "render: movingAverage(x,'1000y')", render("movingAverage(neighbour.a,'1000y')"))
    attack(server, "render: time('x',1) over 50 years", render("time('x',1)", **{"from": "-50y"}))
    attack(server, "render: randomWalk in seconds, 50 years", render("randomWalk('x',1)", **{"from": "-50y"}))
    attack(server, "render: summarize by -5min", render("summarize(neighbour.a,'-5min')"))
    attack(server, "render: timeStack of 10**9", render("timeStack(neighbour.a,'1d',0,1000000000)"))
    attack(server, "render: a window of 10**18 s", render("neighbour.a", **{"from": "1", "until": "999999999999999999"}))
    attack(server, "render: a picture of 100000 x 100000", render("neighbour.a", format="png", width="100000", height="100000"))
    attack(server, "render: look-ups without end", render("applyByNode(neighbour.*,0,\"" + "applyByNode(%.*,0,'" * 12 + "%.a"))
    attack(server, "tags: a regular expression of 1 GB states", lambda: refused(server.get("/tags/findSeries", {"expr": "name=~(((a{1000}){1000}){1000})"})))
    attack(server, "render: 2,000 targets", lambda: "" if server.get(
        "/render", [("target", "scale(neighbour.a,%d)" % i) for i in range(2000)] + [("format", "json"), ("from", "-5min")], post=True)[0] in (200, 400, 413, 422) else "status")


def everything(server, count):
    with server.connect(server.options.carbon) as sock:
        at = int(time.time())
        for first in range(0, count, 1000):
            sock.sendall("".join("mass.h%d.m%d 1 %d\n" % (i // 100, i % 100, at) for i in range(first, first + 1000)).encode())
    while b"mass.h%d" % ((count - 1) // 100) not in server.get("/metrics/find", {"query": "mass.h%d" % ((count - 1) // 100)})[1]:
        time.sleep(0.5)
    time.sleep(5)
    ask = lambda target: lambda: refused(server.get("/render", {"target": target, "from": "-1h", "format": "json"}))
    attack(server, "render: %d series" % count, ask("mass.*.*"), megabytes=600, seconds=60)
    attack(server, "render: %d series, moved" % count, ask("movingAverage(mass.*.*,5)"), megabytes=600, seconds=60)
    attack(server, "render: %d series, sorted" % count, ask("sortByName(mass.*.*)"), megabytes=600, seconds=60)
    attack(server, "find: %d nodes" % count, lambda: refused(server.get("/metrics/find", {"query": "mass.*.*"})), megabytes=600, seconds=60)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--http", default="http://127.0.0.1:9009")
    parser.add_argument("--carbon", default="127.0.0.1:2003")
    parser.add_argument("--pickle", default="127.0.0.1:2004")
    parser.add_argument("--pid", type=int, required=True)
    parser.add_argument("--series", type=int, default=0)
    server = Server(parser.parse_args())
    neighbour = Neighbour(server)
    neighbour.start()
    time.sleep(2)
    start = server.memory()
    pickles(server)
    globs(server)
    windows(server)
    if server.options.series:
        everything(server, server.options.series)
    neighbour.stop = True
    neighbour.join(30)
    print("memory %d MB at the start, %d MB at the end" % (start, server.memory()))
    print("the neighbour: %d rounds, the slowest %.2f s, %d failed %s" % (neighbour.rounds, neighbour.slowest, len(neighbour.failures), neighbour.failures[:3]))
    print("%d attacks not as they should be: %s" % (len(FAILED), FAILED))
    return 1 if FAILED or neighbour.failures else 0


if __name__ == "__main__":
    sys.exit(main())
