//! Layer 2: series ⇄ labels and labels → series, with no knowledge of samples, files or threads.
//!
//! [`HeadIndex`] is the mutable index of what is being written, [`SegmentWriter`] and
//! [`SegmentReader`] are the immutable one inside a block. Both answer the same questions by the same
//! rules (`select.rs`), and any split of series over them gives the same answers
//! (`equivalence.rs`).

mod automaton;
mod blocked;
mod cardinality;
mod dictionary;
#[cfg(test)]
mod equivalence;
mod error;
mod head;
mod merge;
mod merge_policy;
mod pairs;
mod postings;
mod registry;
mod required;
mod runs;
mod segment;
mod select;
mod terms;
mod values;

pub use cardinality::{Cardinality, LabelCardinality};
pub use error::IndexError;
pub use head::{HeadIndex, HeadStatistics, SeriesId};
pub use merge::{SeriesMerge, merge_segments};
pub use segment::{SegmentReader, SegmentWriter, SeriesCursor, salvage_labels};
pub use select::Clauses;
