"""What a sample and a query cost from ten thousand to ten million series, one server, one table."""

import time
import urllib.parse

from peers import load, measure, promql, row

# Series that a load of known series is repeated up to, so that small stores are measured as long as large ones.
SAMPLES_MIN = 8_000_000
# Seconds that the samples of a load lie apart from its first to its last: much older ones would be flushed meanwhile.
SPAN_S = 1200
# Samples of a series that queries are asked of.
STEPS = 4


def per_series(ms, request_ms, series):
    """Milliseconds beyond those of any request as nanoseconds a series of one metric."""
    return (ms - request_ms) * 1e6 / (series / 100)


# Name, unit, path and body at an instant, and what becomes of the CPU milliseconds of one request.
def questions(at):
    one = "host_(1|2|3|4|5|6|7|8)"
    values = "/api/v1/label/{}/values?" + urllib.parse.urlencode({"start": at - 3600, "end": at})
    plain = lambda ms, *_: ms
    return [
        ("a request that asks for no series", "ms", promql("vector(1)", time=at), plain),
        ("single host", "ms", promql('cpu_usage_1{hostname="host_7"}', start=at - 60, end=at, step=15), plain),
        ("8 hosts, sum by", "ms", promql(f'sum by (region) (net_1{{hostname=~"{one}"}})', time=at), plain),
        ("sum by", "ns a series", promql("sum by (region) (cpu_usage_2)", time=at), per_series),
        ("count by a label of one metric", "ns a series", promql("count by (datacenter) (cpu_usage_1)", time=at), per_series),
        ("label values", "ms", (values.format("region"), None), plain),
    ]


def settled_cpu(server, path, body, series):
    """CPU of a request in ms: the middle of several rounds, since maintenance runs beside some of them."""
    repeat = 5 if series > 1_000_000 else 20
    return sorted(measure(server, path, body, repeat)[1] for _ in range(7))[3]


def writes(tributary, server, series, protocol):
    """CPU a sample of new series, then of known ones; of few series the middle of three processes."""
    rounds = [written(tributary, server, series, protocol) for _ in range(1 if series > 100_000 else 3)]
    new, old = (sorted(figures)[len(figures) // 2] for figures in zip(*rounds))
    return [(f"{protocol}, new series", "µs a sample", new), (f"{protocol}, known series", "µs a sample", old)]


def written(tributary, server, series, protocol):
    """CPU a sample of new series and of known ones, in a process of its own."""
    known = max(SAMPLES_MIN // series, 4)
    interval = max(SPAN_S // known, 1)
    start = int(time.time()) - interval * (known + 1)
    server.start()
    # What the first requests of all cost a process is not asked for.
    load(tributary, server, protocol, 1000, 1, interval, start)
    new = load(tributary, server, protocol, series, 1, interval, start)
    old = load(tributary, server, protocol, series, known, interval, start + interval)
    server.stop()
    return new, old


def reads(tributary, server, series):
    """CPU of queries, and what the store takes, with few samples a series, as many for every size."""
    now = int(time.time())
    server.start()
    load(tributary, server, "remote-write", series, STEPS, 15, now - 15 * STEPS)
    figures, request_ms = [], None
    for name, unit, request, become in questions(now - 15):
        measure(server, *request, 2)
        ms = settled_cpu(server, *request, series)
        # The first asks for nothing.
        request_ms = request_ms or ms
        figures.append((name, unit, become(ms, request_ms, series)))
    figures.append(("memory", "bytes a series", server.memory("RssAnon") / series))
    began = time.time()
    server.stop()
    return figures + [("stop", "s", time.time() - began)]


def measured(tributary, server, series):
    """The figures of one size: name, unit and figure, in the order of the table."""
    figures = [figure for protocol in ("remote-write", "telnet") for figure in writes(tributary, server, series, protocol)]
    return figures + reads(tributary, server, series)


def scale(tributary, found, arguments):
    server = found[0]
    sizes = [int(size) for size in arguments.sizes.split(",")]
    columns = [measured(tributary, server, size) for size in sizes]
    row(f"{server.name}: CPU", [f"{size:,} series" for size in sizes])
    lines = ["figure,unit," + ",".join(map(str, sizes))]
    for cells in zip(*columns):
        name, unit, _ = cells[0]
        row(f"{name}, {unit}", [f"{figure:.3f}" for _, _, figure in cells])
        # Memory of a small store is mostly what any process takes: the chart has costs alone.
        if name not in ("memory", "stop"):
            lines.append(f'"{name}",{unit},' + ",".join(f"{figure:.4f}" for _, _, figure in cells))
    if arguments.csv:
        open(arguments.csv, "w").write("\n".join(lines) + "\n")
