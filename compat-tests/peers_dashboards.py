"""Queries as dashboards ask them: over fresh data, over blocks on disk with a cold cache, beside ingest."""

import math
import shutil
import subprocess
import threading
import time

from peers import load, measure, promql, row, shown, to_blocks

EIGHT = 'hostname=~"host_(1|2|3|4|5|6|7|8)"'

# Over an hour at steps of 60 s of hosts with a hundred metrics each; instant where it says so.
MIX = [
    ("one host: max", 'max_over_time(cpu_usage_1{hostname="host_7"}[1m])'),
    ("one host: avg of 5 metrics", 'avg({__name__=~"cpu_usage_[0-4]", hostname="host_7"})'),
    ("one host: rate", 'rate(net_1{hostname="host_7"}[5m])'),
    ("8 hosts: max", f"max by (hostname) (max_over_time(cpu_usage_1{{{EIGHT}}}[1m]))"),
    ("8 hosts: avg", f"avg by (hostname) (cpu_load_3{{{EIGHT}}})"),
    ("8 hosts: rate", f"sum by (hostname) (rate(net_1{{{EIGHT}}}[5m]))"),
    ("all hosts: sum of rates", "sum(rate(net_1[5m]))"),
    ("all hosts: rates by datacenter", "sum by (datacenter) (rate(diskio_2[5m]))"),
    ("all hosts: avg by region", "avg by (region) (cpu_usage_2)"),
    ("all hosts: max", "max(max_over_time(cpu_load_2[5m]))"),
    ("all hosts: quantile", "quantile(0.9, cpu_load_1)"),
    ("all hosts: topk of rates", "topk(5, rate(net_1[5m]))"),
    ("all hosts: topk", "topk(5, cpu_usage_3)"),
    ("join", "disk_1 / on (hostname) disk_2"),
    ("join of sums", "sum by (region) (rate(net_1[5m])) / sum by (region) (rate(net_2[5m]))"),
    ("regex of hosts", 'sum(rate(net_3{hostname=~"host_.*7"}[5m]))'),
    ("regex of metrics", 'avg by (__name__) ({__name__=~"mem_.*"})'),
    ("last point of all hosts (instant)", "last_over_time(cpu_usage_1[5m])"),
    ("last points of one host (instant)", '{hostname="host_7"}'),
]


def requests_of(start):
    """The mix over the hour from `start` on, as paths and bodies."""
    end = start + 3600
    for name, query in MIX:
        span = {"time": end} if "(instant)" in name else {"start": start, "end": end, "step": 60}
        yield promql(query, **span)


def geometric_mean(figures):
    return math.exp(sum(map(math.log, figures)) / len(figures))


def print_mix(found, table, what):
    """One line a query, and the means with what they are of the second server's."""
    for (name, _), cells in zip(MIX, table):
        row(f"{what}{name}", [shown(figures) for figures in cells])
    means = [[geometric_mean([max(cells[at][kind], 0.01) for cells in table]) for kind in (0, 1)]
             for at in range(len(found))]
    row(f"{what}geometric mean", [shown(mean) for mean in means])
    for (latency, cpu), server in list(zip(means, found))[1:]:
        row(f"{what}of {server.name}", [f"{means[0][0] / latency:.2f} ({means[0][1] / cpu:.2f} CPU)"])


def queries(tributary, found, arguments):
    start = int(time.time()) - 3600
    table = [[] for _ in MIX]
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, 240, 15, start)
        server.settle()
        for cells, request in zip(table, requests_of(start)):
            measure(server, *request, 2)
            cells.append(measure(server, *request, 20))
        server.stop()
    print_mix(found, table, "")


def cold(tributary, found, arguments):
    """The mix over blocks: before each query the server is started anew and the page cache emptied (root)."""
    start = (int(time.time()) - 6 * 3600) // 7200 * 7200
    table = [[] for _ in MIX]
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, 240, 15, start)
        to_blocks(server)
        for cells, request in zip(table, requests_of(start)):
            rounds = []
            for _ in range(3):
                subprocess.run(["sync"], check=True)
                open("/proc/sys/vm/drop_caches", "w").write("3\n")
                server.start(server.directory)
                time.sleep(1)
                rounds.append(measure(server, *request, 1))
                server.stop(keep=True)
            cells.append(sorted(rounds)[1])
        shutil.rmtree(server.directory, ignore_errors=True)
    print_mix(found, table, "cold: ")


class Clients:
    """Asks the mix at so many queries a second until it is told to stop."""

    def __init__(self, server, start, rate):
        self.server, self.period = server, 1 / rate
        self.requests, self.latencies = list(requests_of(start)), []
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        due = time.perf_counter()
        while not self.over.wait(max(0, due - time.perf_counter())):
            request = self.requests[len(self.latencies) % len(self.requests)]
            self.latencies.append(measure(self.server, *request, 1)[0])
            # One that comes late is not made up for by a crowd.
            due = max(due + self.period, time.perf_counter() - self.period)

    def stop(self):
        """Mean latency in ms of the mix, and queries a second."""
        self.over.set()
        self.thread.join()
        return sum(self.latencies) / len(self.latencies), len(self.latencies)


def together(tributary, found, arguments):
    """Known series as fast as they are taken, 20 queries a second, then both at once; wall time and CPU."""
    start = int(time.time()) - 7200
    for server in found:
        server.start()
        load(tributary, server, "remote-write", arguments.series, 240, 15, start)
        server.settle()

        def write(first):
            target = [tributary, "bench", "ingest", "--target", server.write, "--series", str(arguments.series)]
            before, began = server.cpu_seconds(), time.perf_counter()
            subprocess.run(target + ["--steps", "60", "--interval", "15", "--start", str(first)], check=True,
                           stdout=subprocess.DEVNULL)
            seconds, cpu = time.perf_counter() - began, server.cpu_seconds() - before
            return arguments.series * 60 / seconds, cpu, seconds

        alone = write(start + 3600)
        server.settle()
        clients, before = Clients(server, start, 20), server.cpu_seconds()
        time.sleep(alone[2])
        latency, count = clients.stop()
        query_cpu = (server.cpu_seconds() - before) / count
        clients = Clients(server, start, 20)
        both = write(start + 4500)
        latency_both, count_both = clients.stop()
        row(f"{server.name}: samples/s alone, with queries", [f"{alone[0]:.0f}", f"{both[0]:.0f}"])
        row("  of the speed alone", ["", f"{both[0] / alone[0]:.2f}"])
        row("  queries a second, mean latency", [f"{count / alone[2]:.1f}, {latency:.1f} ms",
                                                 f"{count_both / both[2]:.1f}, {latency_both:.1f} ms"])
        cpu_both = both[1] - count_both * query_cpu
        row("  CPU a sample, queries taken off", [f"{alone[1] * 1e6 / arguments.series / 60:.3f} µs",
                                                  f"{cpu_both * 1e6 / arguments.series / 60:.3f} µs"])
        server.stop()
