//! The few file operations of the log and the documents, behind a trait so that tests can make each
//! of them fail, and can lose what was never synced.

use std::fmt::Debug;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::ops::Deref;
use std::path::Path;

use memmap2::Mmap;

/// Everything that the log and the documents do to the disk.
pub trait LogFiles: Debug + Send + Sync {
    /// Creates `path`, which must not exist; the directory entry is durable on return.
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// Opens `path`, which must exist, to write behind its end.
    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>>;

    /// The bytes of the file at `path`.
    fn read(&self, path: &Path) -> io::Result<FileBytes>;

    /// Bytes of the file at `path`.
    fn length(&self, path: &Path) -> io::Result<u64>;

    /// The names in the directory `dir`, in no order.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;

    /// Makes the directory `dir`, with those above it, durably; that there is one is fine.
    fn create_dir(&self, dir: &Path) -> io::Result<()>;

    /// Makes the names in the directory `dir` durable, whoever made them.
    fn sync_names(&self, dir: &Path) -> io::Result<()>;

    /// Gives the file at `from`, which is synced, the name `to` in the same directory, in the place
    /// of what has it; durable on return.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Cuts the file at `path` to `length` bytes, durably.
    fn truncate(&self, path: &Path, length: u64) -> io::Result<()>;

    /// Removes the file at `path`; a power failure may bring it back.
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// A log file that is being written.
pub trait LogFile: Debug + Send {
    /// Writes all of `bytes` at the end. On an error any part of them may be in the file.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns once everything appended is on the disk.
    fn sync(&mut self) -> io::Result<()>;
}

/// The bytes of a file.
#[derive(Debug)]
pub struct FileBytes(Bytes);

#[derive(Debug)]
enum Bytes {
    Mapped(Mmap),
    Owned(Vec<u8>),
}

impl From<Vec<u8>> for FileBytes {
    fn from(bytes: Vec<u8>) -> Self {
        Self(Bytes::Owned(bytes))
    }
}

impl FileBytes {
    /// Begins to read `start..end` from the disk where that has not been done, and does not wait: who asks for
    /// all that it will want keeps the disk busy, who only touches it waits for one piece after the other. The
    /// bytes are the system's to drop; nothing is held.
    pub(crate) fn approach(&self, start: usize, end: usize) {
        #[cfg(unix)]
        if let Bytes::Mapped(map) = &self.0
            && start < end
            && end <= map.len()
        {
            // Refused or not, the bytes can be read.
            let _ = map.advise_range(memmap2::Advice::WillNeed, start, end - start);
        }
    }
}

impl Deref for FileBytes {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        match &self.0 {
            Bytes::Mapped(map) => map,
            Bytes::Owned(bytes) => bytes,
        }
    }
}

/// Maps the file at `path`.
pub(crate) fn map_file(path: &Path) -> io::Result<FileBytes> {
    let file = File::open(path)?;
    if file.metadata()?.len() == 0 {
        // There is nothing to map.
        return Ok(Vec::new().into());
    }
    // SAFETY: files of the log and of blocks are written once and never changed while they are
    // mapped; the data directory's lock keeps other processes of this program out.
    let map = unsafe { Mmap::map(&file) }?;
    Ok(FileBytes(Bytes::Mapped(map)))
}

/// Log files on the local disk.
#[derive(Clone, Copy, Debug)]
pub struct DiskFiles;

/// Makes the entries of `dir` durable.
pub(crate) fn sync_dir(dir: &Path) -> io::Result<()> {
    File::open(dir)?.sync_all()
}

/// Makes the name of `path` durable.
fn sync_name(path: &Path) -> io::Result<()> {
    match path.parent() {
        Some(dir) if dir.as_os_str().is_empty() => sync_dir(Path::new(".")),
        Some(dir) => sync_dir(dir),
        None => Ok(()),
    }
}

impl LogFiles for DiskFiles {
    fn create(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        sync_name(path)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn reopen(&self, path: &Path) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(DiskFile(OpenOptions::new().append(true).open(path)?)))
    }

    fn read(&self, path: &Path) -> io::Result<FileBytes> {
        map_file(path)
    }

    fn length(&self, path: &Path) -> io::Result<u64> {
        Ok(std::fs::metadata(path)?.len())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(dir)? {
            // Names of ours are ASCII; another one is nobody's here.
            names.extend(entry?.file_name().into_string());
        }
        Ok(names)
    }

    fn sync_names(&self, dir: &Path) -> io::Result<()> {
        sync_dir(dir)
    }

    fn create_dir(&self, dir: &Path) -> io::Result<()> {
        if !dir.is_dir()
            && let Some(parent) = dir.parent().filter(|parent| !parent.as_os_str().is_empty())
        {
            self.create_dir(parent)?;
        }
        match std::fs::create_dir(dir) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
            _ => {}
        }
        // Also of one that was there: whoever made it may have died before this.
        sync_dir(dir)?;
        sync_name(dir)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)?;
        sync_name(to)
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
