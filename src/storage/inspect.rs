//! Decodes and verifies any file that the store writes, never changing it.

use std::io::{self, Write};
use std::path::Path;

use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::documents::{FoundDocument, read_documents};
use crate::error::StorageError;
use crate::layout::{Layout, WalName};
use crate::manifest::edit::Manifest;
use crate::manifest::store;
use crate::wal::file::DiskFiles;
use crate::wal::record::Record;
use crate::wal::replay::{Found, read_log};

/// What an inspection found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InspectReport {
    /// Files looked at.
    pub files: u64,
    /// Damaged places.
    pub faults: u64,
}

/// Writes to `out` what `path` is and holds: a log file, a series file, a manifest, a block's
/// directory or one of its objects, or a directory with any of them. With `verify` every checksum
/// is compared and every chunk decoded. Damage is a line of the output and counted in the report;
/// `Err` means that the path cannot be read or is none of these.
pub fn inspect(
    path: &Path,
    out: &mut dyn Write,
    verify: bool,
) -> Result<InspectReport, StorageError> {
    let mut report = InspectReport::default();
    let mut inspection = Inspection { out, verify, report: &mut report };
    let known = if path.is_dir() {
        inspection.directory(path)?;
        true
    } else {
        inspection.file(path)?
    };
    if known {
        return Ok(report);
    }
    let expected = "a log file, documents, a manifest, a block or a directory with them";
    Err(StorageError::corrupt(path.display().to_string(), 0, expected, "a file of another kind"))
}

struct Inspection<'a> {
    out: &'a mut dyn Write,
    verify: bool,
    report: &'a mut InspectReport,
}

fn written(path: &Path, result: io::Result<()>) -> Result<(), StorageError> {
    result.map_err(|error| StorageError::io("print what is in", path, &error))
}

