//! Makes a damaged store whole again: keeps everything that can be read, takes out what cannot, and
//! says what that was.
//!
//! Invariants: the original of every file that is changed or left out is kept below `damaged`, with a
//! report beside it; nothing that is undamaged is touched; a repair that dies half-way can be done
//! again.

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base::limits::CHUNK_SAMPLES_MAX;
use base::rng::Rng;
use model::{Samples, TenantId, TimeRange};

use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::block::writer::{BlockWriter, NewBlock};
use crate::collect::{Collector, Wanted};
use crate::error::StorageError;
use crate::layout::{BlockId, BlockPart, Layout, WalName};
use crate::lock::DirLock;
use crate::manifest::edit::{BlockEntry, Manifest, ManifestEdit, NewOrder};
use crate::manifest::rebuild::rebuild;
use crate::manifest::store::{self, ManifestStore};
use crate::object::io::ObjectIo;
use crate::object::open::open_local;
use crate::verify::{Finding, describe, names, read_manifest, shards, verify};
use crate::wal::file::{DiskFiles, LogFiles};
use crate::wal::replay::mended;

/// Series without samples that a report names by their labels; the others are counted.
const SERIES_NAMED_MAX: usize = 100;

/// What was done.
#[derive(Clone, Debug, Default)]
pub struct RepairReport {
    /// What was wrong.
    pub findings: Vec<Finding>,
    /// What was done about it and what is gone, one line each.
    pub actions: Vec<String>,
    /// Where the originals are; `None` when nothing was wrong.
    pub kept: Option<PathBuf>,
}

/// Repairs the store in `data_dir`, which no process may be working on. `now_ms` dates the blocks that
/// are written anew.
pub fn repair(data_dir: &Path, now_ms: i64) -> Result<RepairReport, StorageError> {
    let findings = verify(data_dir)?.findings;
    if findings.is_empty() {
        return Ok(RepairReport::default());
    }
    let root = Layout::new(data_dir, 0);
    let _lock = DirLock::acquire(&root.lock())?;
    let kept = free_dir(&root.damaged_dir())?;
    let mut repair =
        Repair { data_dir, kept, actions: Vec::new(), now_ms, rng: Rng::from_entropy() };
    for shard in shards(data_dir)? {
        let layout = Layout::new(data_dir, shard);
        repair.logs(&layout)?;
        repair.manifests(&layout)?;
        repair.blocks(&layout, &findings)?;
    }
    repair.documents(&root, &findings)?;
    repair.write_report(&findings)?;
    Ok(RepairReport { findings, actions: repair.actions, kept: Some(repair.kept) })
}

/// The first directory below `parent` that nobody has used.
fn free_dir(parent: &Path) -> Result<PathBuf, StorageError> {
    let taken = names(parent)?.iter().filter_map(|name| name.parse::<u64>().ok()).max();
    let dir = parent.join(format!("{:05}", taken.unwrap_or(0) + 1));
    DiskFiles.create_dir(&dir).map_err(|error| StorageError::io("create", &dir, &error))?;
    Ok(dir)
}

struct Repair<'a> {
    data_dir: &'a Path,
    kept: PathBuf,
    actions: Vec<String>,
    now_ms: i64,
    rng: Rng,
}

