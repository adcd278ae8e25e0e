//! Every way in which the store can fail, with the values that say where and why.
//!
//! Invariant: a variant that blames stored bytes names the file, the offset, what was expected and
//! what was found, so that the message alone is enough to look at the place.

use std::path::Path;

use base::error::{Classify, ErrorKind};
use index::IndexError;
use model::SourceError;

/// Why an operation of the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StorageError {
    /// The operating system refused a file operation.
    #[error("cannot {action} {path}: {reason}")]
    Io {
        /// What was tried: `open`, `write` …
        action: &'static str,
        /// The file or directory.
        path: String,
        /// What the system said.
        reason: String,
    },
    /// Another process works on the same directory.
    #[error("cannot open {path}: another process holds its lock; stop it or use another directory")]
    Locked {
        /// The data directory.
        path: String,
    },
    /// Stored bytes are damaged.
    #[error("{file} is damaged at byte {offset}: expected {expected}, got {got}")]
    Corrupt {
        /// The file or object.
        file: String,
        /// Where in it.
        offset: u64,
        /// What should be there.
        expected: String,
        /// What is there.
        got: String,
    },
    /// The object store failed.
    #[error("cannot {action} object {path}: {reason}")]
    Store {
        /// What was tried.
        action: &'static str,
        /// The object.
        path: String,
        /// What the store said.
        reason: String,
    },
    /// Somebody else published the manifest that was ours to publish.
    #[error("cannot publish manifest {number}: another writer has created it; writes stop here")]
    Fenced {
        /// The manifest's number.
        number: u64,
    },
    /// A manifest edit would break a rule of the manifest.
    #[error("cannot publish manifest: {invariant} does not hold: {detail}")]
    Invariant {
        /// The rule.
        invariant: &'static str,
        /// Which entries break it.
        detail: String,
    },
    /// An option has an impossible value.
    #[error("invalid option {name}: {reason}")]
    InvalidOption {
        /// The option.
        name: &'static str,
        /// What is wrong with it.
        reason: String,
    },
    /// The index refused.
    #[error("{message}")]
    Index {
        /// What it said.
        message: String,
    },
    /// The engine is closed, or a background task of it has died.
    #[error("cannot {action}: the store is closed")]
    Closed {
        /// What was asked for.
        action: &'static str,
    },
}

impl StorageError {
    /// A refused file operation.
    pub fn io(action: &'static str, path: &Path, error: &std::io::Error) -> Self {
        Self::Io { action, path: path.display().to_string(), reason: error.to_string() }
    }

    /// Damage at a place.
    pub fn corrupt(
        file: impl Into<String>,
        offset: u64,
        expected: impl Into<String>,
        got: impl Into<String>,
    ) -> Self {
        Self::Corrupt { file: file.into(), offset, expected: expected.into(), got: got.into() }
    }
}

impl Classify for StorageError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Io { .. } | Self::Store { .. } | Self::Closed { .. } => ErrorKind::Unavailable,
            Self::Locked { .. } | Self::Fenced { .. } => ErrorKind::Conflict,
            Self::Corrupt { .. } => ErrorKind::Corrupt,
            Self::Invariant { .. } | Self::Index { .. } => ErrorKind::Internal,
            Self::InvalidOption { .. } => ErrorKind::Invalid,
        }
    }
}

/// How errors name the index of the head.
pub(crate) const HEAD_INDEX: &str = "the head";

/// An error of the index of `file`.
pub(crate) fn index_error(file: &str, error: IndexError) -> StorageError {
    match error.kind() {
        ErrorKind::Corrupt => StorageError::corrupt(file, 0, "a sound index", error.to_string()),
        _ => StorageError::Index { message: format!("index of {file}: {error}") },
    }
}

/// An error of a select on the index of `file`.
pub(crate) fn select_error(file: &str, error: IndexError) -> SourceError {
    match error {
        IndexError::Pattern(error) => SourceError::Pattern(error),
        error => index_error(file, error).into(),
    }
}

/// What was said to readers, met by the store's own work.
impl From<SourceError> for StorageError {
    fn from(error: SourceError) -> Self {
        Self::Index { message: error.to_string() }
    }
}

impl From<StorageError> for SourceError {
    fn from(error: StorageError) -> Self {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::Corrupt => Self::Corrupt { message },
            _ => Self::Unavailable { message },
        }
    }
}
