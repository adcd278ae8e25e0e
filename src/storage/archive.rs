//! Copies of a whole store: beside it as links (`snapshot`), in an object store (`backup`, whose lists
//! are in `list`).

pub(crate) mod backup;
mod list;
pub(crate) mod snapshot;
