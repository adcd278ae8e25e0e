//! Health, readiness, own metrics, build information.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State as Extract};
use axum::http::{Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{any, get};

use crate::state::State;

/// The version that clients of Prometheus see: the behaviour that the query API follows.
pub const PROMETHEUS_VERSION: &str = "3.14.0";

/// `/-/healthy`, `/-/ready`, `/metrics`.
pub fn router() -> Router<Arc<State>> {
    Router::new()
        .route("/-/healthy", get(healthy))
        .route("/-/ready", get(ready))
        .route("/-/reload", any(lifecycle))
        .route("/-/quit", any(lifecycle))
        .route("/metrics", get(metrics))
}

/// True for the paths of [`router`], which answer before the store is ready.
pub fn serves(path: &str) -> bool {
    path.starts_with("/-/") || path == "/metrics"
}

async fn healthy() -> &'static str {
    "tributary is healthy.\n"
}

async fn ready(Extract(state): Extract<Arc<State>>) -> Response {
    if state.is_ready() {
        "tributary is ready.\n".into_response()
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "Service Unavailable").into_response()
    }
}

/// `/-/reload` and `/-/quit`: what a Prometheus answers that does not let clients do that.
async fn lifecycle(method: Method) -> Response {
    if matches!(method, Method::POST | Method::PUT) {
        (StatusCode::FORBIDDEN, "Lifecycle API is not enabled.").into_response()
    } else {
        (StatusCode::METHOD_NOT_ALLOWED, "Only POST or PUT requests allowed").into_response()
    }
}

/// The page of own metrics; with a `query` the look-up that Graphite serves at the same place.
async fn metrics(Extract(state): Extract<Arc<State>>, request: Request) -> Response {
    if request.uri().query().is_some_and(|query| query.contains("query=")) {
        return crate::graphite::find_at_metrics(state, request).await;
    }
    let figures = state.status.status();
    state.metrics.series_active.set(figures.series as i64);
    state.metrics.head_samples.set(figures.head_samples as i64);
    state.metrics.blocks.set(figures.blocks as i64);
    state.metrics.block_bytes.set(figures.block_bytes as i64);
    let memory = &state.settings.memory;
    state.metrics.memory_used.set(memory.used() as i64);
    state.metrics.memory_owed.set(memory.owed() as i64);
    let mut page = state.metrics.expose();
    page.push_str(&process_page());
    page.push_str(&format!(
        "# HELP tributary_build_info Version of the running program.\n# TYPE tributary_build_info \
         gauge\ntributary_build_info{{version=\"{}\"}} 1\n",
        env!("CARGO_PKG_VERSION")
    ));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], page).into_response()
}

/// CPU seconds and resident memory of this process as Linux shows them; empty elsewhere.
fn process_page() -> String {
    let Ok(stat) = std::fs::read_to_string("/proc/self/stat") else {
        return String::new();
    };
    // Fields are counted behind the command's closing parenthesis: utime is the 12th, stime the
    // 13th (in ticks of 1/100 s), rss the 22nd (in pages of 4 KiB). proc(5).
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or_default().split(' ').collect();
    let field =
        |index: usize| fields.get(index).and_then(|text| text.parse::<u64>().ok()).unwrap_or(0);
    let cpu_seconds = (field(11) + field(12)) as f64 / 100.0;
    let resident_bytes = field(21) * 4096;
    format!(
        "# HELP process_cpu_seconds_total User and system CPU time spent.\n# TYPE \
         process_cpu_seconds_total counter\nprocess_cpu_seconds_total {cpu_seconds}\n# HELP \
         process_resident_memory_bytes Resident memory.\n# TYPE process_resident_memory_bytes \
         gauge\nprocess_resident_memory_bytes {resident_bytes}\n"
    )
}
