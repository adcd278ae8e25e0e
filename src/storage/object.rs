//! The object store as the rest of the crate sees it: synchronous, with errors that name the object.

pub(crate) mod bytes;
pub(crate) mod io;
pub(crate) mod open;