impl Repair<'_> {
    /// Copies `path` to where the originals are kept, durably; that it is missing is fine.
    fn keep(&self, path: &Path) -> Result<(), StorageError> {
        let target = self.kept.join(path.strip_prefix(self.data_dir).unwrap_or(path));
        let failed = |error| StorageError::io("keep a copy of", path, &error);
        if !path.is_file() {
            return Ok(());
        }
        let parent = target.parent().unwrap_or(&self.kept);
        DiskFiles.create_dir(parent).map_err(failed)?;
        std::fs::copy(path, &target)
            .and_then(|_| std::fs::File::open(&target)?.sync_all())
            .map_err(failed)
    }

    fn shown(&self, path: &Path) -> String {
        path.strip_prefix(self.data_dir).unwrap_or(path).display().to_string()
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> Result<(), StorageError> {
        let failed = |error| StorageError::io("write", path, &error);
        let staged = path.with_extension("repair.tmp");
        let _ = std::fs::remove_file(&staged);
        let mut file = DiskFiles.create(&staged).map_err(failed)?;
        file.append(bytes).and_then(|()| file.sync()).map_err(failed)?;
        DiskFiles.rename(&staged, path).map_err(failed)
    }

    fn logs(&mut self, layout: &Layout) -> Result<(), StorageError> {
        for name in names(&layout.wal_dir())? {
            let path = layout.wal_dir().join(&name);
            let Some(WalName::Log(number) | WalName::Series(number)) = Layout::parse_wal(&name)
            else {
                continue;
            };
            let Some(bytes) = mended(&DiskFiles, &path, number)? else {
                continue;
            };
            self.keep(&path)?;
            self.replace(&path, &bytes)?;
            let shown = self.shown(&path);
            self.actions.push(format!("{shown}: damaged writes are taken out, the others stay"));
        }
        Ok(())
    }

    /// Takes unreadable manifests out; when the newest is one of them, writes another from the blocks
    /// that are there.
    fn manifests(&mut self, layout: &Layout) -> Result<(), StorageError> {
        let dir = layout.object_file(&layout.manifest_dir());
        let (mut newest_good, mut newest) = (None, 0);
        for name in names(&dir)? {
            let Some(number) = Layout::parse_manifest(&name) else {
                continue;
            };
            let path = dir.join(&name);
            newest = number;
            match read_manifest(&path, layout.shard(), number) {
                Ok(manifest) => newest_good = Some(manifest),
                Err(_) => {
                    self.keep(&path)?;
                    let removed = DiskFiles.remove(&path);
                    removed.map_err(|error| StorageError::io("remove", &path, &error))?;
                    let shown = self.shown(&path);
                    self.actions.push(format!("{shown}: an unreadable manifest is taken out"));
                }
            }
        }
        if newest == 0 || newest_good.as_ref().is_some_and(|good| good.number == newest) {
            return Ok(());
        }
        let base = newest_good.unwrap_or_else(|| Manifest::empty(layout.shard(), 0));
        let (manifest, notes) = rebuild(base, newest + 1, &self.metas(layout)?);
        let path = layout.object_file(&layout.manifest(manifest.number));
        self.replace(&path, &store::encode(&manifest)?)?;
        let (shown, blocks) = (self.shown(&path), manifest.blocks.len());
        self.actions.push(format!("{shown}: written anew from {blocks} blocks"));
        self.actions.extend(notes);
        Ok(())
    }

    /// What the blocks on disk say of themselves.
    fn metas(&mut self, layout: &Layout) -> Result<Vec<BlockMeta>, StorageError> {
        let mut metas = Vec::new();
        for tenant in names(&layout.object_file(&layout.blocks_dir()))? {
            let dir = layout.object_file(&layout.blocks_dir()).join(&tenant);
            let dir = dir.join(format!("s{:05}", layout.shard()));
            for id in names(&dir)? {
                let path = dir.join(&id).join(BlockPart::Meta.name());
                let meta = std::fs::read(&path).ok();
                let meta = meta.and_then(|bytes| serde_json::from_slice::<BlockMeta>(&bytes).ok());
                match meta.filter(|meta| BlockId::parse(&id) == Some(meta.id)) {
                    Some(meta) => metas.push(meta),
                    None => {
                        let shown = self.shown(&path);
                        self.actions.push(format!("{shown}: not readable; its block is left out"));
                    }
                }
            }
        }
        Ok(metas)
    }

    /// Writes every damaged block anew from what can be read of it.
    fn blocks(&mut self, layout: &Layout, findings: &[Finding]) -> Result<(), StorageError> {
        let io = Arc::new(ObjectIo::start(open_local(&layout.object_root())?)?);
        let manifest = ManifestStore::open(io.clone(), layout.clone())?;
        for entry in manifest.current().blocks {
            let part = |part| {
                let tenant = TenantId(entry.meta.tenant);
                layout.object_file(&layout.block_part(tenant, entry.meta.id, part))
            };
            let (meta, index, chunks) =
                (part(BlockPart::Meta), part(BlockPart::Index), part(BlockPart::Chunks));
            let is_hit = |path: &Path| findings.iter().any(|finding| finding.file == path);
            if is_hit(&index) || is_hit(&chunks) {
                [&meta, &index, &chunks].into_iter().try_for_each(|path| self.keep(path))?;
                self.salvage(layout, &io, &manifest, &entry)?;
            } else if is_hit(&meta) {
                self.keep(&meta)?;
                self.replace(&meta, &entry.meta.document()?)?;
                let shown = self.shown(&meta);
                self.actions.push(format!("{shown}: written anew from the manifest"));
            }
        }
        Ok(())
    }

    fn salvage(
        &mut self,
        layout: &Layout,
        io: &Arc<ObjectIo>,
        manifest: &ManifestStore,
        entry: &BlockEntry,
    ) -> Result<(), StorageError> {
        let current = manifest.current();
        let block = Block::open(io, layout, entry.meta.clone(), entry.order);
        let block = block.with_deletes(current.deletes_of(entry));
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let new = NewBlock {
            id: BlockId::new(self.now_ms, random),
            tenant: TenantId(entry.meta.tenant),
            level: entry.meta.level,
            chunk_samples_max: CHUNK_SAMPLES_MAX,
            sources: vec![entry.meta.id],
            rollup: entry.meta.rollup,
        };
        let mut lines = Vec::new();
        let saved = write_readable(io, layout, new, &block, &mut lines)?;
        let mut edit = ManifestEdit::new(0);
        edit.order = NewOrder::Replace(entry.order);
        edit.remove = vec![entry.meta.id];
        edit.add.extend(saved.clone());
        // Summaries that could not be read do not mean that there were no samples.
        edit.dirty.extend(entry.meta.rollup.map(|rollup| rollup.range()));
        manifest.publish(&edit)?;
        let what = describe(&entry.meta);
        self.actions.push(match &saved {
            Some(meta) => format!("{what}; what could be read is now {}", describe(meta)),
            None => format!("{what}; nothing of it could be read, it is left out"),
        });
        self.actions.extend(lines.into_iter().map(|line| format!("  {line}")));
        Ok(())
    }

    fn documents(&mut self, layout: &Layout, findings: &[Finding]) -> Result<(), StorageError> {
        for name in names(&layout.documents_dir())? {
            let path = layout.documents_dir().join(&name);
            if findings.iter().any(|finding| finding.file == path) {
                self.keep(&path)?;
                let shown = self.shown(&path);
                crate::documents::mend(layout)?;
                self.actions
                    .push(format!("{shown}: damaged writes are taken out, the others stay"));
            }
        }
        Ok(())
    }

    fn write_report(&self, findings: &[Finding]) -> Result<(), StorageError> {
        let path = self.kept.join("report.txt");
        let failed = |error| StorageError::io("write", &path, &error);
        let mut file = std::fs::File::create(&path).map_err(failed)?;
        let found = findings.iter().map(|finding| format!("found: {finding}"));
        let done = self.actions.iter().map(|action| format!("done: {action}"));
        for line in found.chain(done) {
            writeln!(file, "{line}").map_err(failed)?;
        }
        file.sync_all().map_err(failed)
    }
}

