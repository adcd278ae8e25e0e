//! Small durable records beside the samples: all of them in memory, their changes in a log that is
//! rewritten when most of it is stale.
//!
//! Invariants: a change is on the disk before any reader sees it; a write is one frame, so a crash
//! keeps or loses the whole of it; what failed is cut off the file before anything follows it.

mod file;
mod record;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::metrics::Metrics;
use model::documents::DocumentTables;
use model::{DocumentChange, DocumentError, Documents, TenantId};
use parking_lot::{Mutex, RwLock};

use crate::error::StorageError;
use crate::framed::{HEADER_BYTES, PAYLOAD_BYTES_MAX};
use crate::layout::Layout;
use crate::lock::DirLock;
use crate::wal::file::{DiskFiles, LogFile, LogFiles};

pub(crate) use file::{FoundDocument, read_documents};

/// A file shorter than this is not worth a rewrite.
const REWRITE_BYTES_MIN: u64 = 64 << 10;

/// The documents of one data directory.
#[derive(Debug)]
pub(crate) struct DocumentStore {
    tables: RwLock<DocumentTables>,
    writer: Mutex<Writer>,
    bytes_max: u64,
    /// The documents are written as long as anybody holds them, so the directory stays locked.
    _lock: Arc<DirLock>,
}

/// The writing end of the log.
#[derive(Debug)]
struct Writer {
    layout: Layout,
    files: Arc<dyn LogFiles>,
    /// Number of the newest file; 0 when there is none yet.
    number: u64,
    /// Bytes of that file which hold; what lies behind belongs to a failed write.
    length: u64,
    open: Option<Box<dyn LogFile>>,
    /// The file may have bytes behind `length`.
    is_torn: bool,
    /// A sync of the file has failed: the system may have forgotten what is not on the disk, so
    /// the file is not continued.
    is_doubtful: bool,
}

/// Writes the documents below `layout` anew without what is damaged; the original stays as `….damaged`.
/// The caller holds the directory's lock.
pub(crate) fn mend(layout: &Layout) -> Result<(), StorageError> {
    let (layout, files) = (layout.clone(), Arc::new(DiskFiles));
    let mut tables = DocumentTables::default();
    let mut writer = Writer::new(layout, files);
    if let Some(number) = writer.newest()? {
        writer.read(number, &mut tables)?;
        writer.set_aside(&tables)?;
    }
    Ok(())
}

impl DocumentStore {
    /// Opens the documents below `layout`'s directory; damage is named in the program's log,
    /// counted, set aside as `….damaged` and stepped over.
    pub(crate) fn open(
        layout: Layout,
        files: Arc<dyn LogFiles>,
        metrics: &Metrics,
        bytes_max: u64,
        lock: Arc<DirLock>,
    ) -> Result<Self, StorageError> {
        let mut tables = DocumentTables::default();
        let mut writer = Writer::new(layout, files);
        if let Some(number) = writer.newest()? {
            let damage = writer.read(number, &mut tables)?;
            for error in &damage {
                metrics.wal_corrupt_records.inc();
                tracing::error!(%error, "documents are damaged; the others are kept");
            }
            if damage.is_empty() {
                writer.sync_found()?;
            } else {
                writer.set_aside(&tables)?;
            }
        }
        let (tables, writer) = (RwLock::new(tables), Mutex::new(writer));
        Ok(Self { tables, writer, bytes_max, _lock: lock })
    }

    /// Writes all documents to the new file `path` under `number`, durably but for its name.
    pub(crate) fn write_copy(&self, path: &Path, number: u64) -> Result<(), StorageError> {
        // Writes hold the writer while they are on the disk and not yet in the tables.
        let writer = self.writer.lock();
        let written = |error| StorageError::io("write", path, &error);
        let mut out = writer.files.create(path).map_err(written)?;
        file::write_all(&mut *out, number, &self.tables.read()).map_err(written)?;
        out.sync().map_err(written)
    }

    fn check(
        &self,
        tenant: TenantId,
        changes: &[DocumentChange],
        bytes: usize,
    ) -> Result<(), DocumentError> {
        if bytes > PAYLOAD_BYTES_MAX {
            return Err(DocumentError::TooLarge { bytes, max: PAYLOAD_BYTES_MAX });
        }
        let tables = self.tables.read();
        let after = tables.bytes_after(tenant, changes);
        // A write that makes room is welcome however full it is.
        if after > self.bytes_max && after > tables.bytes() {
            return Err(DocumentError::Full { bytes: after, max: self.bytes_max });
        }
        Ok(())
    }
}

