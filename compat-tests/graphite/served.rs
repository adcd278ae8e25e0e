//! Whole HTTP exchanges, replayed against a listening server: one store for each group, as they were
//! recorded.
//!
//! Any refusal counts for a recorded one: the original answers 500 to much that is the caller's fault.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use lang::graphite::StepRules;
use model::{Appender as _, TenantId};
use serde_json::{Map, Value, json};
use tokio::runtime::Runtime;

use super::http::{Answer, send};
use super::{Outcome, close, decode, evaluate, number, text};
use crate::opentsdb::server::Server;

/// A server for each group.
pub(super) struct Sessions<'v> {
    document: &'v Value,
    servers: BTreeMap<String, Server>,
    runtime: Runtime,
}

impl<'v> Sessions<'v> {
    pub(super) fn new(document: &'v Value) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
        Self { document, servers: BTreeMap::new(), runtime }
    }

    /// Sends the vector's request to the server of its group.
    pub(super) fn play(&mut self, vector: &Value) -> Outcome {
        let group = text(vector, "group");
        if !self.servers.contains_key(group) {
            let server = self.start(group);
            self.servers.insert(group.to_owned(), server);
        }
        let answer = send(self.servers[group].shared(), &vector["request"]);
        check(vector, &answer)
    }

    fn start(&self, group: &str) -> Server {
        let datasets = &self.document["datasets"];
        let mut settings = server::Settings::default();
        let mut series = Vec::new();
        match group {
            "render" => {
                for dataset in ["main", "http_extra"] {
                    series.extend(datasets[dataset].as_array().unwrap().iter().cloned());
                }
                let schemas = evaluate::schemas(&series);
                settings.graphite.steps = StepRules::parse(&schemas, 60_000).unwrap();
            }
            "find" => {
                let names = datasets["find_names"].as_array().unwrap().iter();
                let now = jiff::Timestamp::now().as_second() / 60 * 60;
                series.extend(
                    names.map(
                        |name| json!({"name": name, "start": now, "step": 60, "values": [1.0]}),
                    ),
                );
            }
            _ => {}
        }
        let server = Server::start(&self.runtime, settings);
        let mut batch = server.engine().batch(TenantId::DEFAULT);
        for series in &series {
            let (series, samples) = evaluate::stored(series);
            batch.begin_row();
            batch.set_labels(series.view());
            samples.iter().for_each(|(at_ms, value)| batch.push_float(*at_ms, *value));
        }
        self.runtime.block_on(server.engine().append(batch)).unwrap();
        if group == "render" {
            self.post_events(server.shared());
        }
        server
    }

    /// What targets with `events()` were recorded over.
    fn post_events(&self, address: SocketAddr) {
        let vectors = self.document["vectors"].as_array().unwrap().iter();
        let posts = vectors.filter(|vector| {
            text(vector, "group") == "events" && vector["request"]["method"] == "POST"
        });
        posts.for_each(|vector| drop(send(address, &vector["request"])));
    }
}

fn check(vector: &Value, answer: &Answer) -> Outcome {
    match difference(vector, answer) {
        None => Outcome::Passed,
        Some(why) => Outcome::Failed(why),
    }
}

/// What differs, in words.
fn difference(vector: &Value, answer: &Answer) -> Option<String> {
    let expect = &vector["expect"];
    let status = expect["status"].as_u64().unwrap();
    // The original answers what it understands of a target; here all of it is understood or nothing.
    if answer.status == 400 && answer.text().contains("cannot parse target") {
        return None;
    }
    // 0 points is no number of points; the original divides by it.
    if vector["request"]["params"].as_array().unwrap().contains(&json!(["maxDataPoints", "0"])) {
        return (answer.status != 200).then(|| format!("status {}", answer.status));
    }
    if status >= 400 {
        let is_same =
            if status == 405 { answer.status == 405 } else { (400..501).contains(&answer.status) };
        return (!is_same)
            .then(|| format!("status: want {status}, got {}: {}", answer.status, answer.text()));
    }
    if answer.status != status {
        return Some(format!("status: want {status}, got {}: {}", answer.status, answer.text()));
    }
    headers(expect, vector, answer).or_else(|| body(vector, answer))
}

fn headers(expect: &Value, vector: &Value, answer: &Answer) -> Option<String> {
    let media = |text: &str| text.split(';').next().unwrap_or_default().to_owned();
    let is_typed = expect["body"] != "" && text(vector, "group") != "misc";
    let (want, got) = (media(text(expect, "content_type")), media(answer.header("content-type")));
    if is_typed && want != got {
        return Some(format!("content type: want {want}, got {got}"));
    }
    let sorted = |text: &str| {
        let mut parts: Vec<&str> = text.split(", ").collect();
        parts.sort_unstable();
        parts.join(", ")
    };
    for (key, header) in [("cache_control", "cache-control"), ("pragma", "pragma")] {
        let (want, got) = (sorted(text(expect, key)), sorted(answer.header(header)));
        if !want.is_empty() && want != got {
            return Some(format!("{header}: want {want}, got {got}"));
        }
    }
    None
}

