//! Everything that moves samples after they are acknowledged: flush, compaction, retention, sweep
//! and the checkpoint of the log.
//!
//! Here are the round of what is due, the sweep, the checkpoint and snapshots; each other duty has a file.
//!
//! Invariants: one caller at a time (the engine's lock); a step that fails changes nothing that
//! readers see, and is tried again; the view changes only after the manifest has.

mod delete;
mod expire;
mod flush;
mod merge;
mod progress;
mod rollup;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Weak};
use std::time::Instant;

use base::memory::MemoryLevel;
use base::rng::Rng;
use model::TenantId;

pub(crate) use self::flush::FlushWhich;
use self::flush::FrozenPartition;
use self::merge::Pace;
use crate::archive::snapshot::{Original, copy_to, name_of};
use crate::block::reader::Block;
use crate::block::writer::NewBlock;
use crate::documents::DocumentStore;
use crate::error::StorageError;
use crate::layout::BlockId;
use crate::manifest::store::ManifestStore;
use crate::object::io::ObjectIo;
use crate::queue::Message;
use crate::retention::Classes;
use crate::rollup::policy::Barren;
use crate::shared::Shared;
use crate::sweep::sweep;
use crate::wal::checkpoint;
use crate::wal::file::LogFiles;

/// How long a delete waits for others before its blocks are rewritten.
const REWRITE_AFTER_MS: i64 = 10 * 60_000;

/// The state of the maintenance.
#[derive(Debug)]
pub(crate) struct Maintenance {
    shared: Arc<Shared>,
    io: Arc<ObjectIo>,
    files: Arc<dyn LogFiles>,
    manifest: ManifestStore,
    rng: Rng,
    /// Frozen and not yet published, in the order in which they were frozen.
    frozen: Vec<FrozenPartition>,
    /// The oldest log file on disk that is still needed.
    oldest_wal_file: u64,
    /// Views that may still read series which the head could forget.
    older_views: BTreeMap<TenantId, Vec<Weak<()>>>,
    /// Blocks that left the manifest and may still be read.
    retired: Vec<(BlockId, Weak<Block>)>,
    /// Blocks that cannot be merged because they are damaged.
    unmergeable: Vec<BlockId>,
    /// Which classes of the retention have series in a block; a block never changes.
    classes: HashMap<BlockId, Classes>,
    /// Bytes of blocks that were rewritten without deleted samples since none was waiting for it.
    rewritten_bytes: u64,
    /// Ranges in which there was nothing to roll up.
    barren: Barren,
    /// Tenants whose head is to forget series however few they are: some were deleted.
    forgetful: HashSet<TenantId>,
    /// When the head was last written out for the sake of its index.
    made_room_ms: i64,
    /// When this process began to maintain the store.
    began: Instant,
}

impl Maintenance {
    /// Maintenance of a recovered engine.
    pub(crate) fn new(
        shared: Arc<Shared>,
        io: Arc<ObjectIo>,
        files: Arc<dyn LogFiles>,
        manifest: ManifestStore,
        oldest_wal_file: u64,
    ) -> Self {
        let rng = shared.options.seed.map_or_else(Rng::from_entropy, Rng::new);
        Self {
            shared,
            io,
            files,
            manifest,
            rng,
            frozen: Vec::new(),
            oldest_wal_file,
            older_views: BTreeMap::new(),
            retired: Vec::new(),
            unmergeable: Vec::new(),
            classes: HashMap::new(),
            rewritten_bytes: 0,
            barren: Barren::new(),
            forgetful: HashSet::new(),
            made_room_ms: i64::MIN,
            began: Instant::now(),
        }
    }

    /// One round of everything that is due.
    pub(crate) fn run_due(&mut self) -> Result<(), StorageError> {
        self.flush(FlushWhich::Due)?;
        // Merges and retention let samples go, which must have been rolled up before.
        if self.roll_up()? {
            // While memory is tight the head may have to be written out between two merges.
            let memory = Arc::clone(&self.shared.options.memory);
            while self.compact_one(Pace::Steady)? && memory.level() == MemoryLevel::Calm {}
            self.expire_blocks()?;
        }
        self.maintain_index();
        self.forget_series();
        self.note_block_ids();
        self.give_memory_back();
        self.sweep_retired()
    }

    /// Has the store's own threads give back what they have freed.
    fn give_memory_back(&self) {
        let memory = &self.shared.options.memory;
        if memory.is_worth_giving_back() {
            memory.give_back_idle();
            self.shared.queue.command(Message::GiveBack);
        }
    }

    fn new_block(&mut self, tenant: TenantId, level: u32, chunk_samples_max: usize) -> NewBlock {
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let id = BlockId::new(self.shared.clock.now_ms(), random);
        NewBlock { id, tenant, level, chunk_samples_max, sources: Vec::new(), rollup: None }
    }

