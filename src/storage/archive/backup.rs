//! Copies of a store in an object store, where each takes only the room of what changed, and stores
//! made from them.
//!
//! Invariants: a backup is there once its list is, which is written last; nothing is restored whose
//! checksum differs; a restored store appears whole or not at all.

use std::collections::HashSet;
use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};

use base::rng::Rng;
use bytes::Bytes;

use crate::archive::list::{BackupFile, BackupList, backup_names, data_dir, list_path};
use crate::archive::snapshot::name_of;
use crate::error::StorageError;
use crate::layout::{BlockPart, Layout};
use crate::lock::DirLock;
use crate::manifest::edit::Manifest;
use crate::object::io::ObjectIo;
use crate::object::open::open_url;
use crate::verify::{names, read_manifest, shards};
use crate::wal::file::{DiskFiles, LogFiles, sync_dir};

/// Names of backups tell the second.
const NAME_UNIT_MS: i64 = 1000;
/// Bytes that are read and sent at once.
const PIECE_BYTES: usize = 8 << 20;

/// What a backup did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BackupReport {
    /// The backup's name.
    pub name: String,
    /// Files of the store and their bytes.
    pub files: u64,
    /// See `files`.
    pub bytes: u64,
    /// Files that were not there yet and were sent.
    pub sent_files: u64,
    /// Bytes of them.
    pub sent_bytes: u64,
    /// Older backups that were removed.
    pub removed: u64,
}

/// What a restore did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoreReport {
    /// The backup's name.
    pub name: String,
    /// Files written.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// Backs the store in `data_dir` up to `url`: a directory, or what `object_store` takes (`s3://…` where it
/// is built in). No process may be working on the store: a running one is backed up from a snapshot.
/// Afterwards the newest `keep` backups stay; 0 keeps all.
pub fn backup(
    data_dir: &Path,
    url: &str,
    keep: usize,
    now_ms: i64,
) -> Result<BackupReport, StorageError> {
    if DirLock::is_held(&Layout::new(data_dir, 0).lock())? {
        return Err(StorageError::Locked { path: data_dir.display().to_string() });
    }
    let io = ObjectIo::start(open_url(url)?)?;
    let known = backup_names(&io)?;
    let before = match known.last() {
        Some(name) => BackupList::read(&io, name)?,
        None => BackupList::new(String::new(), 0),
    };
    // Whatever the clock says, the newest backup is the last by name.
    let at_ms = now_ms.max(before.at_ms + NAME_UNIT_MS);
    let name = name_of(at_ms, Rng::from_entropy().next_u64());
    let mut list = BackupList::new(name.clone(), at_ms);
    let mut report = BackupReport { name: name.clone(), ..BackupReport::default() };
    let old = before.by_path();
    for path in files_of(data_dir)? {
        let file = data_dir.join(&path);
        let bytes =
            DiskFiles.length(&file).map_err(|error| StorageError::io("open", &file, &error))?;
        report.files += 1;
        report.bytes += bytes;
        // A block's objects never change, so that they need not be read again.
        let is_known =
            |known: &&&BackupFile| path.starts_with("objects/blocks/") && known.bytes == bytes;
        let entry = match old.get(path.as_str()).filter(is_known) {
            Some(known) => (*known).clone(),
            None => BackupFile { path, bytes, crc32c: checksum_of(&file)? },
        };
        if io.length(&entry.object())? != Some(bytes) {
            send(&io, &file, &entry)?;
            report.sent_files += 1;
            report.sent_bytes += bytes;
        }
        list.files.push(entry);
    }
    io.create(&list_path(&name), Bytes::from(list.encode()?))?;
    if keep > 0 {
        report.removed = prune(&io, keep)?;
    }
    Ok(report)
}

/// The names of the backups at `url`, oldest first.
pub fn backups(url: &str) -> Result<Vec<String>, StorageError> {
    backup_names(&ObjectIo::start(open_url(url)?)?)
}

/// Makes the store of the backup `name` at `url`, or of the newest, in `data_dir`, which must not exist
/// or be empty.
pub fn restore(
    url: &str,
    name: Option<&str>,
    data_dir: &Path,
) -> Result<RestoreReport, StorageError> {
    if !names(data_dir)?.is_empty() {
        let error = std::io::Error::from(std::io::ErrorKind::DirectoryNotEmpty);
        return Err(StorageError::io("restore to", data_dir, &error));
    }
    let io = ObjectIo::start(open_url(url)?)?;
    let newest = backup_names(&io)?.pop();
    let name = name.map(str::to_owned).or(newest).ok_or_else(|| StorageError::Store {
        action: "restore",
        path: url.to_owned(),
        reason: "there is no backup".to_owned(),
    })?;
    let list = BackupList::read(&io, &name)?;
    let staged = data_dir.with_extension("restoring");
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |error| StorageError::io(action, &path, &error)
    };
    if staged.exists() {
        std::fs::remove_dir_all(&staged).map_err(failed("remove", &staged))?;
    }
    DiskFiles.create_dir(&staged).map_err(failed("create", &staged))?;
    let mut report = RestoreReport { name, ..RestoreReport::default() };
    for file in &list.files {
        fetch(&io, file, &staged)?;
        report.files += 1;
        report.bytes += file.bytes;
    }
    std::fs::rename(&staged, data_dir).map_err(failed("rename", &staged))?;
    if let Some(parent) = data_dir.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        sync_dir(parent).map_err(failed("sync", parent))?;
    }
    Ok(report)
}

