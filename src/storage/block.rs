//! Blocks: immutable sets of series and samples, reached only through the object store.

pub(crate) mod approach;
pub(crate) mod chunks;
pub(crate) mod head_ids;
pub(crate) mod meta;
pub(crate) mod page;
mod parts;
pub(crate) mod reader;
pub(crate) mod salvage;
pub(crate) mod walk;
pub(crate) mod writer;
