//! Which blocks exist: a numbered chain of documents, each created once and never changed.

pub(crate) mod edit;
pub(crate) mod invariants;
pub(crate) mod rebuild;
pub(crate) mod store;
