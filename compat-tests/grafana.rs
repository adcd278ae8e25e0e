//! What Grafana's stock data sources send and read: one check per row of the contract, against a running
//! server with all three APIs on one port.
//!
//! Rows whose subject does not exist yet (exemplars with content, native histograms, the search API,
//! metadata with content, and so on) are checked for the answer that Grafana accepts in its place, where there is one.

mod graphite;
mod opentsdb;

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;

use base::clock::ManualClock;
use base::metrics::Metrics;
use serde_json::{Value, json};
use server::state::{StoreFigures, StoreStatus};
use server::{Bound, Listeners, Settings, Shutdown, State};
use storage::{Engine, EngineOptions};

/// The server's "now", on a whole minute: 2023-11-14T22:14:00Z.
const NOW_S: i64 = 1_700_000_040;

struct NoFigures;

impl StoreStatus for NoFigures {
    fn status(&self) -> StoreFigures {
        StoreFigures::default()
    }
}

/// A client of one server.
struct Grafana(SocketAddr);

impl Grafana {
    fn send(&self, method: &str, path: &str, content_type: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(self.0).unwrap();
        // Headers that a browser and Grafana's proxy leave on the request.
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Type: {content_type}\r\n\
             Origin: http://grafana\r\nX-Dashboard-Id: 1\r\nX-Panel-Id: 2\r\nX-Panel-Plugin-Id: table\r\n\
             X-Grafana-User: a\r\nX-Grafana-Org-Id: 1\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
    }

    fn get(&self, path: &str) -> Value {
        let (status, body) = self.send("GET", path, "application/json", "");
        assert_eq!(status, 200, "{path}: {body}");
        serde_json::from_str(&body).unwrap_or(Value::String(body))
    }

    fn form(&self, path: &str, body: &str) -> Value {
        let (status, text) = self.send("POST", path, "application/x-www-form-urlencoded", body);
        assert_eq!(status, 200, "{path} {body}: {text}");
        serde_json::from_str(&text).unwrap()
    }

    fn json(&self, path: &str, body: &Value) -> (u16, Value) {
        let (status, text) = self.send("POST", path, "application/json", &body.to_string());
        (status, serde_json::from_str(&text).unwrap_or(Value::Null))
    }
}

/// A server with two hosts, sampled once a minute for ten minutes.
fn with_server(check: impl FnOnce(&Grafana)) {
    let folder = std::env::temp_dir().join(format!("tributary-grafana-{}", std::process::id()));
    let options = EngineOptions { background: false, ..EngineOptions::new(&folder) };
    let clock = Arc::new(ManualClock::new(NOW_S * 1000));
    let metrics = Arc::new(Metrics::default());
    let engine = Arc::new(Engine::open(options, clock.clone(), metrics.clone()).unwrap());
    let figures = Arc::new(NoFigures);
    let settings = Settings::default();
    let state = State::new(engine.clone(), engine.clone(), figures, metrics, clock, settings);
    let state = Arc::new(state.with_documents(engine.documents()));
    state.set_ready(true);
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let listeners = Listeners { http: Some("127.0.0.1:0".to_owned()), ..Listeners::default() };
    let bound = runtime.block_on(Bound::bind(&listeners)).unwrap();
    let grafana = Grafana(bound.addresses()[0].1);
    let (stop, shutdown) = Shutdown::channel();
    let serving = runtime.spawn(bound.serve(state, shutdown));
    let mut points = Vec::new();
    for minute in 0..10 {
        for (host, value) in [("web01", 10.5), ("web02", 20.5)] {
            let at = NOW_S - 600 + minute * 60;
            let value = value + minute as f64;
            points.push(json!({"metric": "cpu.usage", "timestamp": at, "value": value,
                "tags": {"host": host, "region": if host == "web01" { "eu" } else { "us" }}}));
        }
    }
    assert_eq!(grafana.json("/api/put", &json!(points)).0, 204);
    check(&grafana);
    stop.send(true).unwrap();
    runtime.block_on(serving).unwrap();
    engine.close().unwrap();
    std::fs::remove_dir_all(folder).unwrap();
}

#[test]
fn grafana_gets_what_it_reads() {
    with_server(|grafana| {
        prometheus_queries(grafana);
        prometheus_discovery(grafana);
        opentsdb::all(grafana);
        graphite::check(grafana);
    });
}

fn prometheus_queries(grafana: &Grafana) {
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

fn prometheus_discovery(grafana: &Grafana) {
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
    // P-27, P-30: what does not exist is 404 without HTML.
    let (status, body) = grafana.send("GET", "/api/v1/search/metric_names", "text/plain", "");
    assert!(status == 404 && !body.contains("<html"), "{status} {body}");
}
