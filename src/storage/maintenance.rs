//! Everything that moves samples after they are acknowledged: flush, compaction, retention, sweep
//! and the checkpoint of the log.
//!
//! Invariants: one caller at a time (the engine's lock); a step that fails changes nothing that
//! readers see, and is tried again; the view changes only after the manifest has.

mod delete;
mod expire;
mod merge;
mod progress;
mod rollup;

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Weak, mpsc};
use std::time::Instant;

use base::memory::MemoryLevel;
use base::rng::Rng;
use model::TenantId;

use self::merge::Pace;
use crate::archive::snapshot::{Original, copy_to, name_of};
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::block::writer::NewBlock;
use crate::documents::DocumentStore;
use crate::error::StorageError;
use crate::head::partition::Partition;
use crate::head::seal::{FLUSH_CHUNK_SAMPLES, write_block};
use crate::layout::BlockId;
use crate::manifest::edit::{FlushMark, ManifestEdit};
use crate::manifest::store::ManifestStore;
use crate::object::io::ObjectIo;
use crate::queue::Message;
use crate::retention::{Classes, Retention};
use crate::rollup::policy::Barren;
use crate::shared::{Shared, block_memory};
use crate::sweep::sweep;
use crate::view::TenantView;
use crate::wal::checkpoint;
use crate::wal::file::LogFiles;
use crate::wal::writer::WalPosition;

/// One in so many bytes of the memory limit makes a head that is worth a flush when memory is tight.
const HEAD_WORTH_A_FLUSH: u64 = 32;
/// The same for samples and index together. What a flush frees of the index cannot be told before, so
/// such flushes keep their distance, in milliseconds, while there is still room.
const INDEX_WORTH_A_FLUSH: u64 = 16;
const ROOM_PAUSE_MS: u64 = 5000;

/// How long a delete waits for others before its blocks are rewritten.
const REWRITE_AFTER_MS: i64 = 10 * 60_000;

/// Which partitions a flush takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum FlushWhich {
    /// All of them.
    All,
    /// Those whose window is over, and the oldest ones while a limit is passed.
    Due,
    /// Those that begin at these instants.
    These(Vec<(TenantId, i64)>),
}