/// Writes what can be read of `block` as another; notes in `lines` what is missing.
fn write_readable(
    io: &Arc<ObjectIo>,
    layout: &Layout,
    new: NewBlock,
    block: &Block,
    lines: &mut Vec<String>,
) -> Result<Option<BlockMeta>, StorageError> {
    let mut found = match block.salvage() {
        Ok(found) => found,
        Err(error) => {
            lines.push(format!("its series or their samples cannot be found: {error}"));
            return Ok(None);
        }
    };
    if let Some(error) = &found.trouble {
        lines.push(format!("all labels are put together from what is left of the index: {error}"));
    }
    let mut writer = BlockWriter::new(io, layout, new)?;
    let mut samples = Samples::default();
    let (mut named, mut hit) = (0, 0u64);
    loop {
        match found.advance() {
            Ok(true) => {}
            Ok(false) => break,
            Err(error) => {
                let id = found.id();
                lines.push(format!("series {id} and those behind it cannot be named: {error}"));
                break;
            }
        }
        let mut first = None;
        let mut out = Collector::new(&mut samples, TimeRange::ALL, Wanted::ALL);
        found.samples(&mut out, &mut |error| first = first.take().or(Some(error)));
        out.finish();
        if let Some(error) = first {
            hit += 1;
            if named < SERIES_NAMED_MAX {
                named += 1;
                let labels = found.labels().to_labels();
                let left = samples.len();
                lines.push(format!("{labels}: {left} samples are left: {error}"));
            }
        }
        writer.add(found.labels(), &samples)?;
    }
    if hit > named as u64 {
        lines.push(format!("… and {} series more", hit - named as u64));
    }
    writer.finish()
}
