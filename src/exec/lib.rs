//! Layer 3: runs a plan. Synchronous, columnar along time, streaming across rows.
//!
//! Each node pushes its rows, one after the other, into the sink of the node above; a row is a
//! column of values over its instants. So a scan feeds a fold feeds an aggregate without any of them
//! holding more than one row, and memory is groups × steps. Nodes that need all rows at once (joins,
//! sorting) collect them in a [`row::Rows`], which the query's budget counts.
//!
//! Large scans are folded by several threads ([`Helpers`]); rows keep their order, so answers do not depend on it.
//!
//! Nothing here knows a query language, a storage format or a runtime.
//!
//! Read on in this order: `context` (what goes in and comes out), `executor` (from node to operator), `row` (what flows),
//! `operators` (one file a node; `fold` is where samples become values), `kernels` (the loops over slices), `budget` (what
//! a query may hold), `helpers` and `operators::fold::parts` (threads), `small` (what needs none), `oracle` and `property`
//! (the tests that operators have to agree with).

mod budget;
mod context;
mod counts;
mod error;
mod executor;
mod helpers;
mod kernels;
#[cfg(test)]
mod native_limits;
mod operators;
#[cfg(test)]
mod oracle;
#[cfg(test)]
mod property;
#[cfg(test)]
mod rollups;
mod row;
mod small;

#[cfg(any(test, feature = "testing"))]
pub mod testing;
#[cfg(test)]
mod tests;

pub use context::{Context, Numbers, Output, Profile, Value, sort_by_labels};
pub use counts::StepCounts;
pub use error::ExecError;
pub use executor::execute;
pub use helpers::{Busy, Helpers};
pub use small::is_small;
