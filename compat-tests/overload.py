#!/usr/bin/env python3
"""Overload: more new series, bodies and queries than `memory.limit` has room for.

The server's own memory (resident pages that are no file's) is read all the time: it must stay within the limit. What it
cannot take must be refused with 503 and Retry-After, and once the flood is over it must take everything again.

    compat-tests/overload.py --binary target/release/tributary --limit-mib 256 --seconds 60
"""
import argparse, http.client, os, random, shutil, signal, subprocess, tempfile, threading, time, urllib.parse


class Overload:
    def __init__(self, args, data):
        self.args, self.stop = args, threading.Event()
        self.statuses, self.without_hint, self.lock = {}, 0, threading.Lock()
        settings = {
            "listen.http": f"127.0.0.1:{args.port}", "listen.graphite_tcp": "", "listen.graphite_udp": "",
            "listen.graphite_pickle": "", "listen.opentsdb": "", "memory.limit": f"{args.limit_mib}MiB", "log.level": "warn",
        }
        command = [args.binary, "--data-dir", data]
        for key, value in settings.items():
            command += ["--set", f"{key}={value}"]
        log = open(data + ".log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log)

    def request(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.args.port, timeout=300)
        try:
            connection.request(method, path, body)
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
            self.without_hint += status == 503 and hint is None

    def write(self):
        number = random.getrandbits(48)
        while not self.stop.is_set():
            lines, now = [], int(time.time() * 1000)
            for _ in range(5000):
                number += 1
                lines.append(f'overload_{number % 50}{{host="host-{number}",zone="z{number % 7}",job="flood"}} {number} {now}')
            self.count("write", self.request("POST", "/api/v1/import/prometheus", "\n".join(lines) + "\n"))

    def query(self):
        while not self.stop.is_set():
            text = random.choice(['{__name__=~"overload_.+"}', 'sort(overload_1 + on(host) overload_1)', 'count by (host) ({job="flood"})'])
            now = time.time()
            query = urllib.parse.urlencode({"query": text, "start": now - 600, "end": now, "step": 2})
            self.count("query", self.request("GET", "/api/v1/query_range?" + query))

    def memory(self):
        with open(f"/proc/{self.process.pid}/statm") as file:
            fields = file.read().split()
        return (int(fields[1]) - int(fields[2])) * 4096

    def run(self):
        while self.request("GET", "/-/ready")[0] != 200:
            time.sleep(0.1)
        threads = [threading.Thread(target=self.write, daemon=True) for _ in range(self.args.writers)]
        threads += [threading.Thread(target=self.query, daemon=True) for _ in range(self.args.readers)]
        [thread.start() for thread in threads]
        peak, end = 0, time.time() + self.args.seconds
        while time.time() < end:
            if self.process.poll() is not None:
                raise SystemExit(f"the server ended with {self.process.returncode}")
            peak = max(peak, self.memory())
            time.sleep(0.01)
        self.stop.set()
        [thread.join(300) for thread in threads]
        limit = self.args.limit_mib << 20
        print(f"memory at most {peak >> 20} MiB of {limit >> 20} MiB; {dict(sorted(self.statuses.items()))}", flush=True)
        recovered, began = False, time.time()
        while not recovered and time.time() < began + 60:
            recovered = self.request("POST", "/api/v1/import/prometheus", "after_the_flood 1\n")[0] // 100 == 2
            recovered = recovered and self.request("GET", "/api/v1/query?query=after_the_flood")[0] == 200
            time.sleep(0.2)
        took = time.time() - began
        refused = sum(n for key, n in self.statuses.items() if key.endswith(" 503"))
        checks = {
            "memory stays within the limit": peak <= limit,
            "what cannot be taken is refused": refused > 0,
            "a refusal says when to come back": self.without_hint == 0,
            "nothing answers in another way": not any(key.endswith((" 0", " 500")) for key in self.statuses),
            "the flood over, everything is taken": recovered,
        }
        for what, holds in checks.items():
            print("ok  " if holds else "FAIL", what)
        print(f"recovered after {took:.1f} s")
        if not all(checks.values()):
            raise SystemExit(1)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--binary", required=True)
    parser.add_argument("--limit-mib", type=int, default=256)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--writers", type=int, default=6)
    parser.add_argument("--readers", type=int, default=6)
    parser.add_argument("--port", type=int, default=25300)
    args = parser.parse_args()
    # An exception, so that the server ends with this script.
    signal.signal(signal.SIGTERM, lambda *_: exit("ended from outside"))
    home = tempfile.mkdtemp(prefix="overload-")
    overload = Overload(args, os.path.join(home, "data"))
    try:
        overload.run()
    finally:
        overload.process.send_signal(signal.SIGKILL)
        overload.process.wait()
        shutil.rmtree(home, ignore_errors=True)


if __name__ == "__main__":
    main()
