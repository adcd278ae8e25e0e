//! Layer 1: the vocabulary of the whole system, and the contracts between its halves.
//!
//! The write side produces a [`batch::WriteBatch`] and hands it to an [`append::Appender`]; the read
//! side asks a [`source::Source`] and gets [`sample::Samples`], or a [`source::Catalog`] what labels
//! there are. Nothing here knows how anything is stored, asked for in text, or sent over a wire.

pub mod append;
pub mod batch;
pub mod documents;
pub mod histogram;
pub mod identity;
pub mod label;
pub mod matcher;
pub mod result;
pub mod sample;
pub mod source;
pub mod summary;
pub mod time;

pub use append::{
    AppendError, AppendReport, Appender, DeleteError, Reject, RejectReason, SnapshotError,
};
pub use batch::{Row, WriteBatch};
pub use documents::{DocumentChange, DocumentError, Documents, MemoryDocuments};
pub use histogram::{
    BadHistogram, BucketSpan, Histogram, HistogramBuckets, HistogramError, HistogramSum, ResetHint,
};
pub use label::{LabelBuilder, Labels, LabelsRef, METRIC_NAME, SeriesHasher};
pub use matcher::{Matcher, Pattern, PatternError, ValueTest};
pub use result::{Points, ResultSeries};
pub use sample::{STALE_NAN_BITS, SampleKind, Samples, is_stale};
pub use source::{
    APPROACHED_SERIES, Catalog, Hints, Selection, SeriesReader, Size, Source, SourceError,
    ValueNode, has_name, nodes_of_values,
};
pub use summary::{Compensated, Summary, run_of, summarize};
pub use time::{StepGrid, TenantId, TimeRange};
