//! From the head to blocks: which partitions are written, when, and how their blocks take their place.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

use base::memory::MemoryLevel;
use model::TenantId;

use super::Maintenance;
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::error::StorageError;
use crate::head::partition::Partition;
use crate::head::seal::{FLUSH_CHUNK_SAMPLES, write_block};
use crate::manifest::edit::{FlushMark, ManifestEdit};
use crate::queue::Message;
use crate::retention::Retention;
use crate::shared::block_memory;
use crate::view::TenantView;
use crate::wal::writer::WalPosition;

/// One in so many bytes of the memory limit makes a head that is worth a flush when memory is tight.
const HEAD_WORTH_A_FLUSH: u64 = 32;
/// The same for samples and index together. What a flush frees of the index cannot be told before, so
/// such flushes keep their distance, in milliseconds, while there is still room.
const INDEX_WORTH_A_FLUSH: u64 = 16;
const ROOM_PAUSE_MS: u64 = 5000;

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
pub(super) struct FrozenPartition {
    tenant: TenantId,
    partition: Arc<Partition>,
    /// Its samples are in front of this place of the log.
    position: WalPosition,
}

impl Maintenance {
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
        let freeze = |reply| Message::Freeze(windows, reply);
        let frozen = self.shared.queue.ask("flush the head", freeze)?;
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
}
