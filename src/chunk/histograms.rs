//! Columns of native histograms: layouts once, then a column for each field and each bucket.
//!
//! A chunk holds histograms of one family: one schema, counted alike, with the same custom bounds.
//! Their layouts may differ; a bucket that any of them has becomes a column, in which samples
//! without it repeat their neighbour and cost next to nothing. In a short chunk each column's own head
//! would outweigh its numbers, so all columns of a side are packed into one.
//!
//! Invariants: lossless to the bit, layout and hint included; a decoder never holds more cells than
//! [`CELLS_MAX`], whatever the blob says.

mod decode;
mod encode;

pub use decode::decode_histograms;
pub use encode::HistogramsEncoder;

use model::{BucketSpan, Histogram};

/// Samples times buckets of one chunk: 32 MiB of counts once decoded.
pub(crate) const CELLS_MAX: usize = 1 << 22;

/// Form of a side: a column for each bucket.
const SIDE_COLUMNS: u8 = 0;
/// Form of a side: the first counts of all buckets, then the steps of all.
const SIDE_PACKED: u8 = 1;

/// Flag of the family: the sender counted with integers.
const FAMILY_INTEGER: u8 = 1;
/// Flag of the family: custom bounds follow.
const FAMILY_BOUNDS: u8 = 2;
/// Flag of the family: layouts have negative sides.
const FAMILY_NEGATIVE: u8 = 4;
/// Flag of the family: zero counts follow as a column.
const FAMILY_ZERO: u8 = 8;

/// What may change from sample to sample without a new chunk: zero threshold and spans.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Layout {
    zero_threshold: u64,
    positive: Vec<BucketSpan>,
    negative: Vec<BucketSpan>,
}

impl Layout {
    fn is_of(&self, histogram: &Histogram) -> bool {
        self.zero_threshold == histogram.zero_threshold.to_bits()
            && self.positive == histogram.positive.spans
            && self.negative == histogram.negative.spans
    }
}

/// The indexes of the buckets of `spans`, ascending for valid ones.
pub(crate) fn indexes(spans: &[BucketSpan]) -> impl Iterator<Item = i64> + '_ {
    let mut next = 0i64;
    spans.iter().flat_map(move |span| {
        let first = next + i64::from(span.offset);
        next = first + i64::from(span.length);
        first..next
    })
}

/// Number of buckets of `spans`.
pub(crate) fn bucket_count(spans: &[BucketSpan]) -> u64 {
    spans.iter().map(|span| u64::from(span.length)).sum()
}

/// True when one chunk may hold both.
fn same_family(a: &Histogram, b: &Histogram) -> bool {
    let bits = |bounds: &[f64]| bounds.iter().map(|bound| bound.to_bits()).collect::<Vec<_>>();
    a.schema == b.schema
        && a.is_integer == b.is_integer
        && (std::sync::Arc::ptr_eq(&a.bounds, &b.bounds) || bits(&a.bounds) == bits(&b.bounds))
}

#[cfg(test)]
mod tests;
