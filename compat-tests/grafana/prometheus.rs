//! The rows of Grafana's Prometheus data source.

use serde_json::{Value, json};

use super::{Grafana, NOW_S};

pub(super) fn queries(grafana: &Grafana) {
    // P-01, P-02
    let health = grafana.form("/api/v1/query", "query=1%2B1&time=4");
    assert_eq!(health["data"], json!({"resultType": "scalar", "result": [4, "2"]}));
    let build = grafana.get("/api/v1/status/buildinfo");
    assert!(build["data"]["version"].is_string() && build["data"]["features"].is_null());
    // P-03, P-05, P-13: values are texts, timestamps numbers; parameters in body and URL together.
    let (start, end) = (NOW_S - 600, NOW_S - 480);
    let body =
        format!("query=%7B%22cpu.usage%22%2Chost%3D%22web01%22%7D&start={start}&end={end}&step=60");
    let range = grafana.form("/api/v1/query_range?stats=all&tenant=x", &body);
    assert_eq!(range["data"]["resultType"], "matrix");
    let labels = json!({"__name__": "cpu.usage", "host": "web01", "region": "eu"});
    assert_eq!(range["data"]["result"][0]["metric"], labels);
    let values = json!([[start, "10.5"], [start + 60, "11.5"], [end, "12.5"]]);
    assert_eq!(range["data"]["result"][0]["values"], values);
    // P-08
    assert!(range["data"]["stats"]["samples"]["totalQueryableSamples"].as_u64().unwrap() >= 3);
    // P-04: a vector, a text, and a matrix from an instant query; the rate interval in Go's spelling.
    let at = format!("&time={NOW_S}");
    let ask = |query: &str| grafana.form("/api/v1/query", &format!("query={query}{at}"));
    assert_eq!(ask("count(%7B__name__%3D~%22cpu.*%22%7D)")["data"]["result"][0]["value"][1], "2");
    assert_eq!(ask("%22text%22")["data"]["result"][1], "text");
    assert_eq!(ask("%7B%22cpu.usage%22%7D%5B1m0s%5D")["data"]["resultType"], "matrix");
    // P-06, P-07
    let (status, body) = grafana.send("POST", "/api/v1/query?query=foo%7B", "application/json", "");
    let error: Value = serde_json::from_str(&body).unwrap();
    assert_eq!((status, &error["errorType"]), (400, &json!("bad_data")));
    let info = ask("rate(%7B%22cpu.usage%22%7D%5B5m%5D)");
    assert!(info["infos"][0].as_str().unwrap().contains("might not be a counter"));
    // P-11, P-12: milliseconds where seconds are meant.
    let probe = "query=test&start=1795223273475&end=1795225073476";
    assert_eq!(grafana.form("/api/v1/query_exemplars", probe)["data"], json!([]));
}

pub(super) fn discovery(grafana: &Grafana) {
    let window = format!("limit=40000&start={}&end={NOW_S}", NOW_S - 3600);
    // P-20 to P-23, P-26
    let names = grafana.form("/api/v1/labels", &window);
    assert_eq!(names["data"], json!(["__name__", "host", "region"]));
    let values = grafana.get(&format!("/api/v1/label/host/values?{window}"));
    assert_eq!(values["data"], json!(["web01", "web02"]));
    let escaped = grafana.get(&format!("/api/v1/label/U__ho_73_t/values?{window}"));
    assert_eq!(escaped["data"], json!(["web01", "web02"]));
    for selector in [
        "up",
        "%7B__name__%3D~%22(%3Fi).*CPU.*%22%7D",
        "%7B__name__%3D%22cpu.usage%22%2Chost%3D~%22w.*%22%7D",
    ] {
        let series = grafana.form("/api/v1/series", &format!("match%5B%5D={selector}&{window}"));
        let count = series["data"].as_array().unwrap().len();
        assert_eq!(count, if selector == "up" { 0 } else { 2 }, "{selector}");
    }
    let many: Vec<String> = (0..3000).map(|number| format!("metric_{number}")).collect();
    let selector = format!("match%5B%5D=%7B__name__%3D~%22{}%22%7D&{window}", many.join("%7C"));
    assert_eq!(grafana.form("/api/v1/labels", &selector)["data"], json!([]));
    // P-24, P-25, P-40 to P-42
    assert_eq!(grafana.get("/api/v1/metadata?limit=40000")["data"], json!({}));
    assert_eq!(grafana.get("/api/v1/rules")["data"], json!({"groups": []}));
    assert_eq!(grafana.get("/api/v1/alerts")["data"], json!({"alerts": []}));
    // P-26: the suggestions of scopes may come as POST without a body.
    let path = "/api/v1/label/host/values?match%5B%5D=%7B%22cpu.usage%22%7D&limit=5";
    assert_eq!(grafana.form(path, "")["data"], json!(["web01", "web02"]));
    // P-27: a search API that is not there makes Grafana go on without it.
    let (_, body) = grafana.send("GET", "/api/v1/search/metric_names?limit=5", "text/plain", "");
    let refusal: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(refusal["errorType"], "unavailable");
    // P-30: what does not exist is 404 without HTML.
    let (status, body) = grafana.send("GET", "/api/v1/nothing", "text/plain", "");
    assert!(status == 404 && !body.contains("<html"), "{status} {body}");
}

