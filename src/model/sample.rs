//! Samples: a millisecond timestamp and one of a float, an integer, or (later) a native histogram.
//!
//! Floats are bit-exact everywhere: NaN payloads survive, and the stale marker is one of them.

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
}

impl SampleKind {
    /// The kind with this number in a format.
    pub fn from_u8(number: u8) -> Option<Self> {
        match number {
            0 => Some(Self::Float),
            1 => Some(Self::Integer),
            _ => None,
        }
    }

    /// The value as every language but OpenTSDB sees it.
    #[inline]
    pub fn to_f64(self, bits: u64) -> f64 {
        match self {
            Self::Float => f64::from_bits(bits),
            Self::Integer => bits as i64 as f64,
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
}

impl Samples {
    /// Forgets the samples, keeps the memory.
    pub fn clear(&mut self) {
        self.timestamps.clear();
        self.values.clear();
        self.integers.clear();
    }

    /// Number of samples.
    pub fn len(&self) -> usize {
        self.timestamps.len()
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
        self.timestamps.push(timestamp_ms);
        self.values.push(kind.to_f64(bits));
    }
}
