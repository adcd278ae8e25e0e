//! Appends groups of records to the newest log file: one write and one sync for a whole group.
//!
//! Invariants: a group that was not acknowledged is cut off the file before anything is written
//! behind it; after a failed sync the file is never written again, since the system may have
//! forgotten which of its pages are dirty (Rebello et al. 2020, "Can applications recover from
//! fsync failures?"). While the cut fails, every commit fails.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Instant;

use base::metrics::Metrics;

use crate::error::StorageError;
use crate::framed::HEADER_BYTES;
use crate::layout::Layout;
use crate::options::{EngineOptions, WalSync};
use crate::wal::file::{LogFile, LogFiles};
use crate::wal::record::LOG;

/// A place in the log: everything in front of it is older.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct WalPosition {
    /// Number of the file.
    pub(crate) file: u64,
    /// Byte in the file.
    pub(crate) offset: u64,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    file: Box<dyn LogFile>,
    /// Bytes that are part of the log; what lies behind belongs to a failed group.
    length: u64,
    dirty: bool,
}

/// A file whose end has to be cut before the log goes on.
#[derive(Debug)]
struct Cut {
    path: PathBuf,
    length: u64,
}

/// The writing end of the log.
#[derive(Debug)]
pub(crate) struct WalWriter {
    layout: Layout,
    files: Arc<dyn LogFiles>,
    metrics: Arc<Metrics>,
    sync: WalSync,
    file_bytes: u64,
    next_file: u64,
    open: Option<OpenFile>,
    cut: Option<Cut>,
}

impl WalWriter {
    /// A writer that begins with file `next_file`, created by the first commit.
    pub(crate) fn new(
        layout: Layout,
        files: Arc<dyn LogFiles>,
        metrics: Arc<Metrics>,
        options: &EngineOptions,
        next_file: u64,
    ) -> Self {
        Self {
            layout,
            files,
            metrics,
            sync: options.wal_sync,
            file_bytes: options.wal_file_bytes,
            next_file,
            open: None,
            cut: None,
        }
    }

    /// The place where the next group begins at the earliest.
    pub(crate) fn position(&self) -> WalPosition {
        match &self.open {
            Some(open) => WalPosition { file: self.next_file - 1, offset: open.length },
            None => WalPosition { file: self.next_file, offset: 0 },
        }
    }

    /// Appends `frames` as one group; returns where it begins. When this returns `Ok` the group is
    /// synced (or, with an interval, written); on `Err` nothing of it is in the log.
    pub(crate) fn commit(&mut self, frames: &[u8]) -> Result<WalPosition, StorageError> {
        let result = self.try_commit(frames);
        if result.is_err() {
            self.metrics.wal_errors.inc();
            self.abandon();
            // At once, so that a crash does not bring back what was refused; if it fails, the next
            // commit tries again before it writes anything.
            if let Err(error) = self.make_cut() {
                tracing::warn!(%error, "a refused group is not cut off the log yet");
            }
        }
        result
    }

    fn try_commit(&mut self, frames: &[u8]) -> Result<WalPosition, StorageError> {
        self.make_cut()?;
        if self.open.as_ref().is_some_and(|open| open.length >= self.file_bytes) {
            self.sync()?;
            self.open = None;
        }
        if self.open.is_none() {
            self.open = Some(self.create()?);
        }
        let always = self.sync == WalSync::Always;
        let Some(open) = &mut self.open else {
            return Err(StorageError::Closed { action: "write to the log" });
        };
        let failed = |action, error| StorageError::io(action, &open.path, &error);
        open.file.append(frames).map_err(|error| failed("write", error))?;
        if always {
            timed_sync(&mut *open.file, &self.metrics).map_err(|error| failed("sync", error))?;
        }
        let start = WalPosition { file: self.next_file - 1, offset: open.length };
        open.length += frames.len() as u64;
        open.dirty = !always;
        self.metrics.wal_bytes.add(frames.len() as u64);
        self.metrics.wal_size_bytes.add(frames.len() as i64);
        Ok(start)
    }

    fn create(&mut self) -> Result<OpenFile, StorageError> {
        let number = self.next_file;
        let path = self.layout.wal_file(number);
        // A number whose creation failed half-way is not tried again: its file may exist.
        self.next_file += 1;
        let failed = |action, error| StorageError::io(action, &path, &error);
        let mut file = self.files.create(&path).map_err(|error| failed("create", error))?;
        if let Err(error) = file.append(&LOG.header(number)) {
            self.cut = Some(Cut { path: path.clone(), length: 0 });
            return Err(failed("write", error));
        }
        self.metrics.wal_size_bytes.add(HEADER_BYTES as i64);
        Ok(OpenFile { path, file, length: HEADER_BYTES as u64, dirty: true })
    }

    /// Leaves the open file for good; what is behind its good length will be cut.
    fn abandon(&mut self) {
        if let Some(open) = self.open.take() {
            self.cut = Some(Cut { path: open.path, length: open.length });
        }
    }

    fn make_cut(&mut self) -> Result<(), StorageError> {
        if let Some(cut) = &self.cut {
            self.files
                .truncate(&cut.path, cut.length)
                .map_err(|error| StorageError::io("truncate", &cut.path, &error))?;
            self.cut = None;
        }
        Ok(())
    }

    /// Syncs what is written but not synced yet.
    pub(crate) fn sync(&mut self) -> Result<(), StorageError> {
        let Some(open) = &mut self.open else {
            return Ok(());
        };
        if !open.dirty {
            return Ok(());
        }
        if let Err(error) = timed_sync(&mut *open.file, &self.metrics) {
            let error = StorageError::io("sync", &open.path, &error);
            self.metrics.wal_errors.inc();
            self.abandon();
            return Err(error);
        }
        open.dirty = false;
        Ok(())
    }

    /// Finishes the open file: everything committed so far is synced and in files below the returned
    /// number, which will never be written again.
    pub(crate) fn rotate(&mut self) -> Result<u64, StorageError> {
        self.make_cut()?;
        self.sync()?;
        self.open = None;
        Ok(self.next_file)
    }

    /// True when a sync would do something.
    pub(crate) fn is_dirty(&self) -> bool {
        self.open.as_ref().is_some_and(|open| open.dirty)
    }
}

fn timed_sync(file: &mut dyn LogFile, metrics: &Metrics) -> io::Result<()> {
    let start = Instant::now();
    file.sync()?;
    metrics.wal_syncs.inc();
    metrics.wal_sync_seconds.observe(start.elapsed());
    Ok(())
}
