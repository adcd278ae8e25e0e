//! Layer 3: query texts into plans, one module per language.
//!
//! A language knows `plan` and nothing below it; the three do not know each other. Nothing here reads
//! data: what a text means is settled before the first sample is touched.

pub mod error;
pub mod graphite;
pub mod opentsdb;
pub mod promql;

pub use error::{LangError, Position, Stage};
