//! One process per data directory.
//!
//! The lock is the operating system's: it ends with the process, however that ends, so a stale
//! lock file never needs to be removed by hand.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write as _;
use std::path::Path;

use crate::error::StorageError;

/// Holds the lock of a data directory until it is dropped.
#[derive(Debug)]
pub(crate) struct DirLock {
    _file: File,
}

impl DirLock {
    /// True while another process holds the lock at `path`.
    pub(crate) fn is_held(path: &Path) -> Result<bool, StorageError> {
        let failed = |error| StorageError::io("look at", path, &error);
        let file = match File::open(path) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(failed)?,
        };
        match file.try_lock_shared() {
            Ok(()) => Ok(false),
            Err(TryLockError::WouldBlock) => Ok(true),
            Err(TryLockError::Error(error)) => Err(failed(error)),
        }
    }

    /// Locks `path`, or says that another process has.
    pub(crate) fn acquire(path: &Path) -> Result<Self, StorageError> {
        let mut file = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(path)
            .map_err(|error| StorageError::io("open", path, &error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let path = path.parent().unwrap_or(path).display().to_string();
                return Err(StorageError::Locked { path });
            }
            Err(TryLockError::Error(error)) => {
                return Err(StorageError::io("lock", path, &error));
            }
        }
        // The process id is for people who look; nothing reads it, so a failure costs nothing.
        let _ = file.set_len(0);
        let _ = writeln!(file, "{}", std::process::id());
        Ok(Self { _file: file })
    }
}
