//! The engine's face: open, append, select, flush, compact, close.
//!
//! Threads: one committer (the only writer of the head), one maintenance thread (when
//! `background`), one for the object store's I/O. Readers use their own. Lock order: the
//! maintenance lock, then the view, then a partition.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use base::clock::Clock;
use base::error::{Classify as _, ErrorKind};
use base::metrics::Metrics;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use index::HeadStatistics;
use model::{
    AppendError, AppendReport, Appender, Catalog, DeleteError, Documents, Hints, Matcher,
    Selection, SeriesHasher, SnapshotError, Source, SourceError, TenantId, TimeRange, ValueNode,
    WriteBatch,
};
use parking_lot::{Condvar, Mutex};

use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::committer::Committer;
use crate::documents::DocumentStore;
use crate::error::StorageError;
use crate::layout::Layout;
use crate::lock::DirLock;
use crate::maintenance::{FlushWhich, Maintenance};
use crate::manifest::edit::Manifest;
use crate::manifest::store::ManifestStore;
use crate::object::io::ObjectIo;
use crate::object::open::{OpenedStore, open_local};
use crate::options::EngineOptions;
use crate::queue::{Message, Queue};
use crate::recover::recover;
use crate::retention::Retention;
use crate::shared::Shared;
use crate::snapshot::{Asked, NoSeries, Scope};
use crate::sweep::sweep_staged;
use crate::view::ViewCell;
use crate::wal::file::{DiskFiles, LogFiles};

/// How often the maintenance thread looks for work.
const TICK: Duration = Duration::from_millis(500);
/// Longest pause after failed maintenance, in ticks.
const BACKOFF_TICKS_MAX: u32 = 120;

/// So many bytes of indexes are read at the start before anybody asks: the system's memory, not ours, and a
/// few hundredths of a second of a disk.
const APPROACH_BYTES_MAX: u64 = 32 << 20;

/// One shard's store.
#[derive(Debug)]
pub struct Engine {
    shared: Arc<Shared>,
    maintenance: Arc<Mutex<Maintenance>>,
    committer: Mutex<Option<JoinHandle<()>>>,
    background: Mutex<Option<(Arc<StopFlag>, JoinHandle<()>)>>,
    documents: Arc<DocumentStore>,
    io: Arc<ObjectIo>,
    _lock: Arc<DirLock>,
}

/// One block, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlockStatus {
    /// Its id.
    pub id: String,
    /// Earliest sample.
    pub min_time_ms: i64,
    /// Latest sample.
    pub max_time_ms: i64,
    /// Number of series.
    pub series: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// How often its samples have been merged; 0 comes from the head.
    pub level: u32,
    /// The blocks that it was merged from.
    pub sources: Vec<String>,
    /// Version of the format.
    pub version: u32,
}

impl BlockStatus {
    fn of(meta: &BlockMeta) -> Self {
        Self {
            id: meta.id.to_string(),
            min_time_ms: meta.min_time_ms,
            max_time_ms: meta.max_time_ms,
            series: meta.series,
            samples: meta.samples,
            chunks: meta.chunks,
            level: meta.level,
            sources: meta.sources.iter().map(ToString::to_string).collect(),
            version: meta.block_version,
        }
    }
}

/// What the engine holds, for status pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EngineStatus {
    /// Series in the head.
    pub head_series: u64,
    /// Samples in the head.
    pub head_samples: u64,
    /// Chunks and open buffers in the head.
    pub head_chunks: u64,
    /// Open windows.
    pub partitions: u64,
    /// Blocks.
    pub blocks: u64,
    /// Samples in blocks; what several blocks have counts several times.
    pub block_samples: u64,
    /// Bytes of the blocks.
    pub block_bytes: u64,
    /// The earliest sample.
    pub min_time_ms: Option<i64>,
    /// The latest sample.
    pub max_time_ms: Option<i64>,
    /// False while writes are refused.
    pub is_writable: bool,
}

#[derive(Debug, Default)]
struct StopFlag {
    is_set: Mutex<bool>,
    wake: Condvar,
}

