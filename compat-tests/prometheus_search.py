"""Asks tributary and a Prometheus 3.14, both with the feature flag search-api, the same searches over the same names,
and compares statuses, content types and every line. Random searches come from --seed.

    prometheus_search.py --tributary http://127.0.0.1:19009 --prometheus http://127.0.0.1:19090 [--searches 400]

The Prometheus needs --web.enable-remote-write-receiver and --enable-feature=search-api. Only Python's standard library,
and beside.py and prometheus_api.py in this folder.
"""

import json
import random
import time
import urllib.parse

import beside
from prometheus_api import call, series, snappy

WORDS = ["http", "request", "requests", "total", "node", "cpu", "seconds", "bucket", "Memory", "bytes", "rate", "up",
         "größe", "ΣΑΣ", "日本", "İx", "a", "aa", "aaa", "<&>", "\"q\\"]
LABELS = ["job", "instance", "service.name", "Größe", "code"]


def names(random_source, count):
    """Names of the kind that people give, and some that nobody would."""
    found = set()
    while len(found) < count:
        found.add(random_source.choice("_:.").join(random_source.choices(WORDS, k=random_source.randint(1, 4))))
    return sorted(found)


def data(random_source, now):
    out = b""
    for name in names(random_source, 300):
        pairs = {"__name__": name, random_source.choice(LABELS): random_source.choice(names(random_source, 5))}
        out += series(pairs, [(now - 60_000, 1.0)])
    return out


def term(random_source):
    """A piece of a name, now and then with a mistake or in another case."""
    text = random_source.choice(names(random_source, 3))
    start = random_source.randrange(len(text))
    text = text[start:start + random_source.randint(1, 8)]
    if random_source.random() < 0.3:
        at = random_source.randrange(len(text) + 1)
        text = text[:at] + random_source.choice(["", "x", "_"]) + text[at + random_source.randint(0, 1):]
    return random_source.choice([str, str, str, str.upper])(text)


def random_search(random_source, now):
    pairs = [("search[]", term(random_source)) for _ in range(random_source.choice([0, 1, 1, 1, 2, 4]))]
    has_terms = any(text for _, text in pairs)
    sorts = ["", "alpha", "alpha", "score"] if has_terms else ["", "alpha"]
    choices = {"fuzz_alg": ["", "subsequence", "jarowinkler"], "fuzz_threshold": ["", "0", "30", "70", "85", "100"],
               "case_sensitive": ["", "true", "0"], "include_score": ["", "true", "1"], "sort_by": sorts,
               "limit": ["", "1", "5", "37", "10000"], "batch_size": ["", "1", "10", "1000"],
               "match[]": ["", "", "", '{job=~".+"}', '{code!=""}', '{__name__=~"http.*"}'], "include_metadata": ["", "true"]}
    for key, values in choices.items():
        value = random_source.choice(values)
        if value:
            pairs.append((key, value))
    if ("sort_by", "alpha") in pairs and random_source.random() < 0.5:
        pairs.append(("sort_dir", random_source.choice(["asc", "dsc"])))
    if random_source.random() < 0.2:
        pairs.append(("match[]", '{instance=~".+"}'))
    if random_source.random() < 0.2:
        pairs += [("start", now / 1000 - 300), ("end", now / 1000)]
    path = random_source.choice(["metric_names", "label_names", "label_values"])
    if path == "label_values":
        pairs.append(("label", random_source.choice(LABELS + ["__name__", "nothing"])))
    random_source.shuffle(pairs)
    return path, pairs


