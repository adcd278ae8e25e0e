//! OpenTSDB: the HTTP API and the line protocol, which share a port.
//!
//! `dispatch` finds the handler of a path; `put`, `query`, `lookup` and `info` are the handlers,
//! `telnet` the line protocol and the choice between the two; `params`, `names` and `reply` are what
//! they share.
//!
//! On its own port the API also answers below `/api/v1`, as the original does. On the port of all
//! three protocols that prefix is Prometheus's.

mod admission;
mod annotation;
mod annotations;
mod body;
mod config;
mod cors;
mod dispatch;
mod echo;
mod echo_exp;
mod explain;
mod info;
mod lookup;
mod names;
mod numbers;
mod params;
mod put;
mod query;
mod query_annotations;
mod query_exp;
mod query_gexp;
mod query_last;
mod query_members;
mod query_names;
mod query_old;
mod rename;
mod reply;
pub mod settings;
mod special;
mod stats;
pub mod telnet;
mod tree;
mod ts_meta;
mod uid;
mod uid_meta;
pub mod uids;

use std::sync::Arc;

pub use lang::opentsdb::rollup::RollupConfig;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::routing::any;

pub use explain::explain_plan;

use crate::state::State;

/// The paths below `/api/` of a port that is shared with Prometheus.
pub fn router() -> Router<Arc<State>> {
    let handler = any(async |Extract(state): Extract<Arc<State>>, request: Request| {
        dispatch::answer(&state, request, dispatch::Port::Shared).await
    });
    Router::new().route("/api/{*rest}", handler)
}

/// All paths of OpenTSDB's own port.
pub fn own_router() -> Router<Arc<State>> {
    Router::new().fallback(async |Extract(state): Extract<Arc<State>>, request: Request| {
        dispatch::answer(&state, request, dispatch::Port::Own).await
    })
}