/// Paths of all files that make up the store in `data_dir`.
fn files_of(data_dir: &Path) -> Result<Vec<String>, StorageError> {
    let mut files = Vec::new();
    let inside = |path: &Path| {
        let relative = path.strip_prefix(data_dir).unwrap_or(path);
        let parts = relative.iter().map(|part| part.to_string_lossy().into_owned());
        parts.collect::<Vec<_>>().join("/")
    };
    for shard in shards(data_dir)? {
        let layout = Layout::new(data_dir, shard);
        let logs = names(&layout.wal_dir())?;
        let logs = logs.iter().filter(|name| Layout::parse_wal(name).is_some());
        files.extend(logs.map(|name| inside(&layout.wal_dir().join(name))));
        if let Some((path, manifest)) = newest_manifest(&layout)? {
            files.push(inside(&path));
            for entry in &manifest.blocks {
                for part in [BlockPart::Chunks, BlockPart::Index, BlockPart::Meta] {
                    let tenant = model::TenantId(entry.meta.tenant);
                    let path = layout.block_part(tenant, entry.meta.id, part);
                    files.push(inside(&layout.object_file(&path)));
                }
            }
        }
    }
    let documents = Layout::new(data_dir, 0).documents_dir();
    let found = names(&documents)?;
    let found = found.iter().filter(|name| Layout::parse_documents(name).is_some());
    files.extend(found.map(|name| inside(&documents.join(name))));
    Ok(files)
}

fn newest_manifest(layout: &Layout) -> Result<Option<(PathBuf, Manifest)>, StorageError> {
    let dir = layout.object_file(&layout.manifest_dir());
    let found = names(&dir)?;
    let Some(number) = found.iter().filter_map(|name| Layout::parse_manifest(name)).max() else {
        return Ok(None);
    };
    let path = layout.object_file(&layout.manifest(number));
    let manifest = read_manifest(&path, layout.shard(), number)?;
    Ok(Some((path, manifest)))
}

/// Calls `visit` with the bytes of `file`, piece by piece.
fn each_piece(
    file: &Path,
    mut visit: impl FnMut(&[u8]) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let failed = |error| StorageError::io("read", file, &error);
    let mut open = std::fs::File::open(file).map_err(failed)?;
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        match open.read(&mut piece).map_err(failed)? {
            0 => return Ok(()),
            length => visit(&piece[..length])?,
        }
    }
}

fn checksum_of(file: &Path) -> Result<u32, StorageError> {
    let mut crc = 0;
    each_piece(file, |piece| {
        crc = crc32c::crc32c_append(crc, piece);
        Ok(())
    })?;
    Ok(crc)
}

fn send(io: &ObjectIo, file: &Path, entry: &BackupFile) -> Result<(), StorageError> {
    let mut upload = io.upload(&entry.object())?;
    each_piece(file, |piece| upload.write(piece))?;
    if upload.length() != entry.bytes {
        let (expected, got) =
            (format!("{} bytes", entry.bytes), format!("{} bytes", upload.length()));
        return Err(StorageError::corrupt(file.display().to_string(), 0, expected, got));
    }
    upload.finish()
}

fn fetch(io: &ObjectIo, file: &BackupFile, root: &Path) -> Result<(), StorageError> {
    let target = file.path.split('/').fold(root.to_owned(), |path, part| path.join(part));
    let failed = |error| StorageError::io("write", &target, &error);
    let dir = target.parent().unwrap_or(root);
    DiskFiles.create_dir(dir).map_err(failed)?;
    let mut out = std::fs::File::create(&target).map_err(failed)?;
    let (object, mut crc, mut at) = (file.object(), 0, 0);
    while at < file.bytes {
        let end = file.bytes.min(at + PIECE_BYTES as u64);
        let piece = io.get_range(&object, at, end)?;
        crc = crc32c::crc32c_append(crc, &piece);
        out.write_all(&piece).map_err(failed)?;
        at = end;
    }
    if crc != file.crc32c {
        let (expected, got) = (format!("checksum 0x{:08x}", file.crc32c), format!("0x{crc:08x}"));
        return Err(StorageError::corrupt(object.to_string(), 0, expected, got));
    }
    out.sync_all().and_then(|()| sync_dir(dir)).map_err(failed)
}

/// Removes all backups but the newest `keep`, then the bytes that none of these needs; returns how many
/// backups went. No other backup may be running.
fn prune(io: &ObjectIo, keep: usize) -> Result<u64, StorageError> {
    let all = backup_names(io)?;
    let (old, kept) = all.split_at(all.len().saturating_sub(keep));
    let mut needed = HashSet::new();
    for name in kept {
        needed.extend(BackupList::read(io, name)?.files.iter().map(BackupFile::object));
    }
    for name in old {
        io.delete(&list_path(name))?;
    }
    for (path, _) in io.list(&data_dir())? {
        if !needed.contains(&path) {
            io.delete(&path)?;
        }
    }
    Ok(old.len() as u64)
}
