"""Random Graphite targets asked of tributary and of graphite-web's own functions over the same data.

    graphite_fuzz.py --tributary http://127.0.0.1:9009 --carbon 127.0.0.1:2003 --seed 1 --targets 5000

graphite-web (1.1.10: `pip install graphite-web whisper carbon 'django<4'`) runs inside this process over whisper
files in a temporary directory; the same samples go to an empty tributary over carbon's line protocol. The server
needs `graphite.learn_step = false`, `graphite.step = "1m"` and the schemas that --print-schemas prints. Every target
that is answered differently is printed: names, times, values. Without graphite-web nothing is compared (exit 77).

What this server answers differently on purpose (compat-tests/DIFFERENCES.md) is not asked for (the exponential mean,
windows that are no multiple of the step, steps mixed under one function that does not align them), or counted apart
(EXPLAINED).
"""

import argparse
import json
import math
import os
import random
import re
import shutil
import socket
import sys
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request

STEP_S = 60
HOSTS = ["web1", "web2", "db1"]
METRICS = ["cpu", "hits", "gaps", "flat", "neg", "small"]
SCHEMAS = "[slow]\npattern = ^fz\\.slow\\.\nretentions = 120s:2d\n[all]\npattern = .*\nretentions = 60s:2d\n"


# Differences with a known reason, by what a target looks like; each stands in DIFFERENCES.md.
LINE = r"\b(constantLine\(|threshold\(|aggregateLine\(|identity\(|time\(|sin\(|countSeries\(\))"
BY_END = r"(summarize|smartSummarize|hitcount|nPercentile|integralByInterval|moving\w+|removeBetweenPercentile|stdev)\("
EXPLAINED = [
    ("a line's last point lies at its end, and a function that counts by the end drops it", BY_END + r".*" + LINE),
    ("the end of series of mixed steps, or moved by no multiple of the step, is no slot's", r"(nPercentile|hitcount|summarize|smartSummarize)\(.*(slow|timeShift)"),
    ("the spread of equal values is 0, not what rounding leaves", r"stddev|stdev"),
    ("a stack under a function that evaluates its argument twice", r"(timeStack|timeShift|moving\w+|holtWinters\w+|exponential\w+)\(.*stacked"),
]


# ---------------------------------------------------------------- data


def column(rng, kind, count):
    """Values of one series; None where there is no sample."""
    out, total = [], 0
    for index in range(count):
        if kind == "cpu":
            value = round(rng.uniform(0, 100), 3)
        elif kind == "hits":
            total = 0 if rng.random() < 0.02 else total + rng.randrange(50)
            value = total
        elif kind == "flat":
            value = 5
        elif kind == "neg":
            value = rng.randrange(-20, 20)
        elif kind == "periodic":
            value = index if index % 3 == 1 else None
        elif kind == "empty":
            value = None
        else:
            value = round(rng.uniform(0, 1), 4)
        if kind == "gaps" and rng.random() < 0.4 or kind in ("neg", "cpu") and rng.random() < 0.05:
            value = None
        out.append(value)
    return out


