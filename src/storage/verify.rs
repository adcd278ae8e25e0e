//! Reads every byte of a closed store and compares it with what vouches for it: checksums, the
//! manifest, the files' own names. Never changes anything.
//!
//! Invariant: a changed byte in any file of the store is a finding, with the file, the place and what
//! is lost by it.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::documents::{FoundDocument, read_documents};
use crate::error::StorageError;
use crate::layout::{BlockPart, Layout, WalName};
use crate::lock::DirLock;
use crate::manifest::edit::{BlockEntry, Manifest};
use crate::manifest::store;
use crate::wal::file::{DiskFiles, LogFiles};
use crate::wal::replay::{Found, read_log};

/// One thing that is wrong with a store.
#[derive(Clone, Debug)]
pub struct Finding {
    /// The file.
    pub file: PathBuf,
    /// What is wrong, with the place.
    pub what: String,
    /// What cannot be read because of it.
    pub lost: String,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let file = self.file.display().to_string();
        // Most errors begin with the file.
        let what = self.what.strip_prefix(&file).unwrap_or(&self.what).trim_start();
        write!(f, "{file}: {what}; lost: {}", self.lost)
    }
}

/// What was looked at, and what is wrong with it.
#[derive(Clone, Debug, Default)]
pub struct VerifyReport {
    /// Files read.
    pub files: u64,
    /// Their bytes.
    pub bytes: u64,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

/// Verifies the store in `data_dir`, which no process may be working on: a log that grows looks like a
/// torn one. A running store is verified in a snapshot of it.
pub fn verify(data_dir: &Path) -> Result<VerifyReport, StorageError> {
    if !data_dir.is_dir() {
        let error = std::io::Error::from(std::io::ErrorKind::NotFound);
        return Err(StorageError::io("open", data_dir, &error));
    }
    let root = Layout::new(data_dir, 0);
    if DirLock::is_held(&root.lock())? {
        return Err(StorageError::Locked { path: data_dir.display().to_string() });
    }
    let mut verification = Verification { report: VerifyReport::default() };
    for shard in shards(data_dir)? {
        let layout = Layout::new(data_dir, shard);
        verification.log(&layout)?;
        verification.objects(&layout)?;
    }
    verification.documents(&root)?;
    Ok(verification.report)
}

/// The shards that have a log or manifests in `data_dir`.
pub(crate) fn shards(data_dir: &Path) -> Result<Vec<u16>, StorageError> {
    let mut shards = Vec::new();
    for dir in [data_dir.join("wal"), data_dir.join("objects/manifest")] {
        for name in names(&dir)? {
            shards.extend(name.strip_prefix('s').and_then(|number| number.parse::<u16>().ok()));
        }
    }
    shards.sort_unstable();
    shards.dedup();
    Ok(shards)
}

/// The names in `dir`, sorted; none where there is no such directory.
pub(crate) fn names(dir: &Path) -> Result<Vec<String>, StorageError> {
    match DiskFiles.list(dir) {
        Ok(mut names) => {
            names.sort();
            Ok(names)
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(Vec::new()),
        Err(error) => Err(StorageError::io("list", dir, &error)),
    }
}

/// What a block holds, for people.
pub(crate) fn describe(meta: &BlockMeta) -> String {
    let BlockMeta { id, series, samples, min_time_ms, max_time_ms, .. } = meta;
    let what = meta.content();
    format!("block {id}: {samples} {what} of {series} series, {min_time_ms}..{max_time_ms} ms")
}

struct Verification {
    report: VerifyReport,
}

impl Verification {
    fn find(&mut self, file: &Path, what: impl ToString, lost: impl Into<String>) {
        let (file, what) = (file.to_owned(), what.to_string());
        self.report.findings.push(Finding { file, what, lost: lost.into() });
    }

    fn count(&mut self, file: &Path) {
        self.report.files += 1;
        self.report.bytes += DiskFiles.length(file).unwrap_or(0);
    }

    fn log(&mut self, layout: &Layout) -> Result<(), StorageError> {
        for name in names(&layout.wal_dir())? {
            let path = layout.wal_dir().join(&name);
            match Layout::parse_wal(&name) {
                Some(WalName::Log(number)) => {
                    self.log_file(&path, number, "the writes at that place")?
                }
                Some(WalName::Series(number)) => {
                    self.log_file(&path, number, "the samples of the series named there")?;
                }
                None => {}
            }
        }
        Ok(())
    }

    fn log_file(&mut self, path: &Path, number: u64, lost: &str) -> Result<(), StorageError> {
        self.count(path);
        read_log(&DiskFiles, path, number, |found| {
            match found {
                Found::Record(..) => {}
                Found::Damage(error) => self.find(path, error, lost),
                Found::TornTail(offset) => self.find(path, unfinished(path, offset), TAIL_LOST),
            }
            Ok(())
        })
    }

    fn documents(&mut self, layout: &Layout) -> Result<(), StorageError> {
        let dir = layout.documents_dir();
        for name in names(&dir)? {
            let Some(number) = Layout::parse_documents(&name) else {
                continue;
            };
            let path = dir.join(&name);
            self.count(&path);
            read_documents(&DiskFiles, &path, number, |found| match found {
                FoundDocument::Changes(..) => {}
                FoundDocument::Damage(error) => {
                    self.find(&path, error, "the documents written there")
                }
                FoundDocument::TornTail(offset) => {
                    self.find(&path, unfinished(&path, offset), TAIL_LOST);
                }
            })?;
        }
        Ok(())
    }

    fn objects(&mut self, layout: &Layout) -> Result<(), StorageError> {
        let newest = self.manifests(layout)?;
        newest
            .iter()
            .flat_map(|manifest| &manifest.blocks)
            .for_each(|entry| self.block(layout, entry));
        Ok(())
    }

    /// Checks every manifest; the newest, when it can be read.
    fn manifests(&mut self, layout: &Layout) -> Result<Option<Manifest>, StorageError> {
        let dir = layout.object_file(&layout.manifest_dir());
        let mut newest = None;
        for name in names(&dir)? {
            let Some(number) = Layout::parse_manifest(&name) else {
                continue;
            };
            let path = dir.join(&name);
            self.count(&path);
            newest = match read_manifest(&path, layout.shard(), number) {
                Ok(manifest) => Some(manifest),
                Err(error) => {
                    self.find(
                        &path,
                        error,
                        "if it is the newest, the list of blocks: `repair` rebuilds it",
                    );
                    None
                }
            };
        }
        Ok(newest)
    }

    fn block(&mut self, layout: &Layout, entry: &BlockEntry) {
        let meta = &entry.meta;
        let part = |part| {
            layout.object_file(&layout.block_part(model::TenantId(meta.tenant), meta.id, part))
        };
        let meta_file = part(BlockPart::Meta);
        for part in [&meta_file, &part(BlockPart::Index), &part(BlockPart::Chunks)] {
            self.count(part);
        }
        if let Err(error) = check_meta(&meta_file, meta) {
            self.find(&meta_file, error, "nothing: the manifest repeats it");
        }
        let dir = meta_file.parent().unwrap_or(Path::new("."));
        Block::open_dir(dir, meta.clone()).verify(|error| {
            let file = match &error {
                StorageError::Corrupt { file, .. } => PathBuf::from(file),
                _ => dir.to_owned(),
            };
            self.find(&file, error, format!("what lies there of {}", describe(meta)));
        });
    }
}

/// What a tail that is no whole write may have been.
const TAIL_LOST: &str = "nothing if the process died while it wrote this: it was not acknowledged";

fn unfinished(path: &Path, offset: u64) -> String {
    let length = DiskFiles.length(path).unwrap_or(offset);
    let bytes = length.saturating_sub(offset);
    format!("ends in an unfinished or damaged write of {bytes} bytes at byte {offset}")
}

/// Reads the manifest `number` at `path`.
pub(crate) fn read_manifest(
    path: &Path,
    shard: u16,
    number: u64,
) -> Result<Manifest, StorageError> {
    let bytes = std::fs::read(path).map_err(|error| StorageError::io("read", path, &error))?;
    let file = path.display().to_string();
    let manifest = store::decode(&file, &bytes)?;
    if (manifest.shard, manifest.number) == (shard, number) {
        return Ok(manifest);
    }
    let got = format!("{} of shard {}", manifest.number, manifest.shard);
    Err(StorageError::corrupt(file, 0, format!("manifest {number} of shard {shard}"), got))
}

/// Compares `meta.json` with what the manifest says.
fn check_meta(path: &Path, meta: &BlockMeta) -> Result<(), StorageError> {
    let bytes = std::fs::read(path).map_err(|error| StorageError::io("read", path, &error))?;
    let want = meta.document()?;
    if bytes == want {
        return Ok(());
    }
    let same = bytes.iter().zip(&want).take_while(|(a, b)| a == b).count();
    let show = |bytes: &[u8]| {
        let line = bytes[same.min(bytes.len())..].split(|byte| *byte == b'\n').next();
        String::from_utf8_lossy(line.unwrap_or_default()).into_owned()
    };
    let (expected, got) = (show(&want), show(&bytes));
    Err(StorageError::corrupt(path.display().to_string(), same as u64, expected, got))
}
