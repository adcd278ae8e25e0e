//! The write-ahead log: what is acknowledged is here or in a block that the manifest names.

pub(crate) mod checkpoint;
pub(crate) mod file;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod writer;
