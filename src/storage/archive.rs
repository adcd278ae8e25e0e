//! Copies of a whole store: beside it as links (`snapshot`).

pub(crate) mod snapshot;
