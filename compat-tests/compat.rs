//! The one integration binary: every suite is a module here.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on panics")]

mod graphite;
mod promqltest;
mod vectors;