fn body(vector: &Value, answer: &Answer) -> Option<String> {
    let (expect, group) = (&vector["expect"], text(vector, "group"));
    if let Some(kind) = expect["body_kind"].as_str() {
        let is_picture = answer.body.starts_with(b"\x89PNG") || answer.body.starts_with(b"<svg");
        let wrong =
            kind == "binary" && text(expect, "content_type").starts_with("image") && !is_picture;
        return wrong.then(|| format!("not a picture: {}", answer.text()));
    }
    let packed: [(&str, fn(&[u8]) -> Value); 2] =
        [("pickle_decoded", decode::pickle), ("msgpack_decoded", decode::msgpack)];
    for (key, decode) in packed {
        if let Some(want) = expect.get(key) {
            return differs(&plain(want, group), &plain(&decode(&answer.body), group), key);
        }
    }
    let got = answer.text();
    let want = ["json", "body_json"].into_iter().find_map(|key| expect.get(key).cloned());
    let want = want.map(Ok).or_else(|| {
        let body = text(expect, "body");
        let is_json = body.starts_with(['[', '{']) || body.starts_with("cb(");
        (is_json && !text(expect, "content_type").contains("csv")).then(|| decode::json(body))
    });
    match want {
        Some(want) => match (want, decode::json(&got)) {
            (Ok(want), Ok(got)) => differs(&plain(&want, group), &plain(&got, group), "json"),
            (want, got) => Some(format!("{want:?} / {got:?}")),
        },
        None if group == "misc" => (!got.starts_with("1.")).then(|| format!("no version: {got}")),
        None => texts(text(expect, "body"), &got),
    }
}

/// Without what every database numbers in its own way, descriptions and times of files.
fn plain(value: &Value, group: &str) -> Value {
    match value {
        Value::Object(map) => {
            let is_told = |key: &str| key != "description" && (group == "find" || key != "id");
            let mut kept = Map::new();
            for (key, value) in map.iter().filter(|(key, _)| is_told(key)) {
                let value = match key.as_str() {
                    "intervals" => "(intervals)".into(),
                    // Equal names come in any order from the original.
                    "metrics" => by_name(plain(value, group)),
                    _ => plain(value, group),
                };
                kept.insert(key.clone(), value);
            }
            Value::Object(kept)
        }
        Value::Array(list) => list.iter().map(|item| plain(item, group)).collect(),
        other => other.clone(),
    }
}

fn by_name(mut metrics: Value) -> Value {
    if let Some(list) = metrics.as_array_mut() {
        let key = |item: &Value| {
            let path = text(item, "path").trim_end_matches('.').to_owned();
            let is_rest = item.get("path").is_none();
            (is_rest, text(item, "name").to_owned(), path, text(item, "is_leaf").to_owned())
        };
        list.sort_by_key(key);
    }
    metrics
}

/// Equal but for the last digits of numbers; `NaN` is null.
fn differs(want: &Value, got: &Value, at: &str) -> Option<String> {
    let absent = |value: &Value| value.is_null() || *value == "NaN";
    let both = (number(want), number(got));
    let is_same = match (want, got) {
        (Value::Object(want), Value::Object(got)) if want.len() == got.len() => {
            return want.iter().find_map(|(key, want)| match got.get(key) {
                Some(got) => differs(want, got, &format!("{at}.{key}")),
                None => Some(format!("{at}: no {key}")),
            });
        }
        (Value::Array(want), Value::Array(got)) if want.len() == got.len() => {
            let mut pairs = want.iter().zip(got).enumerate();
            return pairs
                .find_map(|(index, (want, got))| differs(want, got, &format!("{at}[{index}]")));
        }
        _ if absent(want) => absent(got),
        _ => match both {
            (Some(want), Some(got)) => close(want, got),
            _ => want == got,
        },
    };
    (!is_same).then(|| format!("{at}: want {want}, got {got}"))
}

/// Texts field by field, numbers as numbers.
fn texts(want: &str, got: &str) -> Option<String> {
    let fields = |text: &str| {
        let pieces = text.split_inclusive([',', '|', '\r', '\n', '"']).flat_map(|piece| {
            let cut = piece.len() - usize::from(piece.ends_with([',', '|', '\r', '\n', '"']));
            [piece[..cut].to_owned(), piece[cut..].to_owned()]
        });
        pieces.collect::<Vec<String>>()
    };
    let same = |(want, got): (&String, &String)| match (want.parse::<f64>(), got.parse::<f64>()) {
        (Ok(want), Ok(got)) => close(want, got) || want.is_nan() && got.is_nan(),
        _ => want == got,
    };
    let (wanted, found) = (fields(want), fields(got));
    let is_same = wanted.len() == found.len() && wanted.iter().zip(&found).all(same);
    (!is_same).then(|| format!("text: want {want:?}, got {got:?}"))
}
