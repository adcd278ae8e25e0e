//! What can go wrong, or be remarkable, in the meaning of a query rather than in its machinery.

use base::error::{Classify, ErrorKind};

use crate::node::Span;

/// A query whose meaning fails on the data it met.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum EvalError {
    /// Two result rows have equal labels.
    #[error("vector cannot contain metrics with the same labelset")]
    DuplicateLabels,
    /// Two rows of the "one" side of a join match the same group.
    #[error(
        "found duplicate series for the match group {group} on the {side} hand-side of the \
         operation: [{}, {}];many-to-many matching not allowed: matching labels must be unique on one \
         side",
        rows[0],
        rows[1]
    )]
    DuplicateMatch {
        /// The matching labels.
        group: String,
        /// `left` or `right`.
        side: &'static str,
        /// The rows in the order of their texts, as the reference puts them from 3.14 on.
        rows: [String; 2],
    },
    /// One-to-one met several rows on the left.
    #[error(
        "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)"
    )]
    ImplicitManyToOne,
    /// Two pairs of a grouped join give equal labels.
    #[error("multiple matches for labels: grouping labels must ensure unique matches")]
    AmbiguousGrouping,
    /// A scalar argument is outside what it may be.
    #[error("{0}")]
    BadArgument(String),
    /// An integer or float result left the numbers.
    #[error("{0}")]
    NotANumber(String),
}

impl Classify for EvalError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// How much an [`Annotation`] matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Level {
    /// The result may be wrong.
    Warning,
    /// Worth knowing.
    Info,
}

/// Something remarkable about a result that is still an answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Annotation {
    /// What it is.
    pub kind: AnnotationKind,
    /// The expression it is about.
    pub span: Option<Span>,
}

/// The kinds of annotations; `Display` is the text without its level.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum AnnotationKind {
    /// A quantile outside [0, 1].
    #[error("quantile value should be between 0 and 1, got {0}")]
    InvalidQuantile(String),
    /// A counter function over a metric that does not look like a counter.
    #[error(
        "metric might not be a counter, name does not end in _total/_sum/_count/_bucket: {0:?}"
    )]
    PossiblyNotCounter(String),
    /// A counter function over a metric that is labelled as something else.
    #[error(
        "metric might not be a counter, __type__ label is not set to \"counter\" or \
         \"histogram\", got {got:?}: {metric:?}"
    )]
    NotTypedCounter {
        /// The metric.
        metric: String,
        /// Its `__type__`.
        got: String,
    },
    /// A bucket without a usable bound.
    #[error("bucket label \"le\" is missing or has a malformed value of {value:?}{}", of(metric))]
    BadBucketLabel {
        /// As given.
        value: String,
        /// The metric, where it is still known.
        metric: String,
    },
    /// Bucket counts had to be repaired.
    #[error(
        "input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile){}",
        of(&.0.metric)
    )]
    ForcedMonotonicity(Box<Monotonicity>),
    /// A window holds floats and histograms.
    #[error("encountered a mix of histograms and floats for metric name {0:?}")]
    MixedWindow(String),
    /// A group holds floats and histograms.
    #[error("encountered a mix of histograms and floats for aggregation")]
    MixedGroup,
    /// Classic buckets and a native histogram under the same labels.
    #[error("vector contains a mix of classic and native histograms{}", of(.0))]
    MixedHistograms(String),
    /// Exponential and custom buckets cannot be added.
    #[error(
        "vector contains a mix of histograms with exponential and custom buckets schemas for \
         metric name {0:?}"
    )]
    MixedSchemas(String),
    /// A gauge where a counter belongs.
    #[error("this native histogram metric is not a counter: {0:?}")]
    HistogramNotCounter(String),
    /// A counter where a gauge belongs.
    #[error("this native histogram metric is not a gauge: {0:?}")]
    HistogramNotGauge(String),
    /// Two histograms whose buckets cannot be brought together.
    #[error("incompatible bucket layout encountered for binary operator {0}")]
    IncompatibleLayouts(&'static str),
    /// Values that an operator is not made for.
    #[error(
        "incompatible sample types encountered for binary operator {op:?}: {left} {op} {right}"
    )]
    IncompatibleTypes {
        /// `float` or `histogram`.
        left: &'static str,
        /// The operator.
        op: &'static str,
        /// `float` or `histogram`.
        right: &'static str,
    },
    /// A histogram where an aggregation only takes floats.
    #[error("ignored histogram in {0} aggregation")]
    HistogramIgnored(&'static str),
    /// Histograms of a window left out.
    #[error(
        "ignored histograms in a range containing both floats and histograms for metric name {0:?}"
    )]
    HistogramsIgnored(String),
    /// Observations that are no numbers, and the quantile lies among them.
    #[error(
        "input to histogram_quantile has NaN observations, result is NaN{}", of(.0)
    )]
    QuantileNotANumber(String),
    /// Observations that are no numbers push a quantile up.
    #[error("input to histogram_quantile has NaN observations, result is skewed higher{}", of(.0))]
    QuantileSkewed(String),
    /// Observations that are no numbers are in no fraction.
    #[error(
        "input to histogram_fraction has NaN observations, which are excluded from all fractions{}",
        of(.0)
    )]
    FractionExcludes(String),
    /// A known reset was added to what is known to be none.
    #[error("conflicting counter resets during histogram {0}")]
    ResetsConflict(HistogramOperation),
    /// Custom bounds that only some histograms have are gone.
    #[error("mismatched custom buckets were reconciled during {0}")]
    BoundsReconciled(HistogramOperation),
    /// A sample's counting began before the sample before it.
    #[error("sample has start time that overlaps with previous sample timestamp for metric {0:?}")]
    StartOverlap(String),
    /// Sorting a range has no effect.
    #[error("sort is ineffective for range queries since results are always ordered by labels")]
    SortInRangeQuery,
    /// A ratio outside [-1, 1].
    #[error("ratio value should be between -1 and 1, got {got}, capping to {capped}")]
    InvalidRatio {
        /// As given.
        got: String,
        /// As used.
        capped: String,
    },
}

