//! Prometheus's HTTP API and its remote write.
//!
//! `query`: expressions. `labels`: names, values and series. `status`: what clients ask a server about
//! itself. `admin`: deletes. `write`: remote write. `params` and `reply` are what they share.

pub mod admin;
pub mod exemplars;
pub mod federate;
pub mod labels;
pub mod metadata;
pub mod otlp;
pub mod params;
pub mod query;
pub mod read;
pub mod reply;
pub mod status;
pub mod tree;
pub mod write;

use std::sync::Arc;

use axum::Router;
use axum::routing::{get, post};

use crate::state::State;

/// Every endpoint below `/api/v1`.
pub fn router() -> Router<Arc<State>> {
    let api = Router::new()
        .route("/query", get(query::instant).post(query::instant))
        .route("/query_range", get(query::range).post(query::range))
        .route("/query_exemplars", get(query::exemplars).post(query::exemplars))
        .route("/format_query", get(tree::format_query).post(tree::format_query))
        .route("/parse_query", get(tree::parse_query).post(tree::parse_query))
        .route("/series", get(labels::series).post(labels::series))
        .route("/labels", get(labels::names).post(labels::names))
        .route("/label/{name}/values", get(labels::values))
        .route("/metadata", get(metadata::metadata))
        .route("/rules", get(status::rules))
        .route("/alerts", get(status::alerts))
        .route("/targets", get(status::targets))
        .route("/targets/metadata", get(status::targets_metadata))
        .route("/scrape_pools", get(status::scrape_pools))
        .route("/alertmanagers", get(status::alertmanagers))
        .route("/notifications", get(status::notifications))
        .route("/status/walreplay", get(status::wal_replay))
        .route("/status/buildinfo", get(status::build_info))
        .route("/status/runtimeinfo", get(status::runtime_info))
        .route("/status/config", get(status::config))
        .route("/status/flags", get(status::flags))
        .route("/status/tsdb", get(status::tsdb))
        .route("/admin/tsdb/snapshot", post(admin::snapshot).put(admin::snapshot))
        .route("/admin/tsdb/delete_series", post(admin::delete_series).put(admin::delete_series))
        .route(
            "/admin/tsdb/clean_tombstones",
            post(admin::clean_tombstones).put(admin::clean_tombstones),
        )
        .route("/read", post(read::remote_read))
        .route("/write", post(write::remote_write))
        .route("/otlp/v1/metrics", post(otlp::metrics));
    let federate = get(federate::federate).post(federate::federate);
    Router::new().nest("/api/v1", api).route("/federate", federate)
}
