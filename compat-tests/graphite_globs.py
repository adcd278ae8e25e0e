"""Globs on a large tree of Graphite paths: how long they take, and how much memory the server has then.

    graphite_globs.py --load --carbon 127.0.0.1:2003 --http http://127.0.0.1:9009 --pid 1234 --names 1000000
    graphite_globs.py --carbon 127.0.0.1:2103 --http http://127.0.0.1:8428 --pid 1235      (a peer: VictoriaMetrics)
    graphite_globs.py --graphite-web /var/tmp/tree --names 1000000         (graphite-web in this process, over files)

The names are a<0..9>.r<0..99>.h<0..99>.m<0..>: ten regions, a hundred racks each, a hundred hosts each. Every
question is asked fifty times; the table shows the first, the best and the median answer in milliseconds, and the
server's own milliseconds of CPU an answer, which a busy machine does not blur.
"""

import argparse
import os
import socket
import statistics
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

BRANCH = 10 * 100 * 100
REPEAT = 50
FIND = [("find, a branch", "a3.*"), ("find, the root", "*"), ("find, a level below", "a3.r7.*"), ("find, a star in the middle", "a3.*.h5.m1"),
        ("find, names in braces", "a3.r{1,2,30,99}.h{5,6}.m1"), ("find, a class", "a[2-4].r7.h5*.m1"), ("find, nothing", "a3.nosuch.*")]
THOUSAND = "a3.r7.h*.m[0-9]"


def names(count):
    for metric in range(max(1, count // BRANCH)):
        for region in range(10):
            for rack in range(100):
                yield ["a%d.r%d.h%d.m%d" % (region, rack, host, metric) for host in range(100)]


def load(address, count):
    host, port = address.rsplit(":", 1)
    now = int(time.time()) // 60 * 60
    started = time.time()
    with socket.create_connection((host, int(port))) as sock:
        for group in names(count):
            sock.sendall("".join("%s 1 %d\n" % (name, now) for name in group).encode())
    return time.time() - started


def get(base, path, parameters):
    url = base + path + "?" + urllib.parse.urlencode(parameters)
    with urllib.request.urlopen(url, timeout=300) as answer:
        return answer.read()


def status(pid, key):
    with open("/proc/%d/status" % pid) as lines:
        for line in lines:
            if line.startswith(key):
                return int(line.split()[1]) // 1024
    return 0


def cpu(pid):
    with open("/proc/%d/stat" % pid) as text:
        fields = text.read().rsplit(") ", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / 100


def rest(pid):
    """Waits until a server has taken in what it was sent."""
    before = cpu(pid)
    for _ in range(300):
        time.sleep(1)
        after = cpu(pid)
        if after - before < 0.05:
            return
        before = after


def timed(ask, pid):
    times, before = [], cpu(pid)
    for _ in range(REPEAT):
        started = time.perf_counter()
        answer = ask()
        times.append((time.perf_counter() - started) * 1000)
    return len(answer), times, (cpu(pid) - before) * 1000 / REPEAT


def line(what, ask, pid):
    try:
        size, times, spent = timed(ask, pid)
    except (urllib.error.HTTPError, RuntimeError) as error:
        text = error.read().decode()[:100] if hasattr(error, "read") else str(error)[:100]
        print("%-34s refused: %s" % (what, text))
        return
    print("%-34s %9.2f %9.2f %9.2f %9.2f   %8d bytes" % (what, times[0], min(times), statistics.median(times), spent, size), flush=True)


def questions(ask, pid):
    print("%-34s %9s %9s %9s %9s" % ("", "first", "best", "median", "CPU"))
    for what, query in FIND:
        line(what, lambda: ask("/metrics/find", {"query": query}), pid)
    line("expand, 1,000 hits", lambda: ask("/metrics/expand", {"query": THOUSAND, "leavesOnly": 1}), pid)
    line("render, 1,000 hits counted", lambda: ask("/render", {"target": "countSeries(%s)" % THOUSAND, "from": "-5min", "format": "json"}), pid)
    line("render, 1,000 hits", lambda: ask("/render", {"target": THOUSAND, "from": "-5min", "format": "json"}), pid)


def graphite_web(directory, count):
    """An ask() over files of graphite-web, which looks at their names alone until it reads the samples."""
    import graphite_fuzz

    os.environ["GRAPHITE_STORAGE_DIR"] = directory
    peer = graphite_fuzz.Peer(directory)
    from django.conf import settings
    from django.test import Client

    settings.ALLOWED_HOSTS = ["*"]
    # Finding names asks who is asking.
    from django.core.management import call_command

    call_command("migrate", run_syncdb=True, verbosity=0)
    started = time.time()
    for group in names(count) if not os.path.isdir(peer.directory) else []:
        for name in group:
            path = os.path.join(peer.directory, *name.split(".")) + ".wsp"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            if name.startswith("a3.r7."):
                peer.whisper.create(path, [(60, 60)], xFilesFactor=0)
                peer.whisper.update_many(path, [(int(time.time()), 1)])
            else:
                open(path, "w").close()
    print("made in %.0f s" % (time.time() - started))
    client = Client(raise_request_exception=False)

    def ask(path, parameters):
        answer = client.get(path + "/", dict(parameters, noCache=1))
        if answer.status_code != 200:
            raise RuntimeError("%d" % answer.status_code)
        return answer.content

    return ask


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--http", default="http://127.0.0.1:9009")
    parser.add_argument("--carbon", default="127.0.0.1:2003")
    parser.add_argument("--names", type=int, default=1_000_000)
    parser.add_argument("--pid", type=int, default=os.getpid())
    parser.add_argument("--load", action="store_true", help="send the names first")
    parser.add_argument("--graphite-web", metavar="DIRECTORY")
    options = parser.parse_args()
    if options.graphite_web:
        questions(graphite_web(options.graphite_web, options.names), os.getpid())
        return 0
    if options.load:
        before = cpu(options.pid)
        print("sent in %.1f s" % load(options.carbon, options.names))
        rest(options.pid)
        print("CPU %.2f us a name" % ((cpu(options.pid) - before) * 1e6 / options.names))
    print("memory %d MB" % status(options.pid, "VmRSS"))
    questions(lambda path, parameters: get(options.http, path, parameters), options.pid)
    print("memory %d MB, at its peak %d MB" % (status(options.pid, "VmRSS"), status(options.pid, "VmHWM")))
    return 0


if __name__ == "__main__":
    sys.exit(main())
