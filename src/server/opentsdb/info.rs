//! What clients ask about the server itself.

use axum::extract::Request;
use axum::http::Method;
use lang::opentsdb::aggregator::NAMES;
use lang::opentsdb::filter::TYPES;
use wire::opentsdb::query_json::{push_tags, push_text, push_texts};

use super::dispatch::allow;
use super::params::Params;
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

/// A JSON array of texts.
pub(super) fn texts(texts: &[String]) -> Reply {
    let mut out = Vec::new();
    push_texts(&mut out, texts.iter().map(String::as_str));
    Reply::ok(out)
}

/// The one way in which requests and answers are written.
pub(super) fn serializers(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET])?;
    let text = concat!(
        r#"[{"serializer":"json","formatters":["SuggestV1","SearchV1","AnnotationV1","#,
        r#""AggregatorsV1","ConfigV1","DropCachesV1","ErrorV1","QueryV1","SerializersV1","#,
        r#""StatsV1","TreeV1","UidAssignV1","VersionV1"],"parsers":["SuggestV1","SearchV1","#,
        r#""AnnotationV1","PutV1","QueryV1","TreeV1","UidAssignV1"],"#,
        r#""class":"tributary","response_content_type":"application/json; charset=UTF-8","#,
        r#""request_content_type":"application/json"}]"#,
    );
    Ok(Reply::ok(text.as_bytes().to_vec()))
}

/// Log lines go to the program's own output and are not kept, so there are none to show; which are
/// written is the configuration's to say.
pub(super) fn logs(params: &Params) -> Result<(), Refusal> {
    match params.get("level") {
        None => Ok(()),
        Some(level) => Err(Refusal::bad(format!("The level cannot be set to {level} here"))),
    }
}

/// Nothing is cached that could be dropped; clients want to hear that it was.
pub(super) fn drop_caches(request: &Request) -> Result<Reply, Refusal> {
    allow(request, &[Method::GET, Method::DELETE])?;
    Ok(Reply::ok(b"{\"status\":\"200\",\"message\":\"Caches dropped\"}".to_vec()))
}
