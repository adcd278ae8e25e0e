//! Recorded answers of OpenTSDB, replayed against a running server, and its recorded functions against
//! ours.
//!
//! Every end-to-end vector gets an empty store and its own listener. Results are
//! compared without their order where the original's is that of the numbers of names (UIDs). `opentsdb/known_failures.txt` lists the vectors that are not
//! answered alike; it may only shrink: an unlisted failure fails the suite, and so does a line that
//! excuses nothing.

mod across;
mod arithmetic;
mod client;
mod compare;
mod functions;
mod model;
mod series;
pub(crate) mod server;
mod special;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::vectors;
use client::{http, telnet};
use server::Server;

/// Files of end-to-end cases.
const FILES: [&str; 21] = [
    "annotation",
    "exp",
    "gexp",
    "histogram",
    "last",
    "misc",
    "put_http",
    "query_aggregate",
    "query_calendar",
    "query_downsample",
    "query_error",
    "query_filter",
    "query_numbers",
    "query_rate_range",
    "query_shape",
    "query_tsuid",
    "rollup",
    "search",
    "suggest",
    "telnet",
    "uid",
];

/// Files that are no end-to-end cases.
const OTHERS: [&str; 2] = ["datasets", "unit"];

/// Settings of the original that say what this server does anyway.
const SETTINGS: [&str; 8] = [
    "tsd.rollups.enable",
    "tsd.core.tree.enable_processing",
    "tsd.storage.fix_duplicates",
    "tsd.storage.enable_appends",
    "tsd.core.meta.enable_realtime_ts",
    "tsd.core.meta.enable_realtime_uid",
    "tsd.core.meta.enable_tsuid_tracking",
    "tsd.core.meta.enable_tsuid_incrementing",
];

/// What became of a vector.
#[derive(Clone, Debug, PartialEq)]
enum Outcome {
    Passed,
    /// Equal but for the order of the results.
    Unordered,
    Failed(String),
    /// Not a question that can be asked here.
    Skipped,
}

#[derive(Default)]
struct Report {
    /// File to passed, passed without order, failed, skipped.
    counts: BTreeMap<String, [usize; 4]>,
    failures: BTreeMap<String, String>,
    passed: BTreeSet<String>,
}

impl Report {
    fn add(&mut self, file: &str, id: &str, outcome: Outcome) {
        let counts = self.counts.entry(file.to_owned()).or_default();
        let id = format!("{file}/{id}");
        match outcome {
            Outcome::Passed => {
                counts[0] += 1;
                self.passed.insert(id);
            }
            Outcome::Unordered => {
                counts[1] += 1;
                println!("opentsdb {id}: in another order");
                self.passed.insert(id);
            }
            Outcome::Failed(why) => {
                counts[2] += 1;
                self.failures.insert(id, why);
            }
            Outcome::Skipped => counts[3] += 1,
        }
    }

    /// Prints the counts; panics on failures that are not listed and on lines that excuse nothing.
    fn finish(self) {
        for (file, [passed, unordered, failed, skipped]) in &self.counts {
            println!(
                "opentsdb {file:18} {passed:4} passed {unordered:4} but for their order {failed:4} \
                 failed {skipped:4} skipped"
            );
        }
        let listed: BTreeSet<&str> = include_str!("opentsdb/known_failures.txt")
            .lines()
            .map(|line| line.split_once('#').map_or(line, |(before, _)| before).trim())
            .filter(|line| !line.is_empty())
            .collect();
        let unlisted = self.failures.iter().filter(|(id, _)| !listed.contains(id.as_str()));
        let unlisted: Vec<String> = unlisted.map(|(id, why)| format!("{id}: {why}")).collect();
        let stale: Vec<_> = listed.iter().filter(|id| self.passed.contains(**id)).collect();
        let count = unlisted.len();
        assert!(count == 0, "{count} unlisted failures:\n{}", unlisted.join("\n"));
        assert!(stale.is_empty(), "listed, but passing: {stale:?}");
    }
}

fn load(name: &str) -> Option<Value> {
    let text =
        std::fs::read_to_string(vectors::root().join(format!("opentsdb/{name}.json"))).ok()?;
    Some(serde_json::from_str(&text).unwrap())
}

fn array<'v>(value: &'v Value, key: &str) -> &'v [Value] {
    value[key].as_array().map(Vec::as_slice).unwrap_or_default()
}

fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or_default()
}

/// A file of cases that no suite replays would be a check that is not made.
#[test]
fn opentsdb_replays_every_file() {
    for path in vectors::files("opentsdb", "json", FILES.len() + OTHERS.len()) {
        let name = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(FILES.iter().chain(&OTHERS).any(|known| *known == name), "{name} is not replayed");
    }
}

/// Runs all end-to-end vectors.
#[test]
fn opentsdb_answers_as_recorded() {
    let Some(datasets) = load("datasets") else {
        println!("opentsdb: {} files absent", FILES.len() + OTHERS.len());
        return;
    };
    let only = std::env::var("TRIBUTARY_ONLY").unwrap_or_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let mut report = Report::default();
    for file in FILES {
        let Some(document) = load(file) else {
            println!("opentsdb: {file} absent");
            continue;
        };
        for vector in array(&document, "vectors") {
            let id = text(vector, "id");
            if !format!("{file}/{id}").contains(&only) {
                continue;
            }
            report.add(file, id, play(vector, &datasets, &runtime));
        }
    }
    report.finish();
}

