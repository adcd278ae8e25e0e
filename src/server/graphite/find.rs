//! `/metrics/find`, `/metrics/expand`, `/metrics/index.json`.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::Response;
use model::{METRIC_NAME, SourceError, TenantId, TimeRange};
use wire::graphite::find as encode;
use wire::graphite::json::{Style, Writer};
use wire::graphite::pack::{MsgPack, Pickle};

use super::params::Params;
use super::reply::{failure, invalid, json, style, text, typed, uncached};
use super::tree;
use crate::run_query::run_lookup;
use crate::state::State;

/// Paths that the whole index may have before it is refused.
const INDEX_MAX: usize = 1_000_000;

/// Non-ASCII stays as it is for clients that ask for more than bare JSON.
fn find_style(params: &Params) -> Style {
    Style { ascii: !params.takes_utf8, ..style(params) }
}

/// `/metrics/find`
pub(super) async fn find(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let query = params.get("query").ok_or_else(|| invalid("Missing required parameter 'query'"))?;
    if query.is_empty() {
        return Err(invalid("Required parameter 'query' is empty"));
    }
    let (wildcards, leaves_only) = (params.flag("wildcards")?, params.flag("leavesOnly")?);
    let automatic_variants = params.flag("automatic_variants")?;
    params.flag("local")?;
    let position = params.integer("position")?;
    let position = position.map(|at| usize::try_from(at).map_err(|_| invalid("Invalid position")));
    let position = position.transpose()?;
    let now_s = params.now_s(state.now_ms())?;
    let range = range(&params, now_s)?;
    let format = params.get("format").unwrap_or("treejson");
    let known = ["treejson", "completer", "json", "nodelist", "pickle", "msgpack"];
    if !known.contains(&format) {
        let reason = "Invalid value for 'format' parameter".to_owned();
        return Err(text(StatusCode::BAD_REQUEST, reason));
    }
    let query = match format {
        "completer" => completed(query, automatic_variants),
        _ => query.to_owned(),
    };
    let asked = query.clone();
    let mut nodes = run_lookup(&state, move |source| tree::find(source, range, &asked))
        .await
        .map_err(|error| failure(&error))?;
    nodes.retain(|node| node.is_leaf || !leaves_only);
    encode::sort(&mut nodes);
    if let (Some(position), "nodelist") = (position, format)
        && nodes.iter().any(|node| node.path.split('.').nth(position).is_none())
    {
        return Err(invalid(&format!("position {position} is beyond the nodes of a path")));
    }
    let style = find_style(&params);
    let packed = |pack| encode::packed(&nodes, (0, now_s), pack);
    let body = match format {
        "pickle" => return Ok(uncached(typed("application/pickle", packed(Pickle::boxed())))),
        "msgpack" => return Ok(uncached(typed("application/x-msgpack", packed(MsgPack::boxed())))),
        "completer" => encode::completer(&nodes, wildcards, style),
        "json" => encode::json(&nodes, (0, now_s), style),
        "nodelist" => encode::nodelist(&nodes, position, style),
        _ => encode::treejson(&query, &nodes, wildcards, style),
    };
    Ok(uncached(json(&params, style, body)))
}

/// The window in which a path must have samples: all of time, unless both ends are given.
fn range(params: &Params, now_s: i64) -> Result<TimeRange, Response> {
    let end = |name: &str| -> Result<Option<i64>, Response> {
        match params.get(name) {
            // `undefined` is what a script sends that has no time.
            None | Some("-1" | "" | "undefined") => Ok(None),
            Some(_) => params.time(name, now_s),
        }
    };
    match (end("from")?, end("until")?) {
        (Some(from), Some(until)) if until < from => {
            Err(invalid(&format!("Invalid interval start={from} end={until}")))
        }
        (Some(from), Some(until)) => {
            // A slot that began before `until` may have been written after it.
            Ok(TimeRange::new(from.saturating_mul(1000), until.saturating_add(60) * 1000))
        }
        _ => Ok(TimeRange::ALL),
    }
}

/// What a half-typed query means.
fn completed(query: &str, automatic_variants: bool) -> String {
    let mut query = query.replace("..", "*.");
    if !query.ends_with('*') {
        query.push('*');
    }
    if !automatic_variants {
        return query;
    }
    let wrap = |element: &str| match element.contains(',') && !element.contains('{') {
        true => format!("{{{element}}}"),
        false => element.to_owned(),
    };
    query.split('.').map(wrap).collect::<Vec<_>>().join(".")
}

/// `/metrics/expand`
pub(super) async fn expand(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let leaves_only = params.flag("leavesOnly")?;
    let by_query = params.flag("groupByExpr")?;
    let queries: Vec<String> = params.all("query").into_iter().map(str::to_owned).collect();
    let results = run_lookup(&state, move |source| {
        let expand = |query: String| {
            let nodes = tree::find(source, TimeRange::ALL, &query)?;
            let nodes = nodes.into_iter().filter(|node| node.is_leaf || !leaves_only);
            Ok((query, nodes.map(|node| node.path).collect()))
        };
        queries.into_iter().map(expand).collect::<Result<Vec<_>, SourceError>>()
    })
    .await
    .map_err(|error| failure(&error))?;
    let style = find_style(&params);
    Ok(uncached(json(&params, style, encode::expand(&results, by_query, style))))
}

/// `/metrics/index.json`
pub(super) async fn index(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    params.flag("local")?;
    let names = run_lookup(&state, |source| {
        let all = TimeRange::ALL;
        source.label_values(TenantId::DEFAULT, METRIC_NAME, &[], all, "", INDEX_MAX + 1)
    })
    .await
    .map_err(|error| failure(&error))?;
    if names.len() > INDEX_MAX {
        return Err(invalid(&format!("more than {INDEX_MAX} paths; ask /metrics/find for a part")));
    }
    let style = find_style(&params);
    let mut body = Writer::new(style);
    body.texts(names.iter().map(String::as_str));
    Ok(json(&params, style, body.finish()))
}
