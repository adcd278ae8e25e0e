//! Layer 4: sockets and HTTP.
//!
//! Handlers decode, call and encode; they know the store only as `dyn Appender` and `dyn Catalog`, and
//! every query goes text → `lang` → `plan` → `exec` through [`run_query`].

#![allow(clippy::result_large_err, reason = "the error of a handler is the whole answer it sends")]

pub mod admin;
mod answers;
mod bodies;
pub mod client;
mod compress;
mod connections;
#[cfg(test)]
mod doubles;
pub mod error_map;
pub mod explain;
pub mod graphite;
pub mod http;
pub mod import;
pub mod listen;
pub mod opentsdb;
mod patience;
pub mod prometheus;
mod request_line;
pub mod run_query;
mod self_wake;
pub mod spare;
pub mod state;
mod stream;
pub mod turns;

pub use exec::Helpers;
pub use graphite::GraphiteSettings;
pub use lang::graphite::StepRules;
/// The units of lengths of time, for the configuration.
pub use lang::promql::DURATION_UNITS;
pub use lang::promql::functions::prepare as prepare_promql;
pub use lang::promql::parse_selector;
pub use listen::{Bound, Listeners, Shutdown};
pub use state::{Settings, State};
pub use wire::graphite::intake::{MappingRule, PathRules};
pub use wire::known_keys::KnownKeys;