fn play(vector: &Value, datasets: &Value, runtime: &tokio::runtime::Runtime) -> Outcome {
    let config = vector["config"].as_object().unwrap();
    let Some(settings) = settings(config) else { return Outcome::Skipped };
    let server = Server::start(runtime, settings);
    let names: Vec<&str> = match &vector["dataset"] {
        Value::String(name) => vec![name],
        Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
        _ => vec![],
    };
    for name in names {
        client::load(server.address(), &datasets[name]);
    }
    let mut outcome = Outcome::Passed;
    for (index, step) in array(vector, "steps").iter().enumerate() {
        let result = match step.get("telnet") {
            Some(_) => play_telnet(&server, step),
            None => play_http(&server, vector, step),
        };
        match result {
            Outcome::Passed => {}
            Outcome::Failed(why) => return Outcome::Failed(format!("step {index}: {why}")),
            other => outcome = other,
        }
    }
    outcome
}

/// What this server is told for the original's settings; `None` where it has no such setting.
fn settings(config: &serde_json::Map<String, Value>) -> Option<::server::Settings> {
    let mut settings = ::server::Settings::default();
    for (name, value) in config {
        let (is_true, text) = (value == "true", value.as_str().unwrap_or_default());
        match name.as_str() {
            "tsd.core.auto_create_metrics" => settings.opentsdb.auto_create_metrics = is_true,
            "tsd.http.query.allow_delete" => settings.opentsdb.allow_delete = is_true,
            "tsd.http.request.cors_domains" => settings.opentsdb.cors_domains = text.to_owned(),
            "tsd.query.skip_unresolved_tagvs" => settings.opentsdb.skip_unresolved_tagvs = is_true,
            "tsd.rollups.config" => {
                settings.opentsdb.rollups = ::server::opentsdb::RollupConfig::parse(text).ok();
            }
            "tsd.core.histograms.config" => settings.opentsdb.histograms = !text.is_empty(),
            name if SETTINGS.contains(&name) => {}
            _ => return None,
        }
    }
    Some(settings)
}

fn play_telnet(server: &Server, step: &Value) -> Outcome {
    let lines: Vec<&str> = array(step, "telnet").iter().filter_map(Value::as_str).collect();
    let (reply, closed) = telnet(server.address(), &lines);
    let expect = &step["expect"];
    let want = without_version(text(expect, "reply"));
    let got = without_version(&reply);
    if got != want || closed != expect["closed"].as_bool().unwrap_or(false) {
        return Outcome::Failed(format!("want {want:?}, got {got:?}, closed {closed}"));
    }
    Outcome::Passed
}

/// The two lines in which a program says who built it.
fn without_version(text: &str) -> String {
    let is_version =
        |line: &&str| line.starts_with("net.opentsdb ") || line.starts_with("Built on ");
    let lines = text.split('\n').map(|line| if is_version(&line) { "(version)" } else { line });
    lines.collect::<Vec<_>>().join("\n")
}

fn play_http(server: &Server, vector: &Value, step: &Value) -> Outcome {
    let request = &step["http"];
    let answer = http(server.address(), request);
    let mask: Vec<&str> = array(vector, "mask").iter().filter_map(Value::as_str).collect();
    compare::check(&step["expect"], &answer, &mask)
}

/// Both ports answer; below `/api/v1` the shared one is Prometheus's.
#[test]
fn opentsdb_leaves_prometheus_its_paths() {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    let server = Server::start(&runtime, ::server::Settings::default());
    let get = |port, uri: &str| http(port, &serde_json::json!({"method": "GET", "uri": uri}));
    let (own, shared) = (server.address(), server.shared());
    for uri in ["/api/aggregators", "/api/v1/aggregators", "/API/aggregators/", "/api/version"] {
        assert_eq!(get(own, uri).status, 200, "{uri}");
    }
    assert_eq!(get(own, "/api/v2/aggregators").status, 501);
    for (uri, status) in [
        ("/api/aggregators", 200),
        ("/api/suggest?type=metrics", 200),
        ("/api/v1/aggregators", 404),
        ("/api/v1/labels", 200),
        ("/api/nothing", 404),
    ] {
        assert_eq!(get(shared, uri).status, status, "{uri}");
    }
    assert!(get(shared, "/api/v1/query?query=1").body.contains("\"resultType\":\"scalar\""));
}

/// Runs the function-level vectors that have a counterpart.
#[test]
fn opentsdb_functions_answer_as_recorded() {
    let Some(document) = load("unit") else {
        println!("opentsdb: unit absent");
        return;
    };
    let mut report = Report::default();
    for vector in array(&document, "vectors") {
        let operation = text(&vector["op"], "op");
        let outcome = functions::run(operation, vector);
        report.add(&format!("unit {operation}"), text(vector, "id"), outcome);
    }
    report.finish();
}
