//! The few file operations of the log, behind a trait so that tests can make each of them fail.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::path::Path;

/// Creates and removes log files.
pub trait LogFiles: Debug + Send + Sync {
    /// Creates `path`, which must not exist; the directory entry is durable on return.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Opens `path`, which must exist, to write behind its end.
    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Cuts the file at `path` to `length` bytes, durably.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Removes the file at `path`.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A log file that is being written.
pub trait LogFile: Debug + Send {
    /// Writes all of `bytes` at the end. On an error any part of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// Log files on the local disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskFiles;

/// Makes the entries of `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

impl LogFiles for DiskFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        if let Some(dir) = path.parent() {
            sync_dir(dir)?;
        }
        Ok(Box::new(DiskFile(file)))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn truncate(&self, path: &Path, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(path)?;
        if file.metadata()?.len() > length {
            file.set_len(length)?;
        }
        file.sync_all()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }
}

#[derive(Debug)]
struct DiskFile(File);

impl LogFile for DiskFile {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }
}