/// An OTLP request of one of each kind that remote write could bring: a native histogram, a classic one
/// with exemplars, metadata, a name in dots, and instants as values.
fn fill(grafana: &Grafana) {
    let at = |minute: i64| format!("{}000000000", NOW_S - 600 + minute * 60);
    let trace = "0102030405060708090a0b0c0d0e0f10";
    let exponential: Vec<Value> = (0..10)
        .map(|minute| {
            json!({"timeUnixNano": at(minute), "count": 3 + minute, "sum": 2.5, "scale": 0,
                "zeroCount": 1, "positive": {"offset": 0, "bucketCounts": [2 + minute]}})
        })
        .collect();
    let classic: Vec<Value> = (0..10)
        .map(|minute| {
            json!({"timeUnixNano": at(minute), "count": 4 * minute, "sum": 1.5,
                "bucketCounts": [minute, 2 * minute, minute], "explicitBounds": [0.5, 1.0],
                "exemplars": [{"timeUnixNano": at(minute), "asDouble": 0.75, "traceId": trace}]})
        })
        .collect();
    let deployed = json!({"timeUnixNano": at(3), "asDouble": 1_435_781_451_781i64});
    let body = json!({"resourceMetrics": [{
        "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "shop"}}]},
        "scopeMetrics": [{"metrics": [
            {"name": "size", "description": "How large.",
                "exponentialHistogram": {"aggregationTemporality": 2, "dataPoints": exponential}},
            {"name": "latency", "unit": "s", "description": "How long.",
                "histogram": {"aggregationTemporality": 2, "dataPoints": classic}},
            {"name": "deployed", "gauge": {"dataPoints": [deployed]}},
        ]}],
    }]});
    assert_eq!(grafana.json("/api/v1/otlp/v1/metrics", &body).0, 200);
}

