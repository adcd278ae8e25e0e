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
         operation: [{later}, {earlier}];many-to-many matching not allowed: matching labels must be \
         unique on one side"
    )]
    DuplicateMatch {
        /// The matching labels.
        group: String,
        /// `left` or `right`.
        side: &'static str,
        /// The row met second.
        later: String,
        /// The row met first.
        earlier: String,
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
    /// A bucket without a usable bound.
    #[error("bucket label \"le\" is missing or has a malformed value of {0:?}")]
    BadBucketLabel(String),
    /// Bucket counts had to be repaired.
    #[error(
        "input to histogram_quantile needed to be fixed for monotonicity (see \
         https://prometheus.io/docs/prometheus/latest/querying/functions/#histogram_quantile)"
    )]
    ForcedMonotonicity,
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

impl AnnotationKind {
    /// How much it matters.
    pub fn level(&self) -> Level {
        match self {
            Self::InvalidQuantile(_)
            | Self::BadBucketLabel(_)
            | Self::SortInRangeQuery
            | Self::InvalidRatio { .. } => Level::Warning,
            Self::PossiblyNotCounter(_) | Self::ForcedMonotonicity => Level::Info,
        }
    }
}