def dataset(rng, start, count):
    series = {}
    for host in HOSTS:
        for metric in METRICS:
            series["fz.%s.%s" % (host, metric)] = (60, column(rng, metric, count))
    series["fz.odd.empty"] = (60, column(rng, "empty", count))
    series["fz.odd.periodic"] = (60, column(rng, "periodic", count))
    series["fz.slow.a"] = (120, column(rng, "cpu", count // 2))
    series["fz.slow.b"] = (120, column(rng, "neg", count // 2))
    points = {}
    for name, (step, values) in series.items():
        known = [(start + i * step, v) for i, v in enumerate(values) if v is not None]
        # A series exists even where it has no sample in the window.
        points[name] = (step, [(start - 86400, 1)] + known)
    return points


# ---------------------------------------------------------------- targets


class Targets:
    def __init__(self, rng):
        self.rng = rng
        self.plain = [g for g in dir(self) if g.startswith("f_")]

    def pick(self, *choices):
        return self.rng.choice(choices)

    def path(self):
        return self.pick(
            "fz.web1.cpu", "fz.*.cpu", "fz.web1.*", "fz.{web1,db1}.hits", "fz.*.gaps", "fz.*.neg", "fz.db1.small",
            "fz.web[12].flat", "fz.*.{cpu,neg}", "fz.web2.gaps", "fz.web2.neg", "fz.odd.*", "fz.nosuch.*", "fz.*.hits")

    def one(self):
        return self.pick("fz.web1.cpu", "fz.web2.neg", "fz.db1.gaps", "fz.web1.flat", "fz.db1.hits")

    def series(self, depth=0):
        if depth < 2 and self.rng.random() < 0.35:
            return self.call(depth + 1)
        return self.path()

    def call(self, depth=0):
        return getattr(self, self.rng.choice(self.plain))(depth)

    def agg(self):
        return self.pick("average", "avg", "avg_zero", "median", "sum", "min", "max", "diff", "stddev", "count", "range",
                         "rangeOf", "multiply", "last", "current", "total")

    def number(self):
        return self.pick("0", "1", "2.5", "-3", "10", "0.1", "100")

    def f_unary(self, d):
        name = self.pick("absolute", "offsetToZero", "squareRoot", "invert", "exp", "sigmoid", "logit", "minMax", "derivative",
                         "nonNegativeDerivative", "perSecond", "integral", "changed", "keepLastValue", "interpolate", "isNonNull",
                         "log", "round", "transformNull", "removeEmptySeries", "sortByTotal", "sortByMaxima", "sortByMinima",
                         "sortByName", "aliasByMetric", "upper", "lower", "cactiStyle", "dashed", "drawAsInfinite", "secondYAxis",
                         "cumulative", "group", "unique", "stacked", "linearRegression", "nonNegativeDerivative")
        return "%s(%s)" % (name, self.series(d))

    def f_number(self, d):
        name = self.pick("add", "offset", "scale", "pow", "scaleToSeconds", "averageAbove", "averageBelow", "currentAbove",
                         "currentBelow", "maximumAbove", "maximumBelow", "minimumAbove", "minimumBelow", "removeAboveValue",
                         "removeBelowValue", "transformNull", "nonNegativeDerivative", "perSecond")
        return "%s(%s,%s)" % (name, self.series(d), self.number())

    def f_percent(self, d):
        name = self.pick("nPercentile", "removeAbovePercentile", "removeBelowPercentile", "percentileOfSeries")
        extra = self.pick("", ",true") if name == "percentileOfSeries" else ""
        return "%s(%s,%s%s)" % (name, self.series(d), self.pick("5", "50", "95", "99.9", "33"), extra)

    def f_outside(self, d):
        return "averageOutsidePercentile(%s,%s)" % (self.pick("fz.*.{cpu,flat,hits}", "fz.web1.{cpu,neg}"), self.pick("75", "10", "90"))

    def f_count(self, d):
        name = self.pick("limit", "highestAverage", "highestCurrent", "highestMax", "lowestAverage", "lowestCurrent", "mostDeviant",
                         "highest", "lowest")
        extra = ',"%s"' % self.agg() if name in ("highest", "lowest") and self.rng.random() < 0.6 else ""
        return "%s(%s,%s%s)" % (name, self.series(d), self.pick("1", "2", "5"), extra)

    def f_delay(self, d):
        return "delay(%s,%s)" % (self.series(d), self.pick("1", "3", "-2", "500"))

    def f_limits(self, d):
        return "%s(%s,%s)" % (self.pick("keepLastValue", "interpolate"), self.series(d), self.pick("1", "2", "inf"))

    def f_precision(self, d):
        return "round(%s,%s)" % (self.series(d), self.pick("0", "2", "-1"))

    def f_base(self, d):
        return "log(%s,%s)" % (self.series(d), self.pick("2", "10", "7"))

    def f_combine(self, d):
        name = self.pick("sumSeries", "averageSeries", "minSeries", "maxSeries", "stddevSeries", "rangeOfSeries", "diffSeries",
                         "multiplySeries", "countSeries", "powSeries", "group", "sum", "avg")
        lists = [self.series(d) for _ in range(self.rng.randrange(1, 4))]
        if name == "countSeries":
            lists = ["fz.*.cpu"]
        return "%s(%s)" % (name, ",".join(lists))

    def f_aggregate(self, d):
        extra = self.pick("", ",0.5", ",xFilesFactor=1")
        return 'aggregate(%s,"%s"%s)' % (self.series(d), self.agg(), extra)

    def f_wildcards(self, d):
        name = self.pick("sumSeriesWithWildcards", "averageSeriesWithWildcards", "multiplySeriesWithWildcards")
        return "%s(%s,%s)" % (name, self.series(d), self.pick("1", "2", "0,1", "1,2"))

    def f_aggregate_wildcards(self, d):
        return 'aggregateWithWildcards(%s,"%s",%s)' % (self.series(d), self.agg(), self.pick("1", "2", "0,1"))

    def f_lists(self, d):
        name = self.pick("sumSeriesLists", "diffSeriesLists", "multiplySeriesLists", "divideSeriesLists")
        return "%s(%s,%s)" % (name, self.pick("fz.*.cpu", "fz.*.neg"), self.pick("fz.*.gaps", "fz.*.hits", "fz.web*.cpu"))

    def f_aggregate_lists(self, d):
        return 'aggregateSeriesLists(fz.*.cpu,fz.*.gaps,"%s")' % self.agg()

    def f_divide(self, d):
        return "divideSeries(%s,%s)" % (self.series(d), self.pick(self.one(), self.one(), "fz.nosuch.x", "sumSeries(fz.*.neg)"))

    def f_percent_of(self, d):
        total = self.pick("", "," + self.one(), ",100", ",12.5", ",sumSeries(fz.*.cpu)", ",fz.*.hits")
        return "%s(%s%s)" % (self.pick("asPercent", "pct"), self.pick("fz.*.cpu", "fz.*.neg", "fz.*.gaps"), total)

    def f_percent_nodes(self, d):
        return "asPercent(%s,%s,%s)" % (self.pick("fz.*.{cpu,neg}", "fz.web1.*"), self.pick("none", "fz.*.{cpu,neg}", "fz.web1.*"), self.pick("1", "2"))

    def f_weighted(self, d):
        return "weightedAverage(fz.*.cpu,fz.*.hits,%s)" % self.pick("1", "0")

    def f_group_node(self, d):
        return 'groupByNode(%s,%s,"%s")' % (self.series(d), self.pick("1", "2", "-1"), self.pick(self.agg(), "sumSeries", "asPercent", "countSeries"))

    def f_group_nodes(self, d):
        return 'groupByNodes(%s,"%s",%s)' % (self.series(d), self.agg(), self.pick("1", "2", "1,2"))

    def f_reduce(self, d):
        function = self.pick("divideSeries", "diffSeries", "sumSeries", "asPercent")
        return 'reduceSeries(mapSeries(fz.{web1,web2,db1}.*,1),"%s",2,"%s","%s")' % (function, self.pick("cpu", "neg"), self.pick("hits", "flat"))

    def f_apply(self, d):
        template = self.pick("sumSeries(%.cpu,%.neg)", "divideSeries(%.cpu,%.flat)", "scale(%.gaps,2)")
        return 'applyByNode(fz.{web1,web2,db1}.cpu,1,"%s"%s)' % (template, self.pick("", ',"%.new"'))

    def f_moving(self, d):
        name = self.pick("movingAverage", "movingMedian", "movingSum", "movingMin", "movingMax")
        window = self.pick("3", "5", "1", "12", '"3min"', '"10min"', '"1h"')
        return "%s(%s,%s%s)" % (name, self.series(d), window, self.pick("", "", ",0.5"))

    def f_window(self, d):
        return 'movingWindow(%s,%s,"%s")' % (self.series(d), self.pick("3", '"5min"'), self.agg())

    def f_stdev(self, d):
        return "stdev(%s,%s%s)" % (self.series(d), self.pick("3", "10"), self.pick("", ",0.5"))

    def f_summarize(self, d):
        interval = self.pick("5min", "2min", "1min", "7min", "1h", "30min")
        return 'summarize(%s,"%s","%s"%s)' % (self.series(d), interval, self.agg(), self.pick("", ",true", ",false"))

    def f_smart(self, d):
        align = self.pick("", "", ',"hours"', ',"minutes"')
        return 'smartSummarize(%s,"%s","%s"%s)' % (self.series(d), self.pick("5min", "2min", "1h"), self.agg(), align)

    def f_hitcount(self, d):
        return 'hitcount(%s,"%s"%s)' % (self.series(d), self.pick("5min", "90s", "1h", "30s"), self.pick("", ",true"))

    def f_integral(self, d):
        return 'integralByInterval(%s,"%s")' % (self.series(d), self.pick("5min", "1h"))

    def f_shift(self, d):
        return 'timeShift(%s,"%s")' % (self.series(d), self.pick("5min", "1h", "-10min", "+3min"))

    def f_stack(self, d):
        return 'timeStack(%s,"%s",%s)' % (self.series(d), self.pick("5min", "1h"), self.pick("0,2", "1,3"))

    def f_holt(self, d):
        name = self.pick("holtWintersForecast", "holtWintersConfidenceBands", "holtWintersAberration")
        delta = "" if name == "holtWintersForecast" else self.pick("1,", "3,")
        return '%s(%s,%s"%s","%s")' % (name, self.pick("fz.*.cpu", "fz.web1.hits", "fz.web2.gaps"), delta, self.pick("30min", "1h"), self.pick("5min", "10min"))

    def f_area(self, d):
        return "areaBetween(%s)" % self.pick("fz.web[12].cpu", "group(fz.web1.cpu,fz.db1.neg)")

    def f_line(self, d):
        return 'aggregateLine(%s,"%s"%s)' % (self.series(d), self.agg(), self.pick("", ",true"))

    def f_filter(self, d):
        return 'filterSeries(%s,"%s","%s",%s)' % (self.series(d), self.agg(), self.pick("=", "!=", ">", ">=", "<", "<="), self.number())

    def f_sort(self, d):
        return 'sortBy(%s,"%s",%s)' % (self.series(d), self.agg(), self.pick("true", "false"))

    def f_pattern(self, d):
        return '%s(%s,"%s")' % (self.pick("grep", "exclude"), self.series(d), self.pick("web", "cpu$", "^fz.*[12]"))

    def f_alias(self, d):
        return self.pick('alias(%s,"x y")', "aliasByNode(%s,1)", "aliasByNode(%s,1,2)", "aliasByNode(%s,-1)", 'aliasSub(%s,"web(\\d)","w\\1")',
                         "substr(%s,1)", "substr(%s,0,2)", "substr(%s,-1)", 'legendValue(%s,"avg","max")', 'legendValue(%s,"last","si")',
                         'cactiStyle(%s,"si")', 'cactiStyle(%s,"binary","b")', 'consolidateBy(%s,"max")', 'color(%s,"red")', "lineWidth(%s,2)",
                         'aliasByTags(%s,"name")', "alpha(%s,0.5)", 'stacked(%s,"tx")', "setXFilesFactor(%s,0.5)", "compressPeriodicGaps(%s)",
                         "transformNull(%s,0,fz.*.gaps)", "fallbackSeries(%s,constantLine(1))", "upper(%s,0,-1)") % self.series(d)

    def f_tags(self, d):
        return 'groupByTags(%s,"%s","name")' % (self.series(d), self.agg())

    def f_between(self, d):
        return "removeBetweenPercentile(%s,%s)" % (self.pick("fz.*.{cpu,flat,hits}", "fz.web1.{cpu,small}"), self.pick("75", "10", "90"))

    def f_holt_area(self, d):
        return 'holtWintersConfidenceArea(%s,3,"30min","10min")' % self.pick("fz.web1.cpu", "fz.web1.hits")

    def f_above(self, d):
        return 'useSeriesAbove(fz.*.flat,%s,"flat","cpu")' % self.pick("3", "7")

    def f_query(self, d):
        return 'aliasQuery(fz.*.flat,"flat","hits","%s")' % self.pick("now %d", "%.2f", "%g x")

    def f_made(self, d):
        return self.pick("constantLine(7)", 'time("t",60)', 'sin("s",2)', 'identity("i")', "threshold(5)", 'threshold(5,"max","red")', "countSeries()")

    def f_mixed(self, d):
        name = self.pick("sumSeries", "averageSeries", "maxSeries", "diffSeries")
        return "%s(fz.slow.%s,%s)" % (name, self.pick("*", "a"), self.one())

    def f_slow(self, d):
        return self.pick("movingAverage(fz.slow.a,3)", 'summarize(fz.slow.*,"10min","max")', "perSecond(fz.slow.b)", "divideSeries(fz.slow.a,fz.web1.cpu)",
                         "stdev(fz.slow.b,4)", "scaleToSeconds(fz.slow.a,1)", 'hitcount(fz.slow.a,"5min")', "integral(fz.slow.*)")


# ---------------------------------------------------------------- the two sides


class Peer:
    """graphite-web's functions over whisper files."""

    def __init__(self, directory):
        os.environ.setdefault("DJANGO_SETTINGS_MODULE", "graphite.settings")
        os.environ["GRAPHITE_STORAGE_DIR"] = directory
        os.makedirs(os.path.join(directory, "log", "webapp"), exist_ok=True)
        import django
        from django.conf import settings

        settings.WHISPER_DIR = os.path.join(directory, "whisper")
        settings.STANDARD_DIRS = [settings.WHISPER_DIR]
        settings.CARBONLINK_HOSTS = []
        settings.ENFORCE_INPUT_VALIDATION = False
        settings.LOG_ROTATION = False
        django.setup()
        import whisper
        from graphite.render.evaluator import evaluateTarget

        self.whisper, self.evaluate, self.directory = whisper, evaluateTarget, settings.WHISPER_DIR

    def write(self, points):
        for name, (step, samples) in points.items():
            path = os.path.join(self.directory, *name.split(".")) + ".wsp"
            os.makedirs(os.path.dirname(path), exist_ok=True)
            self.whisper.create(path, [(step, 2 * 86400 // step)], xFilesFactor=0)
            self.whisper.update_many(path, samples)

    def ask(self, target, start, end, now):
        import datetime
        import pytz

        at = lambda t: datetime.datetime.fromtimestamp(t, pytz.utc)
        context = {"startTime": at(start), "endTime": at(end), "now": at(now), "tzinfo": pytz.utc, "template": None, "localOnly": False,
                   "data": [], "prefetch": {}, "xFilesFactor": 0}
        out = []
        for series in self.evaluate(context, [target]):
            times = range(int(series.start), int(series.end) + 1, max(1, int(series.step * series.valuesPerPoint)))
            out.append((series.name, [(None if v is None or v != v else v, t) for v, t in zip(series, times)]))
        return out


class Tributary:
    def __init__(self, url, carbon):
        self.url, self.carbon = url, carbon

    def write(self, points):
        host, port = self.carbon.rsplit(":", 1)
        with socket.create_connection((host, int(port))) as sock:
            for name, (_, samples) in points.items():
                sock.sendall("".join("%s %r %d\n" % (name, value, at) for at, value in samples).encode())
        time.sleep(2)

    def ask(self, target, start, end, now):
        body = urllib.parse.urlencode({"target": target, "from": start, "until": end, "now": now, "format": "json"}).encode()
        try:
            with urllib.request.urlopen(self.url + "/render", body) as answer:
                rows = json.load(answer)
        except urllib.error.HTTPError as error:
            raise RuntimeError("%d %s" % (error.code, error.read().decode()[:200]))
        return [(row["target"], [tuple(point) for point in row["datapoints"]]) for row in rows]


def close(a, b):
    if a is None or b is None:
        return a is b
    if a == b:
        return True
    if math.isinf(a) or math.isinf(b):
        return False
    return abs(a - b) <= 1e-9 * max(abs(a), abs(b)) + 1e-12


def difference(ours, theirs):
    """What is different, in words; None where nothing is."""
    if all(not points for _, points in theirs):
        theirs = []
    if [name for name, _ in ours] != [name for name, _ in theirs]:
        return "names: %s instead of %s" % ([n for n, _ in ours][:6], [n for n, _ in theirs][:6])
    for (name, mine), (_, wanted) in zip(ours, theirs):
        if len(mine) != len(wanted):
            return "%s: %d points instead of %d: %s … %s" % (name, len(mine), len(wanted), mine[:2], wanted[:2])
        for (value, at), (want, want_at) in zip(mine, wanted):
            if at != want_at or not close(value, want):
                return "%s: %r instead of %r" % (name, (value, at), (want, want_at))
    return None


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tributary", default="http://127.0.0.1:9009")
    parser.add_argument("--carbon", default="127.0.0.1:2003")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--targets", type=int, default=2000)
    parser.add_argument("--show", type=int, default=50)
    parser.add_argument("--print-schemas", action="store_true")
    options = parser.parse_args()
    if options.print_schemas:
        print(SCHEMAS)
        return 0
    directory = tempfile.mkdtemp(prefix="graphite-fuzz-")
    try:
        try:
            peer = Peer(directory)
        except ImportError as missing:
            print("skipped: graphite-web is not installed (%s)" % missing)
            return 77
        return compare(peer, Tributary(options.tributary, options.carbon), options)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def compare(peer, ours, options):
    print("seed", options.seed)
    rng = random.Random(options.seed)
    count = 240
    end = int(time.time()) // 3600 * 3600
    start = end - count * STEP_S
    points = dataset(rng, start, count)
    peer.write(points)
    ours.write(points)
    targets = Targets(rng)
    same = refused = shown = different = 0
    explained = [0] * len(EXPLAINED)
    for _ in range(options.targets):
        target = targets.call()
        if "moving" in target and any(word in target for word in ("slow", "summarize", "smartSummarize", "hitcount")):
            continue
        since = end - rng.choice([600, 1800, 3600, 3590, 1234])
        until = end - rng.choice([0, 60, 125])
        try:
            wanted = peer.ask(target, since, until, end)
        except Exception as error:  # noqa: BLE001: the original fails in many ways
            wanted, why = None, "%s: %s" % (type(error).__name__, str(error)[:100])
        try:
            got = ours.ask(target, since, until, end)
        except RuntimeError as error:
            got, refusal = None, str(error)
        if wanted is None:
            refused += 1
            continue
        reason = "refused: %s" % refusal if got is None else difference(got, wanted)
        if reason is None:
            same += 1
            continue
        known = [at for at, (_, pattern) in enumerate(EXPLAINED) if re.search(pattern, target)]
        if known and got is not None:
            explained[known[0]] += 1
            continue
        different += 1
        if shown < options.show:
            shown += 1
            print("%s  [%d..%d]\n    %s" % (target, since, until, reason))
    for count, (reason, _) in zip(explained, EXPLAINED):
        print("%d explained: %s" % (count, reason))
    print("%d alike, %d different, %d that the original fails on" % (same, different, refused))
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
