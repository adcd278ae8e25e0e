//! Samples: a millisecond timestamp and one of a float, an integer, or a native histogram.
//!
//! Floats are bit-exact everywhere: NaN payloads survive, and the stale marker is one of them.

use std::sync::Arc;

use crate::histogram::{self, Histogram};
use crate::summary::Summary;

/// The NaN with which Prometheus says "this series ended here".
pub const STALE_NAN_BITS: u64 = 0x7ff0_0000_0000_0002;

/// True for the stale marker, and for no other NaN.
#[inline]
pub fn is_stale(value: f64) -> bool {
    value.to_bits() == STALE_NAN_BITS
}

/// What the 64 bits of a stored value mean.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum SampleKind {
    /// The bits of an `f64`.
    Float = 0,
    /// The bits of an `i64`: what OpenTSDB writes for a value without `.` or exponent.
    Integer = 1,
    /// A native histogram: the bits say where its bytes are in whatever holds the sample.
    Histogram = 2,
}

impl SampleKind {
    /// The kind with this number in a format.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Float),
            1 => Some(Self::Integer),
            2 => Some(Self::Histogram),
            _ => None,
        }
    }

    /// The value as every language but OpenTSDB sees it.
    #[inline]
    pub fn to_f64(self, bits: u64) -> f64 {
        match self {
            Self::Float => f64::from_bits(bits),
            Self::Integer => bits as i64 as f64,
            Self::Histogram => f64::from_bits(STALE_NAN_BITS),
        }
    }
}

/// The samples of one series in ascending, unique time order; a reusable buffer.
#[derive(Clone, Debug, Default)]
pub struct Samples {
    /// Milliseconds since the epoch.
    pub timestamps: Vec<i64>,
    /// Values as floats; an integer sample shows as its nearest float.
    pub values: Vec<f64>,
    /// The exact integers: empty when the series has none (or they were not asked for), else as
    /// long as `values`, with `None` where the sample is a float.
    pub integers: Vec<Option<i64>>,
    /// The native histograms: empty when the series has none (or they were not asked for), else as
    /// long as `values`. Where one stands, `values` has the stale marker, so that whoever only knows
    /// floats sees nothing there.
    pub histograms: Vec<Option<Arc<Histogram>>>,
    /// Milliseconds at which the counting of each sample began, 0 where that is unknown: empty when
    /// no sample has one (or they were not asked for), else as long as `values`.
    pub starts: Vec<i64>,
    /// What each sample stands for: empty when they stand for themselves alone (or a reader did not say
    /// where it cuts, [`crate::Hints::cut_ms`]), else as long as `values`, where each sample is the
    /// last of its run. Rows with summaries hold nothing but floats.
    pub summaries: Vec<Summary>,
    /// How far behind an instant the run around it may end: the widest bucket of those that are not cut
    /// where the reader cuts; 0 where all are.
    pub reach_ms: i64,
}

impl Samples {
    /// Appends a summary as a sample; it must end later than the last one.
    pub fn push_summary(&mut self, summary: Summary) {
        self.timestamps.push(summary.last_ms);
        self.values.push(summary.last);
        self.summaries.push(summary);
    }

    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.integers.clear();
        self.histograms.clear();
        self.starts.clear();
        self.summaries.clear();
        self.reach_ms = 0;
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
    }

    /// How many samples of numbers take as much memory: see [`Histogram::weight`].
    pub fn weight(&self) -> usize {
        self.values.len() + histogram::weight(&self.histograms)
    }

    /// True without samples.
    pub fn is_empty(&self) -> bool {
        self.timestamps.is_empty()
    }

    /// Appends a sample; `timestamp_ms` must be later than the last one.
    pub fn push(&mut self, timestamp_ms: i64, kind: SampleKind, bits: u64) {
        if kind == SampleKind::Integer && self.integers.is_empty() {
            self.integers.resize(self.values.len(), None);
        }
        if kind == SampleKind::Integer || !self.integers.is_empty() {
            self.integers.push((kind == SampleKind::Integer).then_some(bits as i64));
        }
        self.pad_optional_columns();
        self.timestamps.push(timestamp_ms);
        self.values.push(kind.to_f64(bits));
    }

    /// Appends a native histogram; `timestamp_ms` must be later than the last one.
    pub fn push_histogram(&mut self, timestamp_ms: i64, histogram: Arc<Histogram>) {
        if !self.integers.is_empty() {
            self.integers.push(None);
        }
        if !self.starts.is_empty() {
            self.starts.push(0);
        }
        self.histograms.resize(self.values.len(), None);
        self.histograms.push(Some(histogram));
        self.timestamps.push(timestamp_ms);
        self.values.push(f64::from_bits(STALE_NAN_BITS));
    }

    /// Says when the counting of the last sample began; 0 says nothing.
    pub fn set_start(&mut self, start_ms: i64) {
        if self.starts.is_empty() && start_ms == 0 {
            return;
        }
        self.starts.resize(self.values.len(), 0);
        if let Some(last) = self.starts.last_mut() {
            *last = start_ms;
        }
    }

    /// Puts the sample at `from` in the place of the one at `to`, which is lost.
    pub fn move_sample(&mut self, from: usize, to: usize) {
        if from == to {
            return;
        }
        self.timestamps[to] = self.timestamps[from];
        self.values[to] = self.values[from];
        if !self.integers.is_empty() {
            self.integers[to] = self.integers[from];
        }
        if !self.histograms.is_empty() {
            self.histograms.swap(to, from);
        }
        if !self.starts.is_empty() {
            self.starts[to] = self.starts[from];
        }
        if !self.summaries.is_empty() {
            self.summaries[to] = self.summaries[from];
        }
    }

    /// True where the sample at `index` is the stale marker of a float series or of a histogram.
    pub fn is_stale_at(&self, index: usize) -> bool {
        self.values.get(index).is_some_and(|value| is_stale(*value))
            && self.histogram(index).is_none()
    }

    /// The histogram at `index`, where there is one.
    #[inline]
    pub fn histogram(&self, index: usize) -> Option<&Arc<Histogram>> {
        self.histograms.get(index)?.as_ref()
    }

    /// Keeps the optional columns that exist as long as `values` will be after the next push.
    fn pad_optional_columns(&mut self) {
        if !self.histograms.is_empty() {
            self.histograms.push(None);
        }
        if !self.starts.is_empty() {
            self.starts.push(0);
        }
    }
}
