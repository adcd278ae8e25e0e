"""What a sample and a query cost from ten thousand to ten million series, one server, one table."""

import time
import urllib.parse

from peers import load, measure, promql, row

# Series that a load of known series is repeated up to, so that small stores are measured as long as large ones.
SAMPLES_MIN = 8_000_000


def per_series(count):
    """Milliseconds as nanoseconds a series."""
    return lambda ms, series: ms * 1e6 / count(series)


# Name, unit, path and body at an instant, and what becomes of the CPU milliseconds of one request.
def questions(at):
    one = "host_(1|2|3|4|5|6|7|8)"
    values = "/api/v1/label/{}/values?" + urllib.parse.urlencode({"start": at - 3600, "end": at})
    plain = lambda ms, _: ms
    of_metric = per_series(lambda series: series / 100)
    return [
        ("single host", "ms", promql('cpu_usage_1{hostname="host_7"}', start=at - 60, end=at, step=15), plain),
        ("8 hosts, sum by", "ms", promql(f'sum by (region) (net_1{{hostname=~"{one}"}})', time=at), plain),
        ("sum by", "ns a series", promql("sum by (region) (cpu_usage_2)", time=at), of_metric),
        ("count by a label of one metric", "ns a series", promql("count by (rack) (cpu_usage_1)", time=at), of_metric),
        ("label values", "ms", (values.format("region"), None), plain),
    ]


def measured(tributary, server, series):
    """The figures of one size: name, unit and figure, in the order of the table."""
    known = max(SAMPLES_MIN // series, 4)
    now = int(time.time())
    figures = []
    for protocol in ("remote-write", "telnet"):
        server.start()
        start = now - 15 * (known + 1)
        figures.append((f"{protocol}, new series", "µs a sample", load(tributary, server, protocol, series, 1, 15, start)))
        cost = load(tributary, server, protocol, series, known, 15, start + 15)
        figures.append((f"{protocol}, known series", "µs a sample", cost))
        if protocol == "remote-write":
            figures.append(("memory", "bytes a series", server.memory("RssAnon") / series))
            for name, unit, request, become in questions(now - 15):
                measure(server, *request, 2)
                _, cpu = measure(server, *request, 10 if series > 1_000_000 else 50)
                figures.append((name, unit, become(cpu, series)))
        began = time.time()
        server.stop()
        figures.append((f"{protocol}, stop", "s", time.time() - began))
    return figures


def scale(tributary, found, arguments):
    server = found[0]
    sizes = [int(size) for size in arguments.sizes.split(",")]
    columns = [measured(tributary, server, size) for size in sizes]
    row(f"{server.name}: CPU", [f"{size:,} series" for size in sizes])
    lines = ["figure,unit," + ",".join(map(str, sizes))]
    for cells in zip(*columns):
        name, unit, _ = cells[0]
        row(f"{name}, {unit}", [f"{figure:.3f}" for _, _, figure in cells])
        lines.append(f'"{name}",{unit},' + ",".join(f"{figure:.4f}" for _, _, figure in cells))
    if arguments.csv:
        open(arguments.csv, "w").write("\n".join(lines) + "\n")