impl Engine {
    /// Opens the store in `options.data_dir`, creating it when it is new, and recovers what is
    /// acknowledged. `Err` when another process has it, when an option is impossible, or when the
    /// newest manifest is damaged; damage elsewhere is reported and stepped over.
    pub fn open(
        options: EngineOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, StorageError> {
        Self::open_with(options, clock, metrics, Arc::new(DiskFiles))
    }

    /// [`Engine::open`] with other file operations for the log: tests make them fail.
    pub fn open_with(
        options: EngineOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        files: Arc<dyn LogFiles>,
    ) -> Result<Self, StorageError> {
        let objects = Layout::new(&options.data_dir, options.shard).object_root();
        Self::open_on(options, clock, metrics, files, || open_local(&objects))
    }

    /// [`Engine::open_with`] over objects that are elsewhere.
    pub(crate) fn open_on(
        options: EngineOptions,
        clock: Arc<dyn Clock>,
        metrics: Arc<Metrics>,
        files: Arc<dyn LogFiles>,
        objects: impl FnOnce() -> Result<OpenedStore, StorageError>,
    ) -> Result<Self, StorageError> {
        options.check()?;
        let root = &options.data_dir;
        std::fs::create_dir_all(root).map_err(|error| StorageError::io("create", root, &error))?;
        let layout = Layout::new(root, options.shard);
        let lock = Arc::new(DirLock::acquire(&layout.lock())?);
        let documents = open_documents(&layout, &files, &metrics, &options, &lock)?;
        let io = Arc::new(ObjectIo::start(objects()?)?);
        let store = ManifestStore::open(io.clone(), layout.clone())?;
        let manifest = store.current();
        let shared = Arc::new(Shared {
            queue: Queue::new(options.queue_bytes_max),
            options,
            layout,
            clock,
            metrics,
            hasher: SeriesHasher::from_entropy(),
            view: ViewCell::default(),
            head_bytes: AtomicU64::new(0),
            partitions: AtomicUsize::new(0),
            is_poisoned: AtomicBool::new(false),
        });
        open_blocks(&shared, &io, &manifest);
        let recovered = recover(&shared, &files, &manifest)?;
        approach_newest(&shared);
        let oldest = recovered.oldest_wal_file;
        let mut maintenance = Maintenance::new(shared.clone(), io.clone(), files, store, oldest);
        sweep_staged(&io, &shared.layout)?;
        maintenance.sweep_all()?;
        shared.metrics.storage_writable.set(1);
        let committer = start_committer(&shared, recovered.committer)?;
        let maintenance = Arc::new(Mutex::new(maintenance));
        let background = if shared.options.background {
            Some(start_background(&shared, &maintenance)?)
        } else {
            None
        };
        Ok(Self {
            shared,
            maintenance,
            committer: Mutex::new(Some(committer)),
            background: Mutex::new(background),
            documents,
            io,
            _lock: lock,
        })
    }

    /// The small records beside the samples. They stay readable and writable when the engine is
    /// closed, and hold the directory's lock as long as anybody holds them.
    pub fn documents(&self) -> Arc<dyn Documents> {
        self.documents.clone()
    }

    /// Writes the whole head to blocks. Returns once they are published.
    pub fn flush_now(&self) -> Result<(), StorageError> {
        self.shared.fence(self.maintenance.lock().flush(FlushWhich::All))
    }

    /// Merges blocks until none are left to merge.
    pub fn compact_now(&self) -> Result<(), StorageError> {
        self.shared.fence(self.maintenance.lock().compact())
    }

    /// Does whatever maintenance is due: flushes, merges, retention, forgetting, sweeping.
    pub fn maintain_now(&self) -> Result<(), StorageError> {
        self.shared.fence(self.maintenance.lock().run_due())
    }

    /// What the engine holds now.
    pub fn status(&self) -> EngineStatus {
        let view = self.shared.view.load();
        let mut range: Option<TimeRange> = None;
        let mut cover = |found: TimeRange| {
            range = Some(range.map_or(found, |range| range.hull(&found)));
        };
        let (mut head_samples, mut head_chunks, mut partitions) = (0, 0, 0);
        for (_, partition) in view.partitions() {
            let data = partition.read();
            head_samples += data.samples();
            head_chunks += data.chunks();
            partitions += 1;
            data.time_range().into_iter().for_each(&mut cover);
        }
        let (mut blocks, mut block_samples, mut block_bytes) = (0, 0, 0);
        for block in view.blocks().chain(view.rollups()) {
            blocks += 1;
            block_samples += block.meta.samples;
            block_bytes += block.bytes();
            cover(block.time_range());
        }
        EngineStatus {
            head_series: view.tenants.values().map(|tenant| tenant.index.len() as u64).sum(),
            head_samples,
            head_chunks,
            partitions,
            blocks,
            block_samples,
            block_bytes,
            min_time_ms: range.map(|range| range.start_ms),
            max_time_ms: range.map(|range| range.end_ms),
            is_writable: self.shared.metrics.storage_writable.get() == 1,
        }
    }

    /// The labels in the head of the default tenant, counted; at most `limit` counts of a kind.
    pub fn label_statistics(&self, limit: usize) -> HeadStatistics {
        let view = self.shared.view.load();
        view.tenants
            .get(&TenantId::DEFAULT)
            .map(|tenant| tenant.index.statistics(limit))
            .unwrap_or_default()
    }

    /// The live blocks, by time.
    pub fn block_list(&self) -> Vec<BlockStatus> {
        let view = self.shared.view.load();
        let mut blocks: Vec<BlockStatus> =
            view.blocks().chain(view.rollups()).map(|block| BlockStatus::of(&block.meta)).collect();
        blocks.sort_by_key(|block| block.min_time_ms);
        blocks
    }

    /// Stops all threads, soon; what is acknowledged is synced, and with `flush_on_close` in blocks.
    /// Appends from now on are refused; selections stay readable.
    pub fn close(&self) -> Result<(), StorageError> {
        self.stop_background();
        let flushed = if self.shared.options.flush_on_close && self.committer.lock().is_some() {
            self.flush_now()
        } else {
            Ok(())
        };
        self.stop_committer();
        self.maintenance.lock().stop_io();
        flushed
    }

    /// A flush or merge under way is given up: its samples are in the log or in the blocks that it
    /// reads, and what it wrote is swept.
    fn stop_background(&self) {
        if let Some((stop, thread)) = self.background.lock().take() {
            *stop.is_set.lock() = true;
            stop.wake.notify_all();
            self.io.interrupt(true);
            let _ = thread.join();
            self.io.interrupt(false);
        }
    }

    /// Interrupts flushes and merges as [`Engine::close`] does, or ends that.
    #[cfg(test)]
    pub(crate) fn interrupt(&self, is_interrupted: bool) {
        self.io.interrupt(is_interrupted);
    }

    fn stop_committer(&self) {
        self.shared.queue.close();
        if let Some(thread) = self.committer.lock().take() {
            let _ = thread.join();
        }
    }

    /// Returns once everything acknowledged is synced, whatever `wal_sync` says.
    pub fn sync_now(&self) -> Result<(), StorageError> {
        let (reply, answer) = mpsc::channel();
        let closed = || StorageError::Closed { action: "sync the log" };
        if !self.shared.queue.command(Message::Sync(reply)) {
            return Err(closed());
        }
        answer.recv().map_err(|_| closed())
    }

    fn refusal(&self) -> Option<AppendError> {
        let reason = if self.shared.is_poisoned.load(Ordering::Relaxed) {
            "the store has stopped after a failure; its log says why".to_owned()
        } else if self.shared.is_overfull() {
            let bytes = self.shared.head_bytes.load(Ordering::Relaxed);
            let windows = self.shared.partitions.load(Ordering::Relaxed);
            format!("the head holds {bytes} bytes in {windows} windows and waits for a flush")
        } else if !self.shared.options.memory.takes_writes() {
            let (used, limit, owed) = self.shared.memory_figures();
            format!(
                "the process holds {used} of {limit} bytes of memory and needs {owed} to write out the head"
            )
        } else {
            return None;
        };
        Some(AppendError::Unavailable { reason })
    }

    fn scope(&self, tenant: TenantId, range: TimeRange, asked: Asked) -> Option<Scope> {
        let now_ms = self.shared.clock.now_ms();
        let kept_since_ms = Retention::at(&self.shared.options, now_ms).latest_of_all();
        let view = self.shared.view.load();
        let Shared { metrics, options, .. } = &*self.shared;
        Scope::new(&view, tenant, range, asked, kept_since_ms, metrics, &options.memory)
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        self.stop_background();
        self.stop_committer();
    }
}

impl Appender for Engine {
    fn batch(&self, tenant: TenantId) -> WriteBatch {
        WriteBatch::new(tenant, self.shared.hasher)
    }

