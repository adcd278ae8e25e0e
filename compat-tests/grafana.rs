//! What Grafana's stock data sources send and read: one check per row of the contract, against a running
//! server with all three APIs on one port.
//!
//! Rows whose subject does not exist here (the search API, rules) are checked for the answer that Grafana
//! accepts in its place.

mod graphite;
mod opentsdb;
mod prometheus;

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
        prometheus::queries(grafana);
        prometheus::discovery(grafana);
        prometheus::alerting(grafana);
        opentsdb::all(grafana);
        graphite::check(grafana);
        // Last: it adds series.
        prometheus::kinds(grafana);
    });
}
