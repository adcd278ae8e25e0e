//! The engine's face: open, append, select, flush, compact, close.
//!
//! Threads: one committer (the only writer of the head), one maintenance thread (when
//! `background`), one for the object store's I/O. Readers use their own. Lock order: the
//! maintenance lock, then the view, then a partition.

mod status;
mod threads;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::thread::JoinHandle;

use base::clock::Clock;
use base::error::{Classify as _, ErrorKind};
use base::metrics::Metrics;
use futures::channel::oneshot;
use futures::future::BoxFuture;
use model::{
    AppendError, AppendReport, Appender, Catalog, DeleteError, Documents, Hints, Matcher,
    Selection, SeriesHasher, Size, SnapshotError, Source, SourceError, TenantId, TimeRange,
    ValueNode, WriteBatch,
};
use parking_lot::Mutex;

pub use self::status::{BlockStatus, EngineStatus};
use self::threads::{StopFlag, start_background, start_committer};
use crate::block::reader::Block;
use crate::documents::DocumentStore;
use crate::error::StorageError;
use crate::layout::Layout;
use crate::lock::DirLock;
use crate::maintenance::{FlushWhich, Maintenance};
use crate::manifest::edit::{BlockEntry, Manifest};
use crate::manifest::store::ManifestStore;
use crate::object::io::ObjectIo;
use crate::object::open::{OpenedStore, open_local};
use crate::options::EngineOptions;
use crate::queue::{Message, Queue};
use crate::recover::recover;
use crate::retention::Retention;
use crate::shared::{Shared, select_cache};
use crate::snapshot::{Asked, NoSeries, Scope};
use crate::sweep::sweep_staged;
use crate::view::ViewCell;
use crate::wal::file::{DiskFiles, LogFiles};

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
            selected: select_cache(&options.memory, &metrics),
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
            stop.set();
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
        self.shared.queue.ask("sync the log", Message::Sync)
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
        Scope::new(&view, tenant, range, asked, kept_since_ms, &self.shared)
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

    fn size_max(&self, matchers: &[Matcher], range: TimeRange, hints: &Hints) -> Option<Size> {
        match self.scope(hints.tenant, range, Asked::by(hints)) {
            Some(scope) => scope.size_max(matchers),
            None => Some(Size::default()),
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
    let open = |entry: &BlockEntry| {
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
