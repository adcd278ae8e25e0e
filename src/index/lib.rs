//! Layer 2: series ⇄ labels and labels → series, with no knowledge of samples, files or threads.

mod automaton;
mod blocked;
mod cardinality;
mod dictionary;
mod error;
mod head;
mod merge_policy;
mod pairs;
mod postings;
mod registry;
mod select;
mod terms;

pub use cardinality::{Cardinality, LabelCardinality};
pub use error::IndexError;
pub use head::{HeadIndex, SeriesId};
