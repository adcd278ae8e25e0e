//! What senders say of metric families: type, help and unit. One small document a family, the newest.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::response::Response;
use base::limits::LABEL_VALUE_BYTES_MAX;
use model::{DocumentChange, DocumentError, Documents, TenantId};
use serde_json::{Map, Value, json};
use wire::prometheus::remote_write::Metadata;

use super::params::Params;
use super::reply::{Notes, bad_data, success};
use crate::state::State;

const TABLE: &str = "metric_metadata";
/// Bytes of a help text; the rest is cut.
const HELP_BYTES_MAX: usize = 16 * 1024;
/// Families that one request may change.
const CHANGES_MAX: usize = 100_000;

/// Names of the types by their number in remote write.
const TYPES: [&str; 8] =
    ["unknown", "counter", "gauge", "histogram", "gaugehistogram", "summary", "info", "stateset"];

/// The changes that `metadata` makes to what is stored: none for what is known, nearly always.
pub fn changes(
    documents: &dyn Documents,
    tenant: TenantId,
    metadata: &[Metadata],
) -> Vec<DocumentChange> {
    let mut changes = Vec::new();
    for one in metadata.iter().take(CHANGES_MAX) {
        if one.family.len() > LABEL_VALUE_BYTES_MAX || one.family.contains('\0') {
            continue;
        }
        let help_end = one.help.floor_char_boundary(HELP_BYTES_MAX);
        let unit_end = one.unit.floor_char_boundary(LABEL_VALUE_BYTES_MAX);
        let kind = TYPES.get(usize::from(one.kind)).copied().unwrap_or("unknown");
        let (help, unit) = (&one.help[..help_end], &one.unit[..unit_end]);
        let document = json!({"type": kind, "help": help, "unit": unit}).to_string();
        let stored = documents.get(tenant, TABLE, one.family.as_bytes());
        if stored.as_deref() != Some(document.as_bytes()) {
            changes.push(DocumentChange::put(TABLE, one.family.as_bytes(), document));
        }
    }
    changes
}

/// Stores what a request says.
pub async fn store(state: &Arc<State>, metadata: &[Metadata]) -> Result<(), DocumentError> {
    let changes = changes(&*state.documents, TenantId::DEFAULT, metadata);
    if changes.is_empty() {
        return Ok(());
    }
    let documents = state.documents.clone();
    let write = move || documents.write(TenantId::DEFAULT, &changes);
    match tokio::task::spawn_blocking(write).await {
        Ok(written) => written,
        Err(panic) => Err(DocumentError::Unavailable { reason: panic.to_string() }),
    }
}

/// Type, help and unit of a family, as the search API shows them.
pub(super) fn of_family(state: &State, family: &str) -> Option<[String; 3]> {
    let document = state.documents.get(TenantId::DEFAULT, TABLE, family.as_bytes())?;
    let value: Value = serde_json::from_slice(&document).ok()?;
    Some(["type", "help", "unit"].map(|key| value[key].as_str().unwrap_or_default().to_owned()))
}

/// `/metadata`
pub async fn metadata(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    let number = |name: &str| match params.get(name).filter(|text| !text.is_empty()) {
        None => Ok(-1),
        Some(text) => {
            text.parse::<i64>().map_err(|_| bad_data(&format!("{name} must be a number")))
        }
    };
    // A family has one entry here, so a limit per metric leaves all as it is.
    let (limit, _) = (number("limit")?, number("limit_per_metric")?);
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let metric = params.get("metric").unwrap_or_default();
    let documents = &state.documents;
    let found = if metric.is_empty() {
        documents.scan(TenantId::DEFAULT, TABLE, &[], &[], limit)
    } else {
        let document = documents.get(TenantId::DEFAULT, TABLE, metric.as_bytes());
        let one = document.map(|document| (metric.as_bytes().to_vec(), document));
        one.into_iter().take(limit).collect()
    };
    let entry = |(family, document): (Vec<u8>, Arc<[u8]>)| {
        let value: Value = serde_json::from_slice(&document).ok()?;
        Some((String::from_utf8(family).ok()?, json!([value])))
    };
    let data: Map<String, Value> = found.into_iter().filter_map(entry).collect();
    Ok(success(Value::Object(data).to_string().as_bytes(), &Notes::default()))
}
