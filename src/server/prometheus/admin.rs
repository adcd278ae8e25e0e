//! The endpoints that change what is stored; off unless `prometheus.admin_api` is set.

use std::sync::Arc;

use axum::extract::State as Extract;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use base::error::{Classify, ErrorKind};
use model::{Appender, DeleteError, TenantId};

use super::labels::any_selectors;
use super::params::{Params, invalid};
use super::reply::{Notes, bad_data, failure, success, typed_failure};
use super::targets::parse_bool;
use crate::state::State;

/// `/admin/tsdb/delete_series`: 204 once the samples are invisible.
pub async fn delete_series(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<StatusCode, Response> {
    check_enabled(&state)?;
    params.well_formed()?;
    if params.all("match[]").is_empty() {
        return Err(bad_data("no match[] parameter provided"));
    }
    let range = params.range()?;
    let selectors = any_selectors(&params).map_err(|cause| invalid("match[]", &cause))?;
    change(&state, move |appender| {
        selectors
            .iter()
            .try_for_each(|matchers| appender.delete(TenantId::DEFAULT, matchers, range))
    })
    .await
}

/// `/admin/tsdb/clean_tombstones`: 204 once deleted samples have left the disk.
pub async fn clean_tombstones(Extract(state): Extract<Arc<State>>) -> Result<StatusCode, Response> {
    check_enabled(&state)?;
    change(&state, |appender| appender.purge()).await
}

/// `/admin/tsdb/snapshot`: the name of a copy of the store, below its directory `snapshots`.
pub async fn snapshot(
    Extract(state): Extract<Arc<State>>,
    params: Params,
) -> Result<Response, Response> {
    check_enabled(&state)?;
    let skip_head = match params.get("skip_head") {
        None => false,
        Some(text) => parse_bool(text).ok_or_else(|| {
            let cause = format!(
                "unable to parse boolean: strconv.ParseBool: parsing {text:?}: invalid syntax"
            );
            invalid("skip_head", &cause)
        })?,
    };
    let appender = state.appender.clone();
    match tokio::task::spawn_blocking(move || appender.snapshot(!skip_head)).await {
        Ok(Ok(name)) => {
            Ok(success(format!("{{\"name\":\"{name}\"}}").as_bytes(), &Notes::default()))
        }
        Ok(Err(error)) => Err(failure(ErrorKind::Internal, &error.to_string())),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}

fn check_enabled(state: &State) -> Result<(), Response> {
    if state.settings.prometheus_admin_api {
        return Ok(());
    }
    // Prometheus has no status of its own for this type.
    Err(typed_failure(ErrorKind::Internal, "unavailable", "admin APIs disabled"))
}

/// Runs `act` where it may block.
async fn change(
    state: &Arc<State>,
    act: impl FnOnce(&dyn Appender) -> Result<(), DeleteError> + Send + 'static,
) -> Result<StatusCode, Response> {
    let appender = state.appender.clone();
    match tokio::task::spawn_blocking(move || act(&*appender)).await {
        Ok(Ok(())) => Ok(StatusCode::NO_CONTENT),
        Ok(Err(error)) => Err(failure(error.kind(), &error.to_string())),
        Err(_) => Err(StatusCode::INTERNAL_SERVER_ERROR.into_response()),
    }
}