impl Inspection<'_> {
    fn directory(&mut self, dir: &Path) -> Result<(), StorageError> {
        let failed = |error| StorageError::io("list", dir, &error);
        if dir.join("meta.json").is_file() {
            return self.block(dir);
        }
        let mut entries = Vec::new();
        for entry in std::fs::read_dir(dir).map_err(failed)? {
            entries.push(entry.map_err(failed)?.path());
        }
        entries.sort();
        for path in entries {
            if path.is_dir() {
                self.directory(&path)?;
            } else {
                self.file(&path)?;
            }
        }
        Ok(())
    }

    /// False when the file is not one of ours.
    fn file(&mut self, path: &Path) -> Result<bool, StorageError> {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if let Some(WalName::Log(number) | WalName::Series(number)) = Layout::parse_wal(name) {
            self.log(path, number)?;
            return Ok(true);
        }
        if let Some(number) = Layout::parse_documents(name) {
            self.documents(path, number)?;
            return Ok(true);
        }
        match name {
            "lock" => {
                written(path, writeln!(self.out, "{}: lock of the directory", path.display()))?;
            }
            "meta.json" | "index" | "chunks" => {
                self.block(path.parent().unwrap_or(Path::new(".")))?;
            }
            _ if name.ends_with(".json") => self.manifest(path)?,
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn fault(&mut self, path: &Path, error: &StorageError) -> Result<(), StorageError> {
        self.report.faults += 1;
        written(path, writeln!(self.out, "  DAMAGE: {error}"))
    }

    fn log(&mut self, path: &Path, number: u64) -> Result<(), StorageError> {
        self.report.files += 1;
        written(path, writeln!(self.out, "{}: log file {number}", path.display()))?;
        read_log(&DiskFiles, path, number, |found| match found {
            Found::Record(position, Record::Series(record)) => {
                let (count, tenant) = (record.ids.len(), record.tenant.0);
                let line = format!("{count} series of tenant {tenant}");
                written(path, writeln!(self.out, "  {:>10} {line}", position.offset))
            }
            Found::Record(position, Record::Samples(record)) => {
                let (count, tenant) = (record.ids.len(), record.tenant.0);
                let first = record.timestamps.iter().min().copied().unwrap_or_default();
                let last = record.timestamps.iter().max().copied().unwrap_or_default();
                let line = format!("{count} samples of tenant {tenant}, {first}..{last} ms");
                written(path, writeln!(self.out, "  {:>10} {line}", position.offset))
            }
            Found::Record(position, Record::Void) => {
                written(path, writeln!(self.out, "  {:>10} taken out by a repair", position.offset))
            }
            Found::Damage(error) => self.fault(path, &error),
            Found::TornTail(offset) => {
                written(path, writeln!(self.out, "  {offset:>10} an unfinished write"))
            }
        })
    }

    fn documents(&mut self, path: &Path, number: u64) -> Result<(), StorageError> {
        self.report.files += 1;
        let (mut writes, mut changes, mut damage, mut tail) = (0u64, 0usize, Vec::new(), None);
        read_documents(&DiskFiles, path, number, |found| match found {
            FoundDocument::Changes(_, found) => {
                writes += 1;
                changes += found.len();
            }
            FoundDocument::Damage(error) => damage.push(error),
            FoundDocument::TornTail(offset) => tail = Some(offset),
        })?;
        let line = format!("documents {number}, {writes} writes of {changes} changes");
        written(path, writeln!(self.out, "{}: {line}", path.display()))?;
        if let Some(offset) = tail {
            written(path, writeln!(self.out, "  {offset:>10} an unfinished write"))?;
        }
        damage.iter().try_for_each(|error| self.fault(path, error))
    }

    fn manifest(&mut self, path: &Path) -> Result<(), StorageError> {
        self.report.files += 1;
        let bytes = std::fs::read(path).map_err(|error| StorageError::io("read", path, &error))?;
        match store::decode(&path.display().to_string(), &bytes) {
            Ok(manifest) => written(path, self.print_manifest(path, &manifest)),
            Err(error) => {
                written(path, writeln!(self.out, "{}: manifest", path.display()))?;
                self.fault(path, &error)
            }
        }
    }

    fn print_manifest(&mut self, path: &Path, manifest: &Manifest) -> io::Result<()> {
        let Manifest { number, shard, .. } = manifest;
        writeln!(self.out, "{}: manifest {number} of shard {shard}", path.display())?;
        for entry in &manifest.blocks {
            let meta = &entry.meta;
            writeln!(
                self.out,
                "  block {} order {} level {} tenant {}: {} series, {} {}, {}..{} ms, {} dirty ranges",
                meta.id,
                entry.order,
                meta.level,
                meta.tenant,
                meta.series,
                meta.samples,
                meta.content(),
                meta.min_time_ms,
                meta.max_time_ms,
                entry.dirty.len()
            )?;
        }
        for mark in &manifest.flushed {
            let (window, tenant) = (mark.window_ms, mark.tenant);
            let (file, offset) = (mark.file, mark.offset);
            writeln!(
                self.out,
                "  flushed window {window} of tenant {tenant} up to byte {offset} of log {file}"
            )?;
        }
        Ok(())
    }

    fn block(&mut self, dir: &Path) -> Result<(), StorageError> {
        self.report.files += 1;
        let path = dir.join("meta.json");
        let bytes =
            std::fs::read(&path).map_err(|error| StorageError::io("read", &path, &error))?;
        let meta: BlockMeta = match serde_json::from_slice(&bytes) {
            Ok(meta) => meta,
            Err(error) => {
                written(dir, writeln!(self.out, "{}: block", dir.display()))?;
                let file = path.display().to_string();
                let error = StorageError::corrupt(file, 0, "a block's meta", error.to_string());
                return self.fault(dir, &error);
            }
        };
        let samples = meta.samples.max(1) as f64;
        let line = format!(
            "{}: block {} level {}, {} series, {} {} in {} chunks, {}..{} ms, \
             index {} B ({:.1} B a series), chunks {} B ({:.3} B each)",
            dir.display(),
            meta.id,
            meta.level,
            meta.series,
            meta.samples,
            meta.content(),
            meta.chunks,
            meta.min_time_ms,
            meta.max_time_ms,
            meta.index_bytes,
            meta.index_bytes as f64 / meta.series.max(1) as f64,
            meta.chunks_bytes,
            meta.chunks_bytes as f64 / samples,
        );
        written(dir, writeln!(self.out, "{line}"))?;
        let block = Block::open_dir(dir, meta);
        let mut faults = Vec::new();
        if self.verify {
            block.verify(|error| faults.push(error));
        } else if let Err(error) = block.index() {
            faults.push(error);
        }
        faults.iter().try_for_each(|error| self.fault(dir, error))
    }
}
