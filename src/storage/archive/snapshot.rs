//! A copy of the store as a data directory of its own, made of links: it takes no time and no room
//! as long as the store still has the files itself.
//!
//! Invariants: a copy appears whole or not at all; a file is linked only if nobody writes to it any
//! more; a store that is opened in the copy never changes a byte of the original (what it would
//! write behind is written to new files, what it removes is a name).

use std::io;
use std::path::{Path, PathBuf};

use base::date::civil;
use model::TenantId;

use crate::documents::DocumentStore;
use crate::error::StorageError;
use crate::layout::{BlockPart, Layout};
use crate::manifest::edit::Manifest;
use crate::manifest::store;
use crate::object::io::ObjectIo;
use crate::wal::file::{DiskFiles, sync_dir};
use crate::wal::replay::list;

/// What a copy is made of.
pub(crate) struct Original<'a> {
    /// Where it is.
    pub(crate) layout: &'a Layout,
    /// Its objects.
    pub(crate) io: &'a ObjectIo,
    /// The blocks to copy.
    pub(crate) manifest: &'a Manifest,
    /// The small records to copy.
    pub(crate) documents: &'a DocumentStore,
    /// The log files below this number are copied; `None` leaves the log out.
    pub(crate) log_below: Option<u64>,
}

/// A name for a copy taken at `now_ms`: the time in UTC and something that differs.
pub(crate) fn name_of(now_ms: i64, random: u64) -> String {
    let seconds = now_ms.div_euclid(1000);
    let (day, second) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    let (year, month, day) = civil(day);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    format!("{year:04}{month:02}{day:02}T{hour:02}{minute:02}{second:02}Z-{random:016x}")
}

/// Copies `original` to the directory `target`, which must not exist.
pub(crate) fn copy_to(original: &Original<'_>, target: &Path) -> Result<(), StorageError> {
    let staged = target.with_extension("tmp");
    let failed = |action, path: &Path, error: &io::Error| StorageError::io(action, path, error);
    let parent = target.parent().unwrap_or(Path::new("."));
    std::fs::create_dir_all(parent).map_err(|error| failed("create", parent, &error))?;
    let copied = copy_staged(original, &staged).and_then(|()| {
        std::fs::rename(&staged, target)
            .and_then(|()| sync_dir(parent))
            .map_err(|error| failed("rename", target, &error))
    });
    if copied.is_err() {
        // Nothing but links: the original is not touched by removing them.
        let _ = std::fs::remove_dir_all(&staged);
    }
    copied
}

fn copy_staged(original: &Original<'_>, root: &Path) -> Result<(), StorageError> {
    let layout = Layout::new(root, original.layout.shard());
    let mut copy = Copy { dirs: vec![root.to_owned()] };
    copy.make_dir(root)?;
    copy.objects(original, &layout)?;
    copy.log(original, &layout)?;
    let documents = layout.documents_file(1);
    copy.make_dir(&layout.documents_dir())?;
    original.documents.write_copy(&documents, 1)?;
    copy.sync()
}

/// The copy so far.
struct Copy {
    /// Directories that were made.
    dirs: Vec<PathBuf>,
}

impl Copy {
    fn make_dir(&mut self, dir: &Path) -> Result<(), StorageError> {
        if !dir.is_dir() {
            if let Some(parent) = dir.parent() {
                self.make_dir(parent)?;
            }
            std::fs::create_dir(dir).map_err(|error| StorageError::io("create", dir, &error))?;
            self.dirs.push(dir.to_owned());
        }
        Ok(())
    }

    fn objects(&mut self, original: &Original<'_>, layout: &Layout) -> Result<(), StorageError> {
        let place = |path: &object_store::path::Path| layout.object_file(path);
        for entry in &original.manifest.blocks {
            for part in [BlockPart::Chunks, BlockPart::Index, BlockPart::Meta] {
                let path = layout.block_part(TenantId(entry.meta.tenant), entry.meta.id, part);
                self.object(original.io, &path, &place(&path))?;
            }
        }
        let mut manifest = original.manifest.clone();
        manifest.number = manifest.number.max(1);
        if original.log_below.is_none() {
            // They speak of a log that the copy does not have.
            manifest.flushed.clear();
        }
        let path = place(&layout.manifest(manifest.number));
        self.make_parent(&path)?;
        write_file(&path, &store::encode(&manifest)?)
    }

    fn make_parent(&mut self, path: &Path) -> Result<(), StorageError> {
        path.parent().map_or(Ok(()), |dir| self.make_dir(dir))
    }

    fn object(
        &mut self,
        io: &ObjectIo,
        path: &object_store::path::Path,
        target: &Path,
    ) -> Result<(), StorageError> {
        self.make_parent(target)?;
        if let Some(file) = io.local_file(path) {
            return link(&file, target);
        }
        let bytes = io.get(path)?.ok_or_else(|| StorageError::Store {
            action: "copy",
            path: path.to_string(),
            reason: "there is no such object".to_owned(),
        })?;
        write_file(target, &bytes)
    }

    fn log(&mut self, original: &Original<'_>, layout: &Layout) -> Result<(), StorageError> {
        let Some(below) = original.log_below else {
            return Ok(());
        };
        self.make_dir(&layout.wal_dir())?;
        let listing = list(&DiskFiles, original.layout)?;
        for number in listing.logs.into_iter().filter(|number| *number < below) {
            link(&original.layout.wal_file(number), &layout.wal_file(number))?;
        }
        for number in listing.series {
            link(&original.layout.wal_series(number), &layout.wal_series(number))?;
        }
        Ok(())
    }

    /// Makes every name durable, the innermost first.
    fn sync(&self) -> Result<(), StorageError> {
        self.dirs.iter().rev().try_for_each(|dir| {
            sync_dir(dir).map_err(|error| StorageError::io("sync", dir, &error))
        })
    }
}

/// Links `from` as `to`, or copies it where the file system cannot link.
fn link(from: &Path, to: &Path) -> Result<(), StorageError> {
    if std::fs::hard_link(from, to).is_ok() {
        return Ok(());
    }
    std::fs::copy(from, to)
        .and_then(|_| std::fs::File::open(to)?.sync_all())
        .map_err(|error| StorageError::io("copy", from, &error))
}

fn write_file(path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
    std::fs::write(path, bytes)
        .and_then(|()| std::fs::File::open(path)?.sync_all())
        .map_err(|error| StorageError::io("write", path, &error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_tell_the_time() {
        for (now_ms, want) in [
            (0, "19700101T000000Z-00000000000000ff"),
            (1_512_940_344_999, "20171210T211224Z-00000000000000ff"),
            (951_827_696_000, "20000229T123456Z-00000000000000ff"),
            (-1, "19691231T235959Z-00000000000000ff"),
        ] {
            assert_eq!(name_of(now_ms, 255), want);
        }
    }
}