/// A partition on its way to a block.
#[derive(Debug)]
struct FrozenPartition {
    tenant: TenantId,
    partition: Arc<Partition>,
    /// Its samples are in front of this place of the log.
    position: WalPosition,
}

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

    /// Writes partitions to blocks.
    pub(crate) fn flush(&mut self, which: FlushWhich) -> Result<(), StorageError> {
        self.freeze(which)?;
        if self.frozen.is_empty() {
            return Ok(());
        }
        let start = Instant::now();
        let series = self.frozen.iter().map(|frozen| frozen.partition.read().series()).sum();
        let bytes = block_memory(series);
        let spending = self.shared.options.memory.spend(bytes, bytes);
        let result = self.flush_frozen();
        drop(spending);
        match &result {
            Ok(()) => self.shared.metrics.flush_seconds.observe(start.elapsed()),
            Err(_) => {
                self.shared.metrics.flush_failures.inc();
                // Half-written blocks must not fill a disk that is short of room already.
                if let Err(error) = self.sweep_all() {
                    tracing::warn!(%error, "cannot delete what a failed flush left behind");
                }
            }
        }
        result
    }

    fn freeze(&mut self, which: FlushWhich) -> Result<(), StorageError> {
        let windows = self.windows_to_freeze(&which);
        if windows.is_empty() {
            return Ok(());
        }
        let (reply, answer) = mpsc::channel();
        let closed = || StorageError::Closed { action: "flush the head" };
        if !self.shared.queue.command(Message::Freeze(windows, reply)) {
            return Err(closed());
        }
        let frozen = answer.recv().map_err(|_| closed())?;
        let position = frozen.position;
        let partitions = frozen.partitions.into_iter();
        self.frozen.extend(partitions.map(|(tenant, partition)| FrozenPartition {
            tenant,
            partition,
            position,
        }));
        Ok(())
    }

    fn windows_to_freeze(&mut self, which: &FlushWhich) -> Vec<(TenantId, i64)> {
        let shared = Arc::clone(&self.shared);
        let (view, options) = (shared.view.load(), &shared.options);
        let settled = shared.clock.now_ms().saturating_sub(options.flush_after_ms);
        let growing = view.partitions().filter(|(_, partition)| {
            !self.frozen.iter().any(|frozen| Arc::ptr_eq(&frozen.partition, partition))
        });
        let mut growing: Vec<_> = growing.collect();
        // Oldest log first: flushing it shortens the log.
        growing.sort_by_key(|(_, partition)| partition.first_position());
        let mut bytes = shared.head_bytes.load(Ordering::Relaxed);
        let mut count = growing.len();
        let wal_bytes = shared.metrics.wal_size_bytes.get().max(0) as u64;
        let mut log_is_long = wal_bytes > options.wal_bytes_max;
        let wants_room = which == &FlushWhich::Due && self.wants_room(bytes);
        let mut windows = Vec::new();
        for (tenant, partition) in growing {
            let is_over = partition.window().end_ms < settled;
            let is_much = bytes > options.head_bytes_max
                || count > options.partitions_max
                || wants_room
                || std::mem::take(&mut log_is_long);
            let key = (tenant, partition.start_ms());
            let is_asked = match which {
                FlushWhich::All => true,
                FlushWhich::Due => is_over || is_much,
                FlushWhich::These(windows) => windows.contains(&key),
            };
            if is_asked {
                bytes = bytes.saturating_sub(partition.read().bytes());
                count -= 1;
                windows.push(key);
            }
        }
        windows
    }

    /// True when memory is tight and the head, with `bytes` of samples, is worth writing out: for its
    /// samples, or for the series that it can forget afterwards.
    fn wants_room(&mut self, bytes: u64) -> bool {
        let memory = &self.shared.options.memory;
        let (level, limit) = (memory.level(), memory.limit());
        if level == MemoryLevel::Calm || bytes == 0 {
            return false;
        }
        if bytes > limit / HEAD_WORTH_A_FLUSH {
            return true;
        }
        let now_ms = self.shared.clock.now_ms();
        let is_soon = now_ms.abs_diff(self.made_room_ms) < ROOM_PAUSE_MS;
        // When memory is full nothing is written, so there is nothing to wait for.
        if level == MemoryLevel::Tight && is_soon {
            return false;
        }
        // A series takes about as much in the index as it takes to write it out.
        let wants = bytes + memory.owed() > limit / INDEX_WORTH_A_FLUSH;
        if wants {
            self.made_room_ms = now_ms;
        }
        wants
    }

    fn new_block(&mut self, tenant: TenantId, level: u32, chunk_samples_max: usize) -> NewBlock {
        let random = (u128::from(self.rng.next_u64()) << 64) | u128::from(self.rng.next_u64());
        let id = BlockId::new(self.shared.clock.now_ms(), random);
        NewBlock { id, tenant, level, chunk_samples_max, sources: Vec::new(), rollup: None }
    }

    /// Writes every frozen window as one block, publishes what could be written, and reports the
    /// first failure.
    fn flush_frozen(&mut self) -> Result<(), StorageError> {
        let mut windows: BTreeMap<(TenantId, i64, i64), Vec<usize>> = BTreeMap::new();
        for (index, frozen) in self.frozen.iter().enumerate() {
            let window = frozen.partition.window();
            let key = (frozen.tenant, window.start_ms, window.end_ms);
            windows.entry(key).or_default().push(index);
        }
        let mut edit = ManifestEdit::new(self.oldest_wal_file);
        let mut done = Vec::new();
        let mut result = Ok(());
        for ((tenant, start, end), members) in windows {
            let partitions: Vec<Arc<Partition>> =
                members.iter().map(|index| self.frozen[*index].partition.clone()).collect();
            match self.write_window(tenant, &partitions) {
                Ok(meta) => edit.add.extend(meta),
                Err(error) => {
                    result = Err(error);
                    break;
                }
            }
            let position = members.iter().map(|index| self.frozen[*index].position).max();
            let position = position.unwrap_or_default();
            edit.flushed.push(FlushMark {
                tenant: tenant.0,
                window_ms: start,
                length_ms: end - start + 1,
                file: position.file,
                offset: position.offset,
            });
            done.extend(partitions);
        }
        if !done.is_empty() {
            self.publish_flush(&edit, &done)?;
        }
        result
    }

    fn write_window(
        &mut self,
        tenant: TenantId,
        partitions: &[Arc<Partition>],
    ) -> Result<Option<BlockMeta>, StorageError> {
        let options = &self.shared.options;
        let earliest = Retention::at(options, self.shared.clock.now_ms()).earliest_of_all();
        if partitions.iter().all(|partition| partition.window().end_ms < earliest) {
            return Ok(None);
        }
        let view = self.shared.view.load();
        let Some(TenantView { index, .. }) = view.tenants.get(&tenant) else {
            return Ok(None);
        };
        let new = self.new_block(tenant, 0, FLUSH_CHUNK_SAMPLES);
        write_block(&self.io, &self.shared.layout, new, index, partitions)
    }

    fn publish_flush(
        &mut self,
        edit: &ManifestEdit,
        done: &[Arc<Partition>],
    ) -> Result<(), StorageError> {
        let manifest = self.manifest.publish(edit)?;
        let added = edit.add.iter().map(|meta| meta.id).collect::<HashSet<_>>();
        let entries = manifest.blocks.iter().filter(|entry| added.contains(&entry.meta.id));
        let layout = &self.shared.layout;
        let blocks: Vec<Arc<Block>> = entries
            .map(|entry| Block::open(&self.io, layout, entry.meta.clone(), entry.order))
            .map(Arc::new)
            .collect();
        let is_done = |partition: &Arc<Partition>| done.iter().any(|d| Arc::ptr_eq(d, partition));
        let older_views = &mut self.older_views;
        self.shared.view.update(|view| {
            for (tenant, tenant_view) in &mut view.tenants {
                tenant_view.partitions.retain(|partition| !is_done(partition));
                let own = blocks.iter().filter(|block| block.tenant() == *tenant);
                tenant_view.blocks.extend(own.cloned());
                let older = std::mem::replace(&mut tenant_view.generation, Arc::new(()));
                older_views.entry(*tenant).or_default().push(Arc::downgrade(&older));
            }
            view.soil(&manifest);
        });
        self.frozen.retain(|frozen| !is_done(&frozen.partition));
        for partition in done {
            let data = partition.read();
            self.shared.head_shrank(data.bytes(), data.samples());
            self.shared.metrics.flushes.inc();
        }
        self.note_blocks();
        self.checkpoint()
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
        let (reply, answer) = mpsc::channel();
        let closed = || StorageError::Closed { action: "drop log files" };
        if !self.shared.queue.command(Message::ListSeries(reply)) {
            return Err(closed());
        }
        let (series, end) = answer.recv().map_err(|_| closed())?;
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
            let (reply, answer) = mpsc::channel();
            if self.shared.queue.command(Message::ForgetSeries(tenant, reply)) {
                let forgotten = answer.recv().unwrap_or(0);
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
        let (reply, answer) = mpsc::channel();
        let closed = || StorageError::Closed { action: "finish a log file" };
        if !self.shared.queue.command(Message::Rotate(reply)) {
            return Err(closed());
        }
        answer.recv().map_err(|_| closed())?
    }

    /// Stops the object store's thread.
    pub(crate) fn stop_io(&self) {
        self.io.stop();
    }
}
