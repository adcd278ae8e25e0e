//! Layer 2: series ⇄ labels and labels → series, with no knowledge of samples, files or threads.
//!
//! [`HeadIndex`] is the mutable index of what is being written, [`SegmentWriter`] and
//! [`SegmentReader`] are the immutable one inside a block. Both answer the same questions by the same
//! rules (`select.rs`), and any split of series over them gives the same answers
//! (`equivalence.rs`).
//!
//! Read on in this order: `head` and `registry` (series that are written), `pairs` and `terms` (their dictionary),
//! `segment` (the same in a block; `segment/FORMAT.md` has its bytes), `dictionary` and `postings` (what both are made
//! of), `select` and `select_cache` (matchers to series), `values` and `automaton` (which values a matcher takes),
//! `merge` (blocks to one).

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
mod select_cache;
mod terms;
mod values;

pub use cardinality::{Cardinality, LabelCardinality};
pub use error::IndexError;
pub use head::{HeadIndex, HeadStatistics, SeriesId};
pub use merge::{SeriesMerge, merge_segments};
pub use segment::{SegmentReader, SegmentWriter, SeriesCursor, salvage_labels};
pub use select::Clauses;
pub use select_cache::SelectCache;
