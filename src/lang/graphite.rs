//! Graphite: targets, paths, times and tag expressions to a plan.
//!
//! [`lower`] takes a request's targets and window and answers one [`plan::Plan`]; every function is a
//! lowering to plan nodes, so nothing here touches values. What cannot be read is refused with a
//! position; the original answers a silently shortened target instead.

pub mod argument;
pub mod ast;
mod conf;
pub mod error;
pub mod functions;
pub mod glob;
pub mod lower;
pub mod number;
pub mod parser;
pub mod probe;
pub mod schemas;
pub mod tagspec;
pub mod template;
pub mod time;

pub use error::GraphiteError;
pub use lower::{LowerOptions, lower, lower_probing};
pub use probe::{NoProbe, Probe, ProbeError};
pub use schemas::StepRules;