impl Documents for DocumentStore {
    fn get(&self, tenant: TenantId, table: &str, key: &[u8]) -> Option<Arc<[u8]>> {
        self.tables.read().get(tenant, table, key)
    }

    fn scan(
        &self,
        tenant: TenantId,
        table: &str,
        prefix: &[u8],
        from: &[u8],
        limit: usize,
    ) -> Vec<(Vec<u8>, Arc<[u8]>)> {
        self.tables.read().scan(tenant, table, prefix, from, limit)
    }

    fn write(&self, tenant: TenantId, changes: &[DocumentChange]) -> Result<(), DocumentError> {
        if changes.is_empty() {
            return Ok(());
        }
        let mut frame = Vec::new();
        record::encode(&mut frame, tenant, changes);
        let mut writer = self.writer.lock();
        self.check(tenant, changes, frame.len())?;
        let refused =
            |error: StorageError| DocumentError::Unavailable { reason: error.to_string() };
        writer.append(&frame, &self.tables).map_err(refused)?;
        let mut tables = self.tables.write();
        changes.iter().cloned().for_each(|change| tables.apply(tenant, change));
        drop(tables);
        // The write is done; that the file could not be made shorter is the next write's to repair.
        if let Err(error) = writer.rewrite_if_stale(&self.tables) {
            tracing::warn!(%error, "the documents' file is not rewritten");
        }
        Ok(())
    }
}

impl Writer {
    fn new(layout: Layout, files: Arc<dyn LogFiles>) -> Self {
        Self { layout, files, number: 0, length: 0, open: None, is_torn: false, is_doubtful: false }
    }

    /// The number of the newest finished file; removes what is older or was never finished.
    fn newest(&self) -> Result<Option<u64>, StorageError> {
        let dir = self.layout.documents_dir();
        let names = match self.files.list(&dir) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            names => names.map_err(|error| StorageError::io("list", &dir, &error))?,
        };
        let (mut numbers, mut leftovers) = (Vec::new(), Vec::new());
        for name in names {
            match Layout::parse_documents(&name) {
                Some(number) => numbers.push(number),
                None if name.ends_with(".tmp") => leftovers.push(dir.join(name)),
                None => {}
            }
        }
        let newest = numbers.iter().max().copied();
        // The process that gave a file its name may have died before the name was durable: what is
        // written to the file from now on, and what is removed because of it, must not go with it.
        let synced = self.files.sync_names(&dir);
        synced.map_err(|error| StorageError::io("sync", &dir, &error))?;
        let older = numbers.iter().filter(|number| Some(**number) != newest);
        leftovers.extend(older.map(|number| self.layout.documents_file(*number)));
        for path in leftovers {
            self.files.remove(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
        }
        Ok(newest)
    }

    /// Reads file `number` into `tables`; returns the damaged places.
    fn read(
        &mut self,
        number: u64,
        tables: &mut DocumentTables,
    ) -> Result<Vec<StorageError>, StorageError> {
        let path = self.layout.documents_file(number);
        let mut damage = Vec::new();
        let mut torn = None;
        let length = read_documents(&*self.files, &path, number, |found| match found {
            FoundDocument::Changes(tenant, changes) => {
                changes.into_iter().for_each(|change| tables.apply(tenant, change));
            }
            FoundDocument::Damage(error) => damage.push(error),
            FoundDocument::TornTail(offset) => torn = Some(offset),
        })?;
        self.number = number;
        self.length = torn.unwrap_or(length);
        self.is_torn = torn.is_some();
        // A file without a whole header is as good as none.
        self.is_doubtful = self.length < HEADER_BYTES as u64;
        Ok(damage)
    }

    /// Makes durable what was read: the process that wrote it may have died before its sync.
    fn sync_found(&self) -> Result<(), StorageError> {
        let path = self.layout.documents_file(self.number);
        let synced = self.files.reopen(&path).and_then(|mut file| file.sync());
        synced.map_err(|error| StorageError::io("sync", &path, &error))
    }

