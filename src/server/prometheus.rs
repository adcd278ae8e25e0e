//! Prometheus's HTTP API and its remote write.
//!
//! `query`: expressions. `labels`: names, values and series. `status`: what clients ask a server about
//! itself. `search`: names by terms. `admin`: deletes. `write`: remote write. `params` and `reply` are what they share.

pub mod admin;
pub mod cors;
pub mod exemplars;
pub mod features;
pub mod federate;
pub mod labels;
pub mod metadata;
pub mod otlp;
pub mod params;
pub mod parsed;
pub mod query;
pub mod read;
pub mod reply;
pub mod search;
pub mod series;
pub mod status;
pub mod targets;
pub mod tree;
pub mod write;

use std::sync::Arc;

use axum::Router;
use axum::handler::Handler;
use axum::middleware::from_fn;
use axum::routing::{MethodRouter, any, get, post};

use crate::state::State;

/// GET and POST.
fn asked<H, T>(handler: H) -> MethodRouter<Arc<State>>
where
    H: Handler<T, Arc<State>>,
    T: 'static,
{
    get(handler.clone()).post(handler).fallback(|| cors::method_not_allowed("GET, OPTIONS, POST"))
}

/// GET alone.
fn read_only<H, T>(handler: H) -> MethodRouter<Arc<State>>
where
    H: Handler<T, Arc<State>>,
    T: 'static,
{
    get(handler).fallback(|| cors::method_not_allowed("GET, OPTIONS"))
}

/// POST alone.
fn sent<H, T>(handler: H) -> MethodRouter<Arc<State>>
where
    H: Handler<T, Arc<State>>,
    T: 'static,
{
    post(handler).fallback(|| cors::method_not_allowed("OPTIONS, POST"))
}

/// POST and PUT.
fn changed<H, T>(handler: H) -> MethodRouter<Arc<State>>
where
    H: Handler<T, Arc<State>>,
    T: 'static,
{
    post(handler.clone()).put(handler).fallback(|| cors::method_not_allowed("OPTIONS, POST, PUT"))
}

/// Every endpoint below `/api/v1`.
pub fn router() -> Router<Arc<State>> {
    let api = Router::new()
        .route("/query", asked(query::instant))
        .route("/query_range", asked(query::range))
        .route("/query_exemplars", asked(query::exemplars))
        .route("/format_query", asked(tree::format_query))
        .route("/parse_query", asked(tree::parse_query))
        .route("/series", asked(series::series))
        .route("/labels", asked(labels::names))
        // Grafana asks with POST, too, where it is set to; Prometheus refuses that.
        .route("/label/{name}/values", asked(labels::values))
        .route("/metadata", read_only(metadata::metadata))
        .route("/rules", read_only(targets::rules))
        .route("/alerts", read_only(targets::alerts))
        .route("/targets", read_only(targets::targets))
        .route("/targets/metadata", read_only(targets::metadata))
        .route("/targets/relabel_steps", read_only(targets::relabel_steps))
        .route("/scrape_pools/config", read_only(targets::scrape_pool_config))
        .route("/notifications/live", read_only(targets::live_notifications))
        .route("/features", read_only(features::features))
        .route("/scrape_pools", read_only(targets::scrape_pools))
        .route("/alertmanagers", read_only(targets::alertmanagers))
        .route("/notifications", read_only(targets::notifications))
        .route("/status/walreplay", read_only(status::wal_replay))
        .route("/status/buildinfo", read_only(status::build_info))
        .route("/status/runtimeinfo", read_only(status::runtime_info))
        .route("/status/config", read_only(status::config))
        .route("/status/flags", read_only(status::flags))
        .route("/status/tsdb", read_only(status::tsdb))
        .route("/status/tsdb/blocks", read_only(status::blocks))
        .route("/status/self_metrics", read_only(status::self_metrics))
        .route("/admin/tsdb/snapshot", changed(admin::snapshot))
        .route("/admin/tsdb/delete_series", changed(admin::delete_series))
        .route("/admin/tsdb/clean_tombstones", changed(admin::clean_tombstones))
        .route("/read", sent(read::remote_read))
        .route("/write", sent(write::remote_write))
        // Where recording rules of Grafana write to.
        .route("/push", sent(write::remote_write))
        .route("/otlp/v1/metrics", sent(otlp::metrics));
    let api = api
        .route("/search/metric_names", asked(search::metric_names))
        .route("/search/label_names", asked(search::label_names))
        .route("/search/label_values", asked(search::label_values))
        .route("/{*path}", any(cors::not_found))
        .layer(from_fn(cors::layer));
    let federate = get(federate::federate).post(federate::federate);
    Router::new().nest("/api/v1", api).route("/federate", federate)
}