    fn append(&self, batch: WriteBatch) -> BoxFuture<'_, Result<AppendReport, AppendError>> {
        if let Some(refusal) = self.refusal() {
            return Box::pin(std::future::ready(Err(refusal)));
        }
        let (reply, answer) = oneshot::channel();
        // Queued now, not when first polled: batches take effect in the order of the calls.
        let queued = self.shared.queue.append(Box::new(batch), reply);
        Box::pin(async move {
            queued?;
            answer.await.unwrap_or_else(|_| {
                Err(AppendError::Unavailable { reason: "the store has stopped".to_owned() })
            })
        })
    }

    fn delete(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<(), DeleteError> {
        // Asked without the lock: nothing to delete is the common case where a client tidies up.
        let hints = Hints { tenant, labels_only: true, ..Hints::default() };
        if self.select(matchers, range, &hints)?.is_empty() {
            return Ok(());
        }
        let done = self.maintenance.lock().delete(tenant, matchers, range);
        self.shared.fence(done).map_err(delete_error)
    }

    fn purge(&self) -> Result<(), DeleteError> {
        self.shared.fence(self.maintenance.lock().purge()).map_err(delete_error)
    }

    fn snapshot(&self, head: bool) -> Result<String, SnapshotError> {
        let done = self.maintenance.lock().snapshot(&self.documents, head);
        done.map_err(|error| SnapshotError { reason: error.to_string() })
    }
}

fn delete_error(error: StorageError) -> DeleteError {
    DeleteError::Unavailable { reason: error.to_string() }
}

impl Source for Engine {
    fn select(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        hints: &Hints,
    ) -> Result<Box<dyn Selection>, SourceError> {
        match self.scope(hints.tenant, range, Asked::by(hints)) {
            Some(scope) => Ok(Box::new(scope.select(matchers, hints, self.shared.hasher)?)),
            None => Ok(Box::new(NoSeries)),
        }
    }

