//! The write contract.

use base::error::{Classify, ErrorKind};
use futures::future::BoxFuture;

use crate::batch::WriteBatch;
use crate::matcher::Matcher;
use crate::time::{TenantId, TimeRange};

/// Takes batches of samples. One per process, shared by all listeners.
pub trait Appender: Send + Sync {
    /// An empty batch with the store's hasher. Recycle the one in an [`AppendReport`] instead where
    /// batches follow each other.
    fn batch(&self, tenant: TenantId) -> WriteBatch;

    /// Stores `batch`. When this returns `Ok`, every sample that the report does not list as
    /// rejected is in the log and, under `wal.sync = "always"`, synced to disk; and it is visible to
    /// queries. On `Err` nothing of the batch is stored.
    ///
    /// Of several samples of one series at one instant the last one of the batch wins, and it wins
    /// over what was stored before.
    fn append(&self, batch: WriteBatch) -> BoxFuture<'_, Result<AppendReport, AppendError>>;

    /// Deletes the samples in `range` of all series that pass `matchers`, as far as they are stored
    /// when the call begins; writes that go on beside it may stay. On return they are invisible, also
    /// after a restart; [`Appender::purge`], or a merge some time later, takes them off the disk.
    /// Blocks, for seconds where much has to be flushed: call it from a thread that may wait.
    fn delete(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), DeleteError>;

    /// Rewrites all that still holds deleted samples. Blocks.
    fn purge(&self) -> Result<(), DeleteError>;

    /// Keeps a copy of all that is stored now as a directory of its own, from which a store can be
    /// opened: links, so that it takes no time and no room. Without `head` it holds blocks only, and
    /// what is not in a block yet is missing. Returns the copy's name below the store's
    /// `snapshots`. Blocks.
    fn snapshot(&self, head: bool) -> Result<String, SnapshotError>;
}

/// Why there is no copy.
#[derive(Clone, Debug, thiserror::Error)]
#[error("cannot take a snapshot: {reason}")]
pub struct SnapshotError {
    /// What the store said.
    pub reason: String,
}

impl Classify for SnapshotError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}

/// Why nothing was deleted.
#[derive(Clone, Debug, thiserror::Error)]
pub enum DeleteError {
    /// The series cannot be found.
    #[error("cannot select what to delete: {0}")]
    Select(#[from] crate::source::SourceError),
    /// The store cannot be changed now.
    #[error("cannot delete: {reason}")]
    Unavailable {
        /// What the store said.
        reason: String,
    },
}

impl Classify for DeleteError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Select(error) => error.kind(),
            Self::Unavailable { .. } => ErrorKind::Unavailable,
        }
    }
}

/// What became of a batch.
#[derive(Debug)]
pub struct AppendReport {
    /// The batch itself: its rows explain `rejects`; clear it and use it again.
    pub batch: WriteBatch,
    /// Samples stored.
    pub written: u64,
    /// What was not stored, in row order.
    pub rejects: Vec<Reject>,
}

/// Samples of a batch that were not stored. Their neighbours were.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Index of the row.
    pub row: u32,
    /// Index of the sample inside the row; `None` means the whole row.
    pub sample: Option<u32>,
    /// Why.
    pub reason: RejectReason,
}

/// Why a sample was not stored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RejectReason {
    /// The label set is not one.
    #[error(transparent)]
    Labels(#[from] crate::label::LabelError),
    /// The series would be one too many.
    #[error("series limit of {max} active series is reached")]
    SeriesLimit {
        /// `limits.series_max` of the configuration.
        max: u64,
    },
    /// Older than the retention.
    #[error("sample at {timestamp_ms} ms is older than the retention, which starts at {min_ms} ms")]
    TooOld {
        /// The sample's time.
        timestamp_ms: i64,
        /// The earliest time that is kept.
        min_ms: i64,
    },
    /// Further in the future than the store accepts.
    #[error(
        "out of bounds: timestamp is too far in the future: {timestamp_ms} ms is after {max_ms} ms"
    )]
    TooFarInFuture {
        /// The sample's time.
        timestamp_ms: i64,
        /// The latest time that is accepted.
        max_ms: i64,
    },
}

/// Why nothing of a batch was stored.
#[derive(Clone, Debug, thiserror::Error)]
pub enum AppendError {
    /// The disk is full, read-only or failing; writes are refused until it recovers.
    #[error("cannot write: {reason}")]
    Unavailable {
        /// What the disk said.
        reason: String,
    },
    /// The queue in front of the log is full.
    #[error("cannot take more: the write queue holds {queued_bytes} bytes")]
    Overloaded {
        /// Bytes waiting.
        queued_bytes: usize,
    },
    /// The store is shutting down.
    #[error("cannot write: the store is closing")]
    Closing,
}

impl Classify for AppendError {
    fn kind(&self) -> ErrorKind {
        ErrorKind::Unavailable
    }
}
