//! The one integration binary: every suite is a module here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod grafana;
mod graphite;
mod opentsdb;
mod promqltest;
mod remote_write;
mod vectors;
