//! The write contract.

use base::error::{Classify, ErrorKind};
use futures::future::BoxFuture;

use crate::batch::WriteBatch;
use crate::time::TenantId;

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
