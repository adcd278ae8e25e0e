//! Numbers in names, as Python's formats print them.

pub use base::printf::{general, integer, python};
