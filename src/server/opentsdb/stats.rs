//! The program's figures under the original's names, where there is something that they count.

use axum::extract::Request;
use axum::http::Method;
use serde_json::{Value, json};

use super::body;
use super::dispatch::allow;
use super::reply::{Refusal, Reply};
use super::uids::UidKind;
use crate::state::State;
use model::TenantId;

/// A figure: name without `tsd.`, value, tags beside `host`.
type Figure = (&'static str, i64, Vec<(&'static str, &'static str)>);

/// What `host` says: the listener does not know its own name.
const HOST: &str = "localhost";

fn figures(state: &State) -> Vec<Figure> {
    let metrics = &state.metrics;
    let ingested = |protocol: &str| metrics.ingested_samples.with(protocol).get() as i64;
    let failed = |reason: &str| metrics.query_failures.with(reason).get() as i64;
    let asked = metrics.queries.with("opentsdb").get() as i64;
    let mut figures: Vec<Figure> = vec![
        ("connectionmgr.connections", metrics.connections.get(), vec![("type", "open")]),
        ("datapoints.added", ingested("telnet"), vec![("type", "telnet")]),
        ("datapoints.added", ingested("http_put"), vec![("type", "http")]),
        ("rpc.received", ingested("telnet"), vec![("type", "put")]),
        ("http.query.success", asked, vec![]),
        ("http.query.invalid_requests", failed("invalid"), vec![]),
        ("http.query.exceptions", failed("other"), vec![]),
        ("jvm.ramused", resident_bytes(), vec![]),
    ];
    let space = state.uids.of(TenantId::DEFAULT);
    for kind in UidKind::ALL {
        let tags = vec![("kind", kind.plural())];
        figures.push(("uid.ids-used", space.count(kind) as i64, tags.clone()));
        figures.push(("uid.cache-size", space.count(kind) as i64, tags));
    }
    figures
}

/// Bytes of memory of the process; 0 where the system does not say.
fn resident_bytes() -> i64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<i64>().ok());
    kib.unwrap_or_default() * 1024
}

/// The figures as lines.
pub(super) fn lines(state: &State) -> Vec<String> {
    let now = state.now_ms() / 1000;
    let line = |(name, value, tags): Figure| {
        let tags: String = tags.iter().map(|(key, value)| format!("{key}={value} ")).collect();
        format!("tsd.{name} {now} {value} {tags}host={HOST}")
    };
    figures(state).into_iter().map(line).collect()
}

/// `/api/stats` and what lies below.
pub(super) fn stats(state: &State, request: &Request, rest: &[&str]) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET, Method::POST])?;
    Ok(body::json(&match rest {
        [] => all(state),
        ["jvm", ..] => jvm(state),
        // Nothing is written down about queries that are over.
        ["query", ..] => json!({"completed": [], "running": []}),
        ["threads", ..] => threads(),
        ["region_clients", ..] => json!([region_client()]),
        _ => return Err(Refusal::no_endpoint()),
    }))
}

fn all(state: &State) -> Value {
    let now = state.now_ms() / 1000;
    let item = |(name, value, tags): Figure| {
        let host = std::iter::once(("host", HOST));
        let tags = tags.into_iter().chain(host);
        let tags: body::Object =
            tags.map(|(key, value)| (key.to_owned(), Value::from(value))).collect();
        json!({
            "metric": format!("tsd.{name}"),
            "timestamp": now,
            "value": value.to_string(),
            "tags": tags,
        })
    };
    Value::Array(figures(state).into_iter().map(item).collect())
}

/// There is no virtual machine; what one would say about the process is said.
fn jvm(state: &State) -> Value {
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().and_then(|text| text.parse::<f64>().ok());
    json!({
        "os": {"systemLoadAverage": load.unwrap_or(-1.0)},
        "gc": {},
        "runtime": {
            "startTime": state.started_ms,
            "uptime": state.now_ms() - state.started_ms,
            "vmName": "tributary",
            "vmVersion": env!("CARGO_PKG_VERSION"),
        },
        "pools": {},
        "memory": {
            "heapMemoryUsage": {"used": resident_bytes()},
            "nonHeapMemoryUsage": {"used": 0},
            "objectsPendingFinalization": 0,
        },
    })
}

/// The one store there is lies in this program: nothing is ever on its way to it.
fn region_client() -> Value {
    json!({
        "rpcsSent": 0,
        "rpcsInFlight": 0,
        "pendingRPCs": 0,
        "pendingBatchedRPCs": 0,
        "dead": false,
        "rpcid": 0,
        "rpcsTimedout": 0,
        "rpcResponsesTimedout": 0,
        "rpcResponsesUnknown": 0,
        "inflightBreached": 0,
        "pendingBreached": 0,
        "writesBlocked": 0,
        "endpoint": "local",
    })
}

fn threads() -> Value {
    let tasks = std::fs::read_dir("/proc/self/task").into_iter().flatten().flatten();
    let thread = |task: std::fs::DirEntry| {
        let id: u64 = task.file_name().to_str()?.parse().ok()?;
        let stat = std::fs::read_to_string(task.path().join("stat")).ok()?;
        let (name, rest) = stat.split_once('(')?.1.rsplit_once(')')?;
        let state = if rest.trim_start().starts_with('R') { "RUNNABLE" } else { "WAITING" };
        Some(json!({
            "threadID": id,
            "name": name,
            "state": state,
            "interrupted": false,
            "priority": 5,
            "stack": [],
        }))
    };
    Value::Array(tasks.filter_map(thread).collect())
}
