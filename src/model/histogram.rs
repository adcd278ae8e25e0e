//! Native histograms: sparse buckets whose bounds follow a schema, or are given one by one.
//!
//! Invariants of a valid histogram ([`Histogram::validate`]): spans cover exactly the counts that are
//! there, offsets behind the first are not negative, a custom layout has ascending finite bounds and
//! no negative side, an exponential one has none. Counts are floats even where the sender counted
//! with integers: exact up to 2^53.

mod bounds;
mod bytes;
mod check;
mod compare;
mod layout;
mod reset;
mod resolution;
mod sum;
pub mod testing;

use std::sync::Arc;

pub use bytes::{BadHistogram, decode, encode, hint_of, is_whole, set_hint};
pub use check::{BUCKETS_MAX, HistogramError};
pub use layout::Bucket;
pub use sum::{HistogramSum, Incompatible, Merged};

/// The schema of buckets whose bounds are listed in [`Histogram::bounds`].
pub const CUSTOM_SCHEMA: i32 = -53;
/// The finest resolution: 256 buckets for every doubling.
pub const SCHEMA_MAX: i32 = 8;
/// The coarsest resolution: one bucket for every factor of 65,536.
pub const SCHEMA_MIN: i32 = -4;

/// Bytes of a histogram beside its buckets; here they are as many, with the counters of an [`Arc`].
const FIELDS_BYTES: usize = 168;
/// Bytes of a span, of a count and of a bound.
const SLOT_BYTES: usize = 8;
/// Bytes of a number and its instant.
const NUMBER_BYTES: usize = 16;

/// What is known of a reset between this sample and the one before.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum ResetHint {
    /// Nothing: the reader has to compare.
    #[default]
    Unknown = 0,
    /// The counter began anew with this sample.
    Reset = 1,
    /// It did not.
    NotReset = 2,
    /// Not a counter at all.
    Gauge = 3,
}

impl ResetHint {
    /// The hint with this number in a format or in remote write.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Unknown),
            1 => Some(Self::Reset),
            2 => Some(Self::NotReset),
            3 => Some(Self::Gauge),
            _ => None,
        }
    }
}

/// A run of neighbouring buckets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct BucketSpan {
    /// Of the first span the index of its first bucket, of later ones the gap to the span before.
    pub offset: i32,
    /// Number of buckets.
    pub length: u32,
}

/// The buckets of one side of zero.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HistogramBuckets {
    /// Where the counts are.
    pub spans: Vec<BucketSpan>,
    /// Observations in each bucket by itself, not cumulated.
    pub counts: Vec<f64>,
}

/// One sample of a native histogram.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram {
    /// Resolution: a bucket's bounds are `2^(2^-schema)` apart; [`CUSTOM_SCHEMA`] for listed bounds.
    pub schema: i32,
    /// What is known of resets.
    pub reset_hint: ResetHint,
    /// The sender counted with integers.
    pub is_integer: bool,
    /// Width of the bucket around zero, on both sides.
    pub zero_threshold: f64,
    /// Observations in it.
    pub zero_count: f64,
    /// All observations.
    pub count: f64,
    /// Their sum.
    pub sum: f64,
    /// Buckets above zero; all buckets of a custom layout.
    pub positive: HistogramBuckets,
    /// Buckets below zero, indexed by magnitude.
    pub negative: HistogramBuckets,
    /// Upper bounds of the custom layout without the last, infinite one; else empty.
    pub bounds: Arc<[f64]>,
}

impl Default for Histogram {
    fn default() -> Self {
        Self {
            schema: 0,
            reset_hint: ResetHint::Unknown,
            is_integer: false,
            zero_threshold: 0.0,
            zero_count: 0.0,
            count: 0.0,
            sum: 0.0,
            positive: HistogramBuckets::default(),
            negative: HistogramBuckets::default(),
            bounds: Arc::from([]),
        }
    }
}

/// What a column of histograms weighs beyond a sample each: see [`Histogram::weight`]. Neighbours that are
/// one and the same count once.
pub fn weight(column: &[Option<Arc<Histogram>>]) -> usize {
    let mut last: Option<&Arc<Histogram>> = None;
    let mut total = 0;
    for histogram in column.iter().flatten() {
        if !last.is_some_and(|last| Arc::ptr_eq(last, histogram)) {
            total += histogram.weight().saturating_sub(1);
        }
        last = Some(histogram);
    }
    total
}

impl HistogramBuckets {
    /// The buckets as (index, count), ascending.
    pub fn iter(&self) -> impl Iterator<Item = (i32, f64)> + '_ {
        let mut next = 0i32;
        let indexes = self.spans.iter().flat_map(move |span| {
            let first = next.wrapping_add(span.offset);
            next = first.wrapping_add(span.length as i32);
            (0..span.length as i32).map(move |place| first.wrapping_add(place))
        });
        indexes.zip(self.counts.iter().copied())
    }
}

impl Histogram {
    /// True when the bounds are listed.
    pub fn is_custom(&self) -> bool {
        self.schema == CUSTOM_SCHEMA
    }

    /// How many samples of numbers take as much memory, as Prometheus counts it (`HPoint.size` in
    /// promql/value.go): the histogram and its instant, in numbers with theirs.
    pub fn weight(&self) -> usize {
        let sides = [&self.positive, &self.negative];
        let slots: usize = sides.iter().map(|side| side.spans.len() + side.counts.len()).sum();
        let bytes = FIELDS_BYTES + SLOT_BYTES * (slots + self.bounds.len());
        (bytes + size_of::<i64>()) / NUMBER_BYTES
    }
}