/// What histograms were in when something was remarkable about them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "the names say it")]
pub enum HistogramOperation {
    Addition,
    Subtraction,
    Aggregation,
}

impl std::fmt::Display for HistogramOperation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Addition => "addition",
            Self::Subtraction => "subtraction",
            Self::Aggregation => "aggregation",
        })
    }
}

/// Which bucket counts had to be raised.
#[derive(Clone, Debug, PartialEq)]
pub struct Monotonicity {
    /// The metric, where it is still known.
    pub metric: String,
    /// Bounds of the lowest and the highest repaired bucket.
    pub buckets: (f64, f64),
    /// The largest repair.
    pub difference_max: f64,
    /// How many histograms were repaired.
    pub histograms: u64,
    /// First and last instant of a repair, in milliseconds.
    pub instants_ms: (i64, i64),
}

impl Monotonicity {
    /// Takes the repairs of another one in.
    pub fn absorb(&mut self, other: &Self) {
        self.buckets = (self.buckets.0.min(other.buckets.0), self.buckets.1.max(other.buckets.1));
        self.difference_max = self.difference_max.max(other.difference_max);
        self.histograms += other.histograms;
        let (first, last) = other.instants_ms;
        self.instants_ms = (self.instants_ms.0.min(first), self.instants_ms.1.max(last));
    }
}

/// ` for metric name "…"`, or nothing where the name is gone.
fn of(metric: &str) -> String {
    if metric.is_empty() { String::new() } else { format!(" for metric name {metric:?}") }
}

impl AnnotationKind {
    /// True when `other` says the same; its details may differ.
    pub fn says_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::ForcedMonotonicity(one), Self::ForcedMonotonicity(two)) => {
                one.metric == two.metric
            }
            _ => self == other,
        }
    }

    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::InvalidQuantile(_)
            | Self::BadBucketLabel { .. }
            | Self::SortInRangeQuery
            | Self::MixedWindow(_)
            | Self::MixedGroup
            | Self::MixedHistograms(_)
            | Self::MixedSchemas(_)
            | Self::HistogramNotCounter(_)
            | Self::HistogramNotGauge(_)
            | Self::IncompatibleLayouts(_)
            | Self::ResetsConflict(_)
            | Self::StartOverlap(_)
            | Self::InvalidRatio { .. } => Level::Warning,
            Self::PossiblyNotCounter(_)
            | Self::NotTypedCounter { .. }
            | Self::ForcedMonotonicity(_)
            | Self::IncompatibleTypes { .. }
            | Self::HistogramIgnored(_)
            | Self::HistogramsIgnored(_)
            | Self::QuantileNotANumber(_)
            | Self::QuantileSkewed(_)
            | Self::FractionExcludes(_)
            | Self::BoundsReconciled(_) => Level::Info,
        }
    }
}
