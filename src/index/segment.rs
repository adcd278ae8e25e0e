//! Immutable segments: the index of a block as one run of bytes.
//!
//! [`SegmentWriter`] takes series in label order and gives the bytes; [`SegmentReader`] answers from
//! them. `segment/FORMAT.md` has the layout byte by byte.

pub(crate) mod footer;
pub(crate) mod layout;
mod query;
mod reader;
mod salvage;
mod series;
mod writer;

pub use reader::SegmentReader;
pub use salvage::salvage_labels;
pub use series::SeriesCursor;
pub use writer::SegmentWriter;

#[cfg(test)]
mod tests;