def mistakes(now):
    """What must be refused, and what looks like it."""
    for pairs in ([("start", "x")], [("end", "x")], [("start", now / 1000), ("end", now / 1000 - 1)],
                  [("start", now / 1000), ("end", now / 1000)], [("match[]", "{}")], [("match[]", "up{")], [("match[]", "")],
                  [("search[]", "a")] * 32, [("search[]", "a")] * 33, [("search[]", "")], [("fuzz_threshold", "-1")],
                  [("fuzz_threshold", "101")], [("fuzz_threshold", "x\n\"")], [("fuzz_threshold", "1.5")], [("fuzz_threshold", "")],
                  [("fuzz_alg", "x\\")], [("fuzz_alg", "")], [("case_sensitive", "yes")], [("case_sensitive", "F")],
                  [("include_score", "2")], [("include_score", "TRUE")], [("sort_dir", "asc")], [("sort_by", "x")],
                  [("sort_by", "x"), ("sort_dir", "dsc")], [("sort_by", "score"), ("search[]", "a"), ("sort_dir", "asc")],
                  [("sort_by", "score")], [("sort_by", "alpha"), ("sort_dir", "desc")], [("sort_by", "x"), ("limit", "0")],
                  [("limit", "0")], [("limit", "-1")], [("limit", "x")], [("limit", "10000")], [("limit", "10001")], [("limit", "+7")],
                  [("limit", "99999999999999999999")], [("batch_size", "0")], [("batch_size", "é")], [("batch_size", "1000000")],
                  [("include_metadata", "perhaps")], [("label", "")], [("limit", "1"), ("limit", "2")], [("unknown", "x")], []):
        for path in ("metric_names", "label_names", "label_values"):
            yield path, pairs
            yield path, pairs + [("label", "job")]


def lines(answer):
    """Status, type and lines, numbers as they are written."""
    status, headers, body = answer
    kind = headers.get("Content-Type")
    if status in (404, 405):
        return status, kind, body.strip()
    found = [json.loads(line, parse_float=str, parse_int=str) for line in body.splitlines()]
    for item in (item for line in found for item in line.get("results", ())):
        # Prometheus knows metadata of what it scrapes only, and scrapes nothing here.
        for key in ("type", "help", "unit"):
            item.pop(key, None)
    return status, kind, found


def is_cut_anywhere(form, answer):
    """Prometheus's head cuts at the limit before it sorts where nothing is filtered: any values, in order."""
    pairs = urllib.parse.parse_qsl(form)
    is_filtered = any(key == "search[]" for key, _ in pairs) or ("sort_dir", "dsc") in pairs
    return not is_filtered and answer[0] == 200 and answer[2][-1].get("has_more")


def shape(answer):
    """What remains comparable of such an answer: the number of results of each line."""
    return *answer[:2], [len(line["results"]) if "results" in line else line for line in answer[2]]


def compare(arguments):
    """How many answers were compared, and the differences."""
    random_source = random.Random(arguments.seed)
    now = int(time.time() * 1000)
    headers = {"Content-Type": "application/x-protobuf", "Content-Encoding": "snappy",
               "X-Prometheus-Remote-Write-Version": "0.1.0"}
    body = snappy(data(random_source, now))
    for base in (arguments.tributary, arguments.prometheus):
        status, _, answer = call(base, "POST", "/api/v1/write", body, headers)
        assert status == 204, f"{base}: {status} {answer}"
    count, failures = 0, []

    def check(method, path, form):
        nonlocal count
        count += 1
        url, payload, sent = f"/api/v1/search/{path}", None, {}
        if method == "POST":
            payload, sent["Content-Type"] = form.encode(), "application/x-www-form-urlencoded"
        else:
            url += "?" + form
        ours, theirs = (lines(call(base, method, url, payload, sent)) for base in (arguments.tributary, arguments.prometheus))
        if is_cut_anywhere(form, theirs):
            ours, theirs = shape(ours), shape(theirs)
        if ours != theirs:
            failures.append(f"{method} {path} {urllib.parse.unquote(form)}\n    {str(ours)[:600]}\n    {str(theirs)[:600]}")

    for path, pairs in mistakes(now):
        for method in ("GET", "POST"):
            check(method, path, urllib.parse.urlencode(pairs))
    for form in ("search[]=%zz", "search[]=a;b=1", "label=job&x=%", "label=job&x=%4&y=%zz"):
        for method in ("GET", "POST"):
            check(method, "label_values", form)
    check("GET", "nothing", "")
    check("DELETE", "metric_names", "")
    for _ in range(arguments.searches):
        path, pairs = random_search(random_source, now)
        check(random_source.choice(["GET", "POST"]), path, urllib.parse.urlencode(pairs))
    return count, failures


def add_arguments(parser):
    parser.add_argument("--searches", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)


if __name__ == "__main__":
    beside.main("search", compare, add_arguments)
