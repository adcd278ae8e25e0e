//! Graphite on the wire: carbon's line and pickle protocols in, the render and find answers out.

pub mod chart;
pub mod find;
pub mod intake;
pub mod json;
pub mod line;
pub mod pack;
pub mod path;
pub mod pickle;
pub mod reject;
pub mod render;
