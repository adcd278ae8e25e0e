//! Layer 3: bytes to batches and results to bytes, one module per protocol.
//!
//! Pure: no sockets, no plans, and the protocols do not know each other.

pub mod graphite;
pub mod import;
pub mod known_keys;
pub mod opentsdb;
pub mod prometheus;
