//! One store behind all protocols: what one of them wrote, the others find and read.

use std::io::Write as _;
use std::net::TcpStream;

use serde_json::{Value, json};

use super::decode;
use super::http::send;
use crate::opentsdb::server::Server;

/// An answer of the shared port as JSON.
fn ask(server: &Server, path: &str, params: Value) -> Value {
    let answer = send(server.shared(), &json!({"method": "GET", "path": path, "params": params}));
    assert_eq!(answer.status, 200, "{path}: {}", answer.text());
    decode::json(&answer.text()).unwrap()
}

fn post(server: &Server, path: &str, body: &str) {
    let request = json!({"method": "POST", "path": path, "params": [], "body": body, "content_type": "text/plain"});
    let answer = send(server.shared(), &request);
    assert!(answer.status < 300, "{path}: {} {}", answer.status, answer.text());
}

/// Writes one series by each protocol, and waits for the one without an answer.
fn write(server: &Server, at: i64) {
    let mut carbon = TcpStream::connect(server.carbon()).unwrap();
    write!(carbon, "servers.a.load 1.5 {at}\nload;dc=x 2.5 {at}\n").unwrap();
    drop(carbon);
    let point =
        json!([{"metric": "sys.cpu", "timestamp": at, "value": 3, "tags": {"host": "web1"}}]);
    post(server, "/api/put", &point.to_string());
    post(server, "/api/v1/import/prometheus", &format!("up{{job=\"api\"}} 4 {}\n", at * 1000));
    let found = || ask(server, "/tags/findSeries", json!([["expr", "dc=x"]]));
    let seen = (0..1000).any(|_| {
        let seen = found() == json!(["load;dc=x"]);
        if !seen {
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        seen
    });
    assert!(seen, "carbon's lines do not arrive");
}

#[test]
fn what_one_protocol_wrote_the_others_read() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&runtime, ::server::Settings::default());
    let at = jiff::Timestamp::now().as_second() / 60 * 60 - 120;
    write(&server, at);
    graphite(&server, at);
    // PromQL
    for (query, value) in [
        ("{\"servers.a.load\"}", "1.5"),
        ("load{dc=\"x\"}", "2.5"),
        ("{\"sys.cpu\",host=\"web1\"}", "3"),
        ("up{job=\"api\"}", "4"),
    ] {
        let params = json!([["query", query], ["time", at.to_string()]]);
        let answer = ask(&server, "/api/v1/query", params);
        assert_eq!(answer["data"]["result"][0]["value"][1], value, "{query}: {answer}");
    }
    // OpenTSDB
    for (query, value) in [
        ("sum:servers.a.load", 1.5),
        ("sum:load{dc=x}", 2.5),
        ("sum:sys.cpu{host=*}", 3.0),
        ("sum:up{job=api}", 4.0),
    ] {
        let (start, end) = ((at - 60).to_string(), (at + 60).to_string());
        let answer =
            ask(&server, "/api/query", json!([["start", start], ["end", end], ["m", query]]));
        let points = answer[0]["dps"].as_object().unwrap();
        let values: Vec<Option<f64>> = points.values().map(Value::as_f64).collect();
        assert_eq!(values, [Some(value)], "{query}: {answer}");
    }
    let suggested = ask(&server, "/api/suggest", json!([["type", "metrics"], ["q", "s"]]));
    assert_eq!(suggested, json!(["servers.a.load", "sys.cpu"]));
}

fn graphite(server: &Server, at: i64) {
    for (target, name, value) in [
        ("servers.*.load", "servers.a.load", 1.5),
        ("seriesByTag('dc=x')", "load;dc=x", 2.5),
        ("load;dc=x", "load;dc=x", 2.5),
        ("seriesByTag('name=sys.cpu','host=~web')", "sys.cpu;host=web1", 3.0),
        ("sys.*", "sys.cpu;host=web1", 3.0),
        ("seriesByTag('job=api')", "up;job=api", 4.0),
        ("{up,down}", "up;job=api", 4.0),
    ] {
        let (from, until) = ((at - 60).to_string(), (at + 60).to_string());
        let params =
            json!([["target", target], ["from", from], ["until", until], ["format", "json"]]);
        let answer = ask(server, "/render", params);
        let row = &answer[0];
        assert_eq!(
            (answer.as_array().unwrap().len(), &row["target"]),
            (1, &json!(name)),
            "{target}"
        );
        let point = row["datapoints"].as_array().unwrap().iter().find(|point| point[1] == at);
        assert_eq!(point.map(|point| &point[0]), Some(&json!(value)), "{target}: {answer}");
    }
    for (query, leaf) in [("up", 1), ("sys.cpu", 1), ("sys", 0), ("load", 1), ("servers.a.*", 1)] {
        let found = ask(server, "/metrics/find", json!([["query", query]]));
        assert_eq!(found[0]["leaf"], leaf, "{query}: {found}");
    }
}
