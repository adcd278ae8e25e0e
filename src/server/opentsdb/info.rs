//! What clients ask about the server itself.

use axum::extract::Request;
use axum::http::Method;
use lang::opentsdb::aggregator::NAMES;
use lang::opentsdb::filter::TYPES;
use wire::opentsdb::query_json::{push_tags, push_text, push_texts};

use super::dispatch::allow;
use super::reply::{Refusal, Reply};

/// The version that clients see: that of the behaviour which is followed here.
const VERSION: &str = "2.5.0";
/// What stands for the revision.
const REVISION: &str = concat!("tributary-", env!("CARGO_PKG_VERSION"));

/// Names of all aggregators.
pub(super) fn aggregators(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET])?;
    let mut out = Vec::new();
    push_texts(&mut out, NAMES);
    Ok(Reply::ok(out))
}

/// The version, as an object of texts.
pub(super) fn version(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET])?;
    let fields = [
        ("short_revision", REVISION),
        ("full_revision", REVISION),
        ("repo", "tributary"),
        ("repo_status", "MINT"),
        ("host", "localhost"),
        ("version", VERSION),
        ("user", "tributary"),
        ("branch", ""),
        ("timestamp", "0"),
    ];
    let mut out = Vec::new();
    push_tags(&mut out, fields.into_iter());
    Ok(Reply::ok(out))
}

/// The version as the line protocol tells it. There is no build date.
pub(super) fn version_lines() -> String {
    format!(
        "net.opentsdb {VERSION} built at revision {REVISION} (MINT)\nBuilt on 1970/01/01 00:00:00 \
         +0000 by tributary@localhost:tributary\n"
    )
}

/// Types of filters.
pub(super) fn filters(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET])?;
    let mut out = b"{".to_vec();
    for (index, (_, name, examples, description)) in TYPES.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        push_text(&mut out, name);
        out.push(b':');
        let fields = [("examples", *examples), ("description", *description)];
        push_tags(&mut out, fields.into_iter());
    }
    out.push(b'}');
    Ok(Reply::ok(out))
}

/// Nothing is cached that could be dropped; clients want to hear that it was.
pub(super) fn drop_caches(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET, Method::DELETE])?;
    Ok(Reply::ok(b"{\"status\":\"200\",\"message\":\"Caches dropped\"}".to_vec()))
}