/// Rows about histograms, exemplars, metadata, annotations, variables.
pub(super) fn kinds(grafana: &Grafana) {
    fill(grafana);
    let (start, end) = (NOW_S - 600, NOW_S - 60);
    let range = |query: &str, start: i64| {
        let body = format!("query={query}&start={start}&end={end}&step=60");
        grafana.form("/api/v1/query_range", &body)["data"]["result"].clone()
    };
    // P-09: four items a bucket, of which the first is a small integer.
    let native = range("size", start);
    let (at, histogram) = (&native[0]["histograms"][0][0], &native[0]["histograms"][0][1]);
    assert_eq!((at, native[0]["values"].is_null()), (&json!(start), true));
    assert_eq!(histogram["count"], "3");
    let buckets = json!([[3, "-1e-128", "1e-128", "1"], [0, "1", "2", "2"]]);
    assert_eq!(histogram["buckets"], buckets);
    // P-10: all buckets of a group have the same instants, and their numbers add up.
    let heatmap = range("latency_seconds_bucket", start + 60);
    let series: Vec<&Value> = heatmap.as_array().unwrap().iter().collect();
    assert_eq!(series.len(), 3);
    for (bound, count) in [("0.5", "1"), ("1", "3"), ("+Inf", "4")] {
        let one = series.iter().find(|one| one["metric"]["le"] == bound).unwrap();
        assert_eq!(one["values"][0], json!([start + 60, count]));
        assert_eq!(one["values"].as_array().unwrap().len(), 9);
    }
    // P-11: nothing but labels, value and timestamp in an exemplar.
    let body = format!("query=latency_seconds_bucket&start={start}&end={end}");
    let exemplars = grafana.form("/api/v1/query_exemplars", &body);
    let first = &exemplars["data"][0];
    assert_eq!(first["seriesLabels"]["__name__"], "latency_seconds_bucket");
    let trace = json!({"trace_id": "0102030405060708090a0b0c0d0e0f10"});
    let wanted = json!({"labels": trace, "value": "0.75", "timestamp": start});
    assert_eq!(first["exemplars"][0], wanted);
    // P-13: a value that is an instant in milliseconds keeps all its digits.
    let events = range("deployed", start);
    assert_eq!(events[0]["values"][0][1], "1435781451781");
    // P-14: of two ranges that overlap the later one continues the earlier.
    let (whole, later) =
        (range("latency_seconds_sum", start), range("latency_seconds_sum", end - 120));
    assert_eq!(whole[0]["metric"], later[0]["metric"]);
    let tail = &whole[0]["values"].as_array().unwrap()[7..];
    assert_eq!(json!(tail), later[0]["values"]);
    // P-24, P-31
    let metadata = grafana.get("/api/v1/metadata?limit=40000");
    let size = json!([{"type": "histogram", "help": "How large.", "unit": ""}]);
    assert_eq!(metadata["data"]["size"], size);
    let one = grafana.get("/api/v1/metadata?metric=latency_seconds");
    assert_eq!(one["data"]["latency_seconds"][0]["unit"], "seconds");
    assert_eq!(one["data"].as_object().unwrap().len(), 1);
    selectors(grafana);
    // P-28: a variable of results, and the order of its labels.
    let body = format!("query=deployed&time={}", NOW_S - 400);
    let (_, text) =
        grafana.send("POST", "/api/v1/query", "application/x-www-form-urlencoded", &body);
    assert!(text.contains("{\"__name__\":\"deployed\",\"job\":\"shop\"}"), "{text}");
}

/// P-22, P-23, P-29: every shape of selector that Grafana sends.
fn selectors(grafana: &Grafana) {
    let window = format!("start={}&end={NOW_S}&limit=0", NOW_S - 3600);
    for (selector, count) in [
        ("size", 1),
        ("size{job=\"shop\"}", 1),
        ("{__name__=\"size\",job=~\"sh.*\"}", 1),
        ("{__name__=~\".*lat.*\"}", 5),
        ("{__name__=~\"(?i).*SIZE.*\"}", 1),
        ("{__name__=~\"size|deployed|nothing\"}", 2),
        ("{job=~\"(shop|b)\"}", 7),
        ("{\"cpu.usage\",\"host\"=\"web01\"}", 1),
        ("{\"region\"!=\"\"}", 2),
        ("{__name__!=\"\"}", 9),
        ("size,job!=\"\"", 0),
    ] {
        let encoded: String =
            selector.bytes().map(|byte| format!("%{byte:02X}")).collect::<Vec<_>>().concat();
        let body = format!("match%5B%5D={encoded}&{window}");
        let (status, text) =
            grafana.send("POST", "/api/v1/series", "application/x-www-form-urlencoded", &body);
        let found: Value = serde_json::from_str(&text).unwrap();
        let is_selector = count > 0;
        assert_eq!(status, if is_selector { 200 } else { 400 }, "{selector}: {text}");
        let series = found["data"].as_array().map_or(0, Vec::len);
        assert_eq!(series, count, "{selector}: {text}");
    }
}

/// P-40 to P-44.
pub(super) fn alerting(grafana: &Grafana) {
    let query =
        "exclude_alerts=true&group_limit=100&group_next_token=&type=&file%5B%5D=f&group%5B%5D=g";
    let rules = grafana.get(&format!("/api/v1/rules?{query}"));
    assert_eq!(rules["data"], json!({"groups": []}));
    let (status, body) = grafana.send("GET", "/rules/test/test", "text/plain", "");
    assert!(status == 404 && !body.contains("<html"), "{status} {body}");
    // P-44: both addresses take remote write; an empty message is one.
    for path in ["/api/v1/write", "/api/v1/push"] {
        let (status, body) = grafana.send("POST", path, "application/x-protobuf", "\0");
        assert_eq!(status, 204, "{path}: {body}");
    }
}