    /// Starts a new file with what could be read, and keeps the damaged one for people to look at.
    fn set_aside(&mut self, tables: &DocumentTables) -> Result<(), StorageError> {
        let old = self.layout.documents_file(self.number);
        self.start(tables, false)?;
        let kept = old.with_extension("damaged");
        self.files.rename(&old, &kept).map_err(|error| StorageError::io("rename", &kept, &error))
    }

    /// Appends a frame, durably; on `Err` it will not be found by a later open.
    fn append(
        &mut self,
        frame: &[u8],
        tables: &RwLock<DocumentTables>,
    ) -> Result<(), StorageError> {
        self.make_ready(tables)?;
        let path = self.layout.documents_file(self.number);
        let Some(open) = &mut self.open else {
            return Err(StorageError::Closed { action: "write documents" });
        };
        if let Err(error) = open.append(frame) {
            (self.open, self.is_torn) = (None, true);
            self.cut_quietly();
            return Err(StorageError::io("write", &path, &error));
        }
        if let Err(error) = open.sync() {
            (self.open, self.is_torn, self.is_doubtful) = (None, true, true);
            self.cut_quietly();
            return Err(StorageError::io("sync", &path, &error));
        }
        self.length += frame.len() as u64;
        Ok(())
    }

    /// Makes sure that there is an open file whose end is that of the last good write.
    fn make_ready(&mut self, tables: &RwLock<DocumentTables>) -> Result<(), StorageError> {
        if self.open.is_some() {
            return Ok(());
        }
        if self.number == 0 || self.is_doubtful {
            self.cut_quietly();
            let tables = tables.read();
            return self.start(&tables, true);
        }
        self.cut()?;
        let path = self.layout.documents_file(self.number);
        let open = self.files.reopen(&path);
        self.open = Some(open.map_err(|error| StorageError::io("open", &path, &error))?);
        Ok(())
    }

    fn cut(&mut self) -> Result<(), StorageError> {
        if self.is_torn {
            let path = self.layout.documents_file(self.number);
            let cut = self.files.truncate(&path, self.length);
            cut.map_err(|error| StorageError::io("truncate", &path, &error))?;
            self.is_torn = false;
        }
        Ok(())
    }

    /// Tries to cut at once, so that a crash does not bring a refused write back; if it fails, the
    /// next write tries again.
    fn cut_quietly(&mut self) {
        if let Err(error) = self.cut() {
            tracing::warn!(%error, "a refused write of documents is not cut off yet");
        }
    }

    fn rewrite_if_stale(&mut self, tables: &RwLock<DocumentTables>) -> Result<(), StorageError> {
        let tables = tables.read();
        if self.length < REWRITE_BYTES_MIN || self.length / 2 <= tables.bytes() {
            return Ok(());
        }
        self.start(&tables, true)
    }

    /// Writes `tables` to the next file, which takes the place of the one before: under another
    /// name first, so that it appears whole or not at all.
    fn start(&mut self, tables: &DocumentTables, drop_old: bool) -> Result<(), StorageError> {
        let dir = self.layout.documents_dir();
        let failed = |error| StorageError::io("create", &dir, &error);
        self.files.create_dir(&dir).map_err(failed)?;
        let number = self.number + 1;
        let path = self.layout.documents_file(number);
        let staged: PathBuf = path.with_extension("documents.tmp");
        if self.files.length(&staged).is_ok() {
            self.files.remove(&staged).map_err(failed)?;
        }
        let written = |error| StorageError::io("write", &staged, &error);
        let mut out = self.files.create(&staged).map_err(written)?;
        let length = file::write_all(&mut *out, number, tables).map_err(written)?;
        out.sync().map_err(written)?;
        if let Err(error) = self.files.rename(&staged, &path) {
            // It may have been done all the same: then a restart believes the new file, and nothing may
            // be written to the old one any more.
            (self.open, self.is_doubtful) = (None, true);
            return Err(StorageError::io("rename", &path, &error));
        }
        let old = std::mem::replace(&mut self.number, number);
        (self.length, self.open) = (length, Some(out));
        (self.is_torn, self.is_doubtful) = (false, false);
        if drop_old && old > 0 {
            let old = self.layout.documents_file(old);
            if let Err(error) = self.files.remove(&old) {
                tracing::warn!(%error, path = %old.display(), "an old file of documents stays");
            }
        }
        Ok(())
    }
}