    fn series_max(&self, matchers: &[Matcher], range: TimeRange, hints: &Hints) -> Option<u64> {
        match self.scope(hints.tenant, range, Asked::by(hints)) {
            Some(scope) => scope.series_max(matchers),
            None => Some(0),
        }
    }
}

impl Catalog for Engine {
    fn label_names(
        &self,
        tenant: TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<String>, SourceError> {
        self.scope(tenant, range, Asked::Labels)
            .map_or(Ok(Vec::new()), |scope| scope.label_names(matchers))
    }

    fn label_values(
        &self,
        tenant: TenantId,
        name: &str,
        matchers: &[Matcher],
        range: TimeRange,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<String>, SourceError> {
        self.scope(tenant, range, Asked::Labels)
            .map_or(Ok(Vec::new()), |scope| scope.label_values(name, matchers, prefix, limit))
    }

    fn value_nodes(
        &self,
        tenant: TenantId,
        name: &str,
        range: TimeRange,
        prefix: &str,
        limit: usize,
    ) -> Result<Vec<ValueNode>, SourceError> {
        self.scope(tenant, range, Asked::Labels)
            .map_or(Ok(Vec::new()), |scope| scope.value_nodes(name, prefix, limit))
    }
}

fn open_documents(
    layout: &Layout,
    files: &Arc<dyn LogFiles>,
    metrics: &Metrics,
    options: &EngineOptions,
    lock: &Arc<DirLock>,
) -> Result<Arc<DocumentStore>, StorageError> {
    let (layout, files, lock) = (layout.clone(), files.clone(), lock.clone());
    let store = DocumentStore::open(layout, files, metrics, options.document_bytes_max, lock)?;
    Ok(Arc::new(store))
}

fn open_blocks(shared: &Shared, io: &Arc<ObjectIo>, manifest: &Manifest) {
    let open = |entry: &crate::manifest::edit::BlockEntry| {
        let block = Block::open(io, &shared.layout, entry.meta.clone(), entry.order);
        let block = block.with_deletes(manifest.deletes_of(entry));
        let block = block.with_dirty(entry.dirty_ranges());
        if block.index().is_err_and(|error| error.kind() == ErrorKind::Corrupt) {
            shared.metrics.corrupt_sections.inc();
        }
        Arc::new(block)
    };
    let blocks: Vec<Arc<Block>> = manifest.blocks.iter().map(open).collect();
    let bytes: u64 = blocks.iter().map(|block| block.bytes()).sum();
    shared.metrics.blocks.set(blocks.len() as i64);
    shared.metrics.block_bytes.set(bytes as i64);
    shared.view.update(|view| {
        blocks.into_iter().for_each(|block| view.add(block));
    });
}

/// The newest blocks are what most will ask for: begins to read their indexes, behind the log that is needed
/// first.
fn approach_newest(shared: &Shared) {
    let view = shared.view.load();
    let mut blocks: Vec<_> = view.tenants.values().flat_map(|tenant| &tenant.blocks).collect();
    blocks.sort_unstable_by_key(|block| std::cmp::Reverse(block.meta.max_time_ms));
    let mut bytes = 0;
    for block in blocks {
        bytes += block.meta.index_bytes;
        if bytes > APPROACH_BYTES_MAX {
            break;
        }
        block.approach();
    }
}

fn spawn(name: &str, run: impl FnOnce() + Send + 'static) -> Result<JoinHandle<()>, StorageError> {
    std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(run)
        .map_err(|error| StorageError::io("start a thread for", std::path::Path::new(name), &error))
}

/// Runs `body`; a panic in it ends the acceptance of writes, not that of reads.
fn guarded(shared: &Shared, body: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(body)).is_err() {
        shared.is_poisoned.store(true, Ordering::Relaxed);
        shared.metrics.panics.inc();
        shared.metrics.storage_writable.set(0);
        shared.queue.abandon();
        tracing::error!("a thread of the store has died; writes are refused until a restart");
    }
}

fn start_committer(
    shared: &Arc<Shared>,
    committer: Committer,
) -> Result<JoinHandle<()>, StorageError> {
    let shared = shared.clone();
    spawn("committer", move || guarded(&shared, || committer.run()))
}

fn start_background(
    shared: &Arc<Shared>,
    maintenance: &Arc<Mutex<Maintenance>>,
) -> Result<(Arc<StopFlag>, JoinHandle<()>), StorageError> {
    let stop = Arc::new(StopFlag::default());
    let (shared, maintenance, seen) = (shared.clone(), maintenance.clone(), stop.clone());
    let thread = spawn("maintenance", move || {
        guarded(&shared, || {
            let mut pause = 1u32;
            while !wait_for_stop(&seen, TICK * pause) {
                let done = maintenance.lock().run_due();
                pause = match shared.fence(done) {
                    Ok(()) => 1,
                    Err(StorageError::Closed { .. }) if *seen.is_set.lock() => break,
                    Err(error) => {
                        tracing::error!(%error, "maintenance failed; it will be tried again");
                        (pause * 2).min(BACKOFF_TICKS_MAX)
                    }
                };
            }
        });
    })?;
    Ok((stop, thread))
}

/// Waits; true when it is time to stop.
fn wait_for_stop(stop: &StopFlag, pause: Duration) -> bool {
    let mut is_set = stop.is_set.lock();
    if !*is_set {
        stop.wake.wait_for(&mut is_set, pause);
    }
    *is_set
}
