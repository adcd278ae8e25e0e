//! Why a query gives no answer.

use base::cancel::Stopped;
use base::error::{Classify, ErrorKind};
use model::SourceError;
use plan::EvalError;

/// A failed execution.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ExecError {
    /// The query does not make sense of the data.
    #[error(transparent)]
    Eval(#[from] EvalError),
    /// The store failed.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// One of the plan's [`plan::QueryLimits`] was passed.
    #[error("{}", limit_text(name, *max))]
    Limit {
        /// The field of the limits.
        name: &'static str,
        /// Its value.
        max: u64,
    },
    /// The process has no memory to give.
    #[error("query was ended because the process is at its memory limit of {limit} bytes")]
    MemoryFull {
        /// The limit.
        limit: u64,
    },
    /// A query that was found small reads more than such a one does: nobody could tell before.
    #[error("query is not small")]
    NotSmall,
    /// The deadline passed, or nobody waits any more.
    #[error("{}", stopped_text(*.0))]
    Stopped(Stopped),
    /// The plan is not one: a mistake of this program.
    #[error("cannot run the plan: {0}")]
    Internal(String),
}

/// The name of the limit of samples in memory.
pub(crate) const SAMPLES: &str = "samples_max";

fn limit_text(name: &str, max: u64) -> String {
    if name == SAMPLES {
        // Prometheus's words; clients look for them.
        "query processing would load too many samples into memory in query execution".to_owned()
    } else {
        format!("query needs more than the limit {name} allows: {max}")
    }
}

fn stopped_text(stopped: Stopped) -> &'static str {
    match stopped {
        Stopped::TimedOut => "query timed out in expression evaluation",
        Stopped::Canceled => "query was canceled in expression evaluation",
    }
}

impl From<Stopped> for ExecError {
    fn from(stopped: Stopped) -> Self {
        Self::Stopped(stopped)
    }
}

impl Classify for ExecError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Eval(error) => error.kind(),
            Self::Source(error) => error.kind(),
            Self::Limit { .. } => ErrorKind::TooLarge,
            Self::MemoryFull { .. } => ErrorKind::Unavailable,
            Self::Stopped(Stopped::TimedOut) => ErrorKind::Timeout,
            Self::Stopped(Stopped::Canceled) => ErrorKind::Canceled,
            Self::NotSmall | Self::Internal(_) => ErrorKind::Internal,
        }
    }
}
