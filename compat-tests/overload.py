#!/usr/bin/env python3
"""Overload: more new series, bodies, queries and slow readers than `memory.limit` has room for.

All protocols write new series and ask for all of them, and some clients take their answers drop by drop. The server's
own memory (resident pages that are no file's) is read all the time: it must stay within the limit. What it cannot take
must be refused with 503 and Retry-After, and once the flood is over it must take everything again, however many floods
the process has seen. Then one client asks more than its share of the queue holds, of which the rest is refused with 429,
while another one asks now and then.

    compat-tests/overload.py --binary target/release/tributary --limit-mib 256 --seconds 60 --floods 3
"""
import argparse, http.client, json, os, random, shutil, signal, socket, subprocess, tempfile, threading, time
import urllib.parse

from torture import remote_write_body


# Queries that one client has under way at once.
GREEDY = 100


class Overload:
    def __init__(self, args, data, limit):
        self.args, self.stop = args, threading.Event()
        self.statuses, self.without_hint, self.lock = {}, 0, threading.Lock()
        settings = {
            "listen.http": f"127.0.0.1:{args.port}", "listen.graphite_tcp": f"127.0.0.1:{args.port + 1}",
            "listen.graphite_udp": "", "listen.graphite_pickle": "", "listen.opentsdb": "", "memory.limit": limit, "log.level": "warn",
            "query.client_waiting_max": str(GREEDY // 2),
        }
        command = [args.binary, "--data-dir", data]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        log = open(data + ".log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def request(self, method, path, body=None, headers={}):
        connection = http.client.HTTPConnection("127.0.0.1", self.args.port, timeout=300)
        try:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            answer.read()
            return answer.status, answer.getheader("Retry-After")
        except (OSError, http.client.HTTPException):
            return 0, None
        finally:
            connection.close()

    def count(self, what, answer):
        status, hint = answer
        with self.lock:
            key = f"{what} {status}"
            self.statuses[key] = self.statuses.get(key, 0) + 1
            self.without_hint += status in (429, 503) and hint is None

    def rows(self, count):
        """New series: name, labels, value."""
        first = random.getrandbits(48)
        for number in range(first, first + count):
            labels = {"host": f"host-{number}", "zone": f"z{number % 7}", "job": "flood"}
            yield f"overload_{number % 50}", labels, number

    def write(self, kind):
        while not self.stop.is_set():
            now = int(time.time() * 1000)
            if kind == "import":
                answer = self.import_rows(5000)
            elif kind == "remote_write":
                rows = [({"__name__": name, **labels}, [(now, float(value))]) for name, labels, value in self.rows(5000)]
                headers = {"Content-Encoding": "snappy", "Content-Type": "application/x-protobuf"}
                answer = self.request("POST", "/api/v1/write", remote_write_body(rows), headers)
            else:
                points = [{"metric": name, "timestamp": now, "value": value, "tags": labels}
                          for name, labels, value in self.rows(2000)]
                answer = self.request("POST", "/api/put", json.dumps(points))
            self.count(kind, answer)

    def carbon(self):
        """Lines as fast as they are taken; the server lets the sender wait."""
        while not self.stop.is_set():
            with socket.create_connection(("127.0.0.1", self.args.port + 1)) as connection:
                connection.settimeout(1)
                while not self.stop.is_set():
                    now = int(time.time())
                    tags = lambda labels: "".join(f";{name}={value}" for name, value in labels.items())
                    lines = "".join(f"{name}{tags(labels)} {value} {now}\n" for name, labels, value in self.rows(1000))
                    try:
                        connection.sendall(lines.encode())
                        self.count("carbon", (200, None))
                    except TimeoutError:
                        # Half a line may have gone, so another connection goes on.
                        break

    def question(self):
        kind, now = random.choice(["promql", "promql", "graphite", "opentsdb"]), time.time()
        if kind == "graphite":
            query = {"target": f"seriesByTag('name=overload_{random.randrange(50)}')", "from": "-10min", "format": "json"}
            return kind, "/render?" + urllib.parse.urlencode(query)
        if kind == "opentsdb":
            return kind, f"/api/query?start=10m-ago&m=sum:overload_{random.randrange(50)}%7Bhost=*%7D"
        text = random.choice(['{__name__=~"overload_.+"}', 'sort(overload_1 + on(host) overload_1)',
                              'count by (host) ({job="flood"})', 'count(overload_1)'])
        query = urllib.parse.urlencode({"query": text, "start": now - 600, "end": now, "step": 2})
        return kind, "/api/v1/query_range?" + query

    def query(self):
        while not self.stop.is_set():
            kind, path = self.question()
            self.count(kind, self.request("GET", path))

    def read_slowly(self):
        """Asks for all and takes a few kilobytes of it at a time."""
        now = time.time()
        query = urllib.parse.urlencode({"query": '{job="flood"}', "start": now - 600, "end": now, "step": 2})
        while not self.stop.is_set():
            with socket.create_connection(("127.0.0.1", self.args.port)) as connection:
                connection.sendall(f"GET /api/v1/query_range?{query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
                while not self.stop.is_set() and connection.recv(8192):
                    time.sleep(0.05)

    def wait_until_ready(self):
        while self.request("GET", "/-/ready")[0] != 200:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}")
            time.sleep(0.1)

    def end(self):
        self.process.kill()
        self.process.wait()

    def import_rows(self, count):
        now, line = int(time.time() * 1000), lambda labels: ",".join(f'{name}="{value}"' for name, value in labels.items())
        text = "".join(f"{name}{{{line(labels)}}} {value} {now}\n" for name, labels, value in self.rows(count))
        return self.request("POST", "/api/v1/import/prometheus", text)

    def ask(self, client, took):
        """One query of a client; notes how long it took."""
        text = 'count by (zone) ({job="flood"})' if client == "greedy" else "overload_1"
        query = urllib.parse.urlencode({"query": text})
        began = time.time()
        answer = self.request("GET", "/api/v1/query?" + query, headers={"X-Scope-OrgID": client})
        self.count(client, answer)
        if answer[0] == 200:
            took.append(time.time() - began)
        elif answer[0] == 429:
            time.sleep(0.2)

    def fairness(self):
        """A client asks all at once, another one now and then; what both were answered."""
        self.wait_until_ready()
        [self.import_rows(5000) for _ in range(4)]
        greedy, modest, over = [], [], threading.Event()
        def ask_again():
            while not over.is_set():
                self.ask("greedy", greedy)
        threads = [threading.Thread(target=ask_again, daemon=True) for _ in range(GREEDY)]
        [thread.start() for thread in threads]
        time.sleep(1)
        for _ in range(20):
            self.ask("modest", modest)
            time.sleep(0.1)
        over.set()
        [thread.join(300) for thread in threads]
        slowest = max(greedy, default=0), max(modest, default=0)
        print(f"{dict(sorted(self.statuses.items()))}; slowest {slowest[0]:.2f} s and {slowest[1]:.2f} s")
        report({
            "a client that asks too much at once is told so": self.statuses.get("greedy 429", 0) > 0,
            "another one is always answered": self.statuses.get("modest 200", 0) == 20,
            "and sooner": 0 < slowest[1] < slowest[0],
            "every refusal says when to come back": self.without_hint == 0,
        })

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * 4096

    def flood(self):
        """All at once for a while; the most memory meanwhile."""
        self.stop.clear()
        start = lambda work, *args: threading.Thread(target=work, args=args, daemon=True)
        kinds = ["import", "remote_write", "put"]
        threads = [start(self.write, kinds[number % len(kinds)]) for number in range(self.args.writers)]
        threads += [start(self.query) for _ in range(self.args.readers)]
        threads += [start(self.carbon), start(self.read_slowly), start(self.read_slowly)]
        [thread.start() for thread in threads]
        peak, end = 0, time.time() + self.args.seconds
        while time.time() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}")
            peak = max(peak, self.memory())
            time.sleep(0.01)
        self.stop.set()
        [thread.join(300) for thread in threads]
        return peak

    def recovers(self):
        """True when writes and queries are taken again."""
        took, began = False, time.time()
        while not took and time.time() < began + 20:
            took = self.request("POST", "/api/v1/import/prometheus", "after_the_flood 1\n")[0] // 100 == 2
            took = took and self.request("GET", "/api/v1/query?query=after_the_flood")[0] == 200
            time.sleep(0.2)
        print(f"recovered after {time.time() - began:.1f} s, with {self.memory() >> 20} MiB" if took else "did not recover")
        return took

    def run(self):
        self.wait_until_ready()
        peak, recovered, limit = 0, True, self.args.limit_mib << 20
        for _ in range(self.args.floods):
            peak = max(peak, self.flood())
            print(f"memory at most {peak >> 20} MiB of {limit >> 20} MiB; {dict(sorted(self.statuses.items()))}", flush=True)
            recovered = self.recovers() and recovered
        refused = sum(n for key, n in self.statuses.items() if key.endswith((" 429", " 503")))
        taken = {key.split()[0] for key in self.statuses if key.split()[1] in ("200", "204")}
        report({
            "memory stays within the limit": peak <= limit,
            "what cannot be taken is refused": refused > 0,
            "something of every kind is taken": len(taken) == 7,
            "a refusal says when to come back": self.without_hint == 0,
            "nothing answers in another way": not any(key.endswith((" 0", " 500")) for key in self.statuses),
            "the flood over, everything is taken": recovered,
        })


def report(checks):
    for what, holds in checks.items():
        print("ok  " if holds else "FAIL", what, flush=True)
    if not all(checks.values()):
        raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--limit-mib", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--floods", type=int, default=1)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--readers", type=int, default=6)
    parser.add_argument("--port", type=int, default=25300)
    args = parser.parse_args()
    # An exception, so that the server ends with this script.
    signal.signal(signal.SIGTERM, lambda *_: exit("ended from outside"))
    home = tempfile.mkdtemp(prefix="overload-")
    try:
        for part, limit in [(Overload.run, f"{args.limit_mib}MiB"), (Overload.fairness, "0")]:
            overload = Overload(args, os.path.join(home, part.__name__), limit)
            try:
                part(overload)
            finally:
                overload.end()
    finally:
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
