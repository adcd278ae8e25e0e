//! Layer 0: what every other crate may use and what knows nothing of metrics databases.
//!
//! Nothing here names a series, a sample, a protocol or a file of the store.

pub mod cancel;
pub mod clock;
pub mod codec;
pub mod date;
pub mod decimal;
pub mod error;
pub mod frame;
pub mod limits;
pub mod memory;
pub mod metrics;
pub mod number_text;
pub mod printf;
pub mod rng;