    fn note_blocks(&self) {
        let view = self.shared.view.load();
        let (count, bytes) = view
            .blocks()
            .chain(view.rollups())
            .fold((0, 0), |(count, bytes), block| (count + 1, bytes + block.bytes()));
        self.shared.metrics.blocks.set(count);
        self.shared.metrics.block_bytes.set(bytes as i64);
    }

    /// Brings the metric of what blocks keep of the head's index up to date: queries make it grow.
    fn note_block_ids(&self) {
        let view = self.shared.view.load();
        let bytes: u64 =
            view.blocks().chain(view.rollups()).map(|block| block.head_ids_bytes()).sum();
        self.shared.metrics.block_id_bytes.set(bytes as i64);
    }

    /// Drops log files that nothing needs any more; see `wal/checkpoint.rs`.
    fn checkpoint(&mut self) -> Result<(), StorageError> {
        let (series, end) = self.shared.queue.ask("drop log files", Message::ListSeries)?;
        let oldest = checkpoint::oldest_needed(&self.shared.view.load(), end);
        if oldest <= self.oldest_wal_file {
            return Ok(());
        }
        checkpoint::write_series(&self.shared.layout, &*self.files, oldest, &series)?;
        self.oldest_wal_file = oldest;
        let freed = checkpoint::drop_files(&self.shared.layout, &*self.files, oldest)?;
        self.shared.metrics.wal_size_bytes.add(-(freed as i64));
        Ok(())
    }

    fn retire(&mut self, blocks: &[Arc<Block>]) {
        self.retired.extend(blocks.iter().map(|block| (block.meta.id, Arc::downgrade(block))));
    }

    fn maintain_index(&self) {
        for view in self.shared.view.load().tenants.values() {
            if let Err(error) = view.index.maintain() {
                tracing::error!(%error, "cannot freeze terms of the head's index");
            }
        }
    }

    /// Lets the head forget series without samples in it, once no selection can still name them.
    pub(crate) fn forget_series(&mut self) {
        let view = self.shared.view.load();
        let mut asked = Vec::new();
        self.older_views.retain(|tenant, views| {
            if views.iter().any(|view| view.strong_count() > 0) {
                return true;
            }
            let Some(tenant_view) = view.tenants.get(tenant) else {
                return false;
            };
            if tenant_view.has_many_unused() || self.forgetful.remove(tenant) {
                asked.push(*tenant);
            }
            false
        });
        drop(view);
        for tenant in asked {
            let forget = |reply| Message::ForgetSeries(tenant, reply);
            // A closed store has nothing to forget.
            if let Ok(forgotten) = self.shared.queue.ask("forget series", forget) {
                tracing::debug!(tenant = tenant.0, forgotten, "series left the head");
            }
        }
    }

    fn sweep_retired(&mut self) -> Result<(), StorageError> {
        let is_free = |(_, block): &(BlockId, Weak<Block>)| block.strong_count() == 0;
        if !self.retired.iter().any(is_free) {
            return Ok(());
        }
        self.sweep_all()?;
        self.retired.retain(|retired| !is_free(retired));
        Ok(())
    }

    /// Deletes the objects of every block that is neither live nor being read.
    pub(crate) fn sweep_all(&mut self) -> Result<(), StorageError> {
        if !self.manifest.is_certain() {
            return Ok(());
        }
        let live = self.manifest.current().blocks.iter().map(|entry| entry.meta.id).collect();
        let held = self.retired.iter().filter(|(_, block)| block.strong_count() > 0);
        let held = held.map(|(id, _)| *id).collect();
        let deleted = sweep(&self.io, &self.shared.layout, &live, &held)?;
        if deleted > 0 {
            tracing::info!(objects = deleted, "deleted objects of blocks that no manifest names");
        }
        Ok(())
    }

    /// Copies the store to a directory below `snapshots`; returns the copy's name.
    pub(crate) fn snapshot(
        &mut self,
        documents: &DocumentStore,
        head: bool,
    ) -> Result<String, StorageError> {
        let log_below = if head { Some(self.rotate_log()?) } else { None };
        let layout = &self.shared.layout;
        let name = name_of(self.shared.clock.now_ms(), self.rng.next_u64());
        let manifest = self.manifest.current();
        let original = Original { layout, io: &self.io, manifest: &manifest, documents, log_below };
        copy_to(&original, &layout.snapshots_dir().join(&name))?;
        Ok(name)
    }

    /// Finishes the newest log file; returns the number that the next one will have.
    fn rotate_log(&self) -> Result<u64, StorageError> {
        self.shared.queue.ask("finish a log file", Message::Rotate)?
    }

    /// Stops the object store's thread.
    pub(crate) fn stop_io(&self) {
        self.io.stop();
    }
}
