//! The head: samples in memory that no block holds yet, cut into windows of time.

pub(crate) mod append;
pub(crate) mod arena;
pub(crate) mod histograms;
pub(crate) mod log_ids;
pub(crate) mod partition;
pub(crate) mod seal;
pub(crate) mod series;
pub(crate) mod slots;
