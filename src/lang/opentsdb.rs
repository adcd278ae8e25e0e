//! OpenTSDB's queries into plans.
//!
//! `request` and `metric` read the two spellings of a request, `time`, `downsample`, `aggregator` and
//! `filter` their parts; `validate` finds what is wrong with them, in the original's order and words;
//! `lower` makes the plan of one sub-query, with `calendar` for buckets of local days and months.
//! `gexp` and `exp` are expressions over sub-queries, in two languages.

pub mod aggregator;
pub mod calendar;
pub mod downsample;
mod dump;
pub mod error;
pub mod exp;
mod exp_grammar;
pub mod exp_request;
pub mod filter;
pub mod gexp;
pub mod lower;
mod lower_histogram;
mod lower_rollup;
pub mod metric;
mod regexp;
pub mod request;
pub mod rollup;
pub mod time;
pub mod validate;

pub use error::{Fault, OpenTsdbError};
pub use lower::{Resolution, hours_of, lower, lower_members, lower_over, lower_rows};
pub use request::{Flags, RateOptions, Request, SubQuery};
pub use validate::{Checked, Query, validate};
