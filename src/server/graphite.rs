//! Graphite: the HTTP API and carbon's listeners.

mod draw;
mod events;
mod find;
mod functions;
mod params;
mod probe;
pub mod receive;
mod registered;
mod render;
mod reply;
mod settings;
mod tags;
mod tree;

use std::sync::Arc;

use axum::Router;
use axum::extract::{FromRequest, Request, State as Extract};
use axum::response::Response;
use axum::routing::{MethodRouter, get, post};

pub(crate) use render::explain_plan;
pub use settings::GraphiteSettings;

use self::params::Params;
use crate::state::State;

/// The version that clients see; Grafana reads it as that of a Graphite with tags and `/functions`.
const VERSION: &str = "1.1.10\n";

/// All routes. Each also answers with a slash behind it.
pub fn router() -> Router<Arc<State>> {
    let routes: [(&str, MethodRouter<Arc<State>>); 18] = [
        ("/render", get(render::render).post(render::render)),
        ("/metrics/find", get(find::find).post(find::find)),
        ("/metrics/expand", get(find::expand).post(find::expand)),
        ("/metrics/index.json", get(find::index).post(find::index)),
        ("/events", get(events::list).post(events::post)),
        ("/events/get_data", get(events::list)),
        ("/events/{id}", get(events::one)),
        ("/functions", get(functions::all)),
        ("/functions/{name}", get(functions::one)),
        ("/version", get(async || VERSION)),
        ("/tags", get(tags::names)),
        ("/tags/{tag}", get(tags::values)),
        ("/tags/findSeries", get(tags::find_series).post(tags::find_series)),
        ("/tags/autoComplete/tags", get(tags::complete_names).post(tags::complete_names)),
        ("/tags/autoComplete/values", get(tags::complete_values).post(tags::complete_values)),
        ("/tags/tagSeries", post(tags::tag_series)),
        ("/tags/tagMultiSeries", post(tags::tag_multi_series)),
        ("/tags/delSeries", post(tags::delete_series)),
    ];
    let mut router = Router::new();
    for (path, handler) in routes {
        router = router.route(&format!("{path}/"), handler.clone()).route(path, handler);
    }
    router
}

/// `/metrics?query=…` is `/metrics/find`.
pub(crate) async fn find_at_metrics(state: Arc<State>, request: Request) -> Response {
    let params = match Params::from_request(request, &state).await {
        Ok(params) => params,
        Err(response) => return response,
    };
    let found = find::find(Extract(state), params).await;
    found.unwrap_or_else(|response| response)
}
