//! The one thread that changes the head: it takes everything queued, logs it as one group, and
//! only then applies and acknowledges it.
//!
//! Invariants: nothing is applied that is not in the log; nothing is acknowledged that is not
//! applied; batches take effect in the order in which they were queued.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use index::SeriesId;
use model::{AppendError, AppendReport, TenantId, TimeRange, WriteBatch};

use crate::error::StorageError;
use crate::head::append::{
    AdmittedSamples, Bounds, LogTarget, Resolved, TIME_MAX_MS, TIME_MIN_MS, TenantHead,
    growing_partition,
};
use crate::head::partition::Partition;
use crate::head::series::SealScratch;
use crate::options::WalSync;
use crate::queue::{AppendReply, Frozen, LoggedSeries, Message};
use crate::retention::Retention;
use crate::shared::Shared;
use crate::wal::writer::{WalPosition, WalWriter};

/// Bytes of the buffer of frames that are kept, and the share of the memory limit that they may be.
const FRAMES_KEPT: usize = 16 << 20;
const FRAMES_SHARE: u64 = 64;

/// A batch of the group that is being committed.
struct Pending {
    batch: Box<WriteBatch>,
    reply: AppendReply,
    resolved: Resolved,
}

/// The state that only the committer touches.
#[derive(Debug)]
pub(crate) struct Committer {
    /// What all threads share.
    pub(crate) shared: Arc<Shared>,
    /// The heads by tenant.
    pub(crate) heads: BTreeMap<TenantId, TenantHead>,
    /// The writing end of the log.
    pub(crate) wal: WalWriter,
    /// The next free number of a series in the log.
    pub(crate) next_log_id: u64,
    /// Memory for sealing.
    pub(crate) scratch: SealScratch,
    frames: Vec<u8>,
}

impl Committer {
    /// A committer over recovered heads.
    pub(crate) fn new(
        shared: Arc<Shared>,
        heads: BTreeMap<TenantId, TenantHead>,
        wal: WalWriter,
        next_log_id: u64,
    ) -> Self {
        let scratch = SealScratch::default();
        Self { shared, heads, wal, next_log_id, scratch, frames: Vec::new() }
    }

    /// Serves the queue until it is closed and empty, then syncs the log.
    pub(crate) fn run(mut self) {
        let mut messages = Vec::new();
        let mut sync_at: Option<Instant> = None;
        while self.shared.queue.take_group(&mut messages, sync_at) {
            let mut appends = Vec::new();
            for message in messages.drain(..) {
                match message {
                    Message::Append(batch, reply) => appends.push((batch, reply)),
                    command => self.obey(command),
                }
            }
            if !appends.is_empty() {
                self.commit(appends);
            }
            sync_at = self.sync_when_due(sync_at);
        }
        if let Err(error) = self.wal.sync() {
            tracing::error!(%error, "cannot sync the log on shutdown");
        }
    }

    /// With an interval: syncs when it is over; returns when it will be.
    fn sync_when_due(&mut self, due: Option<Instant>) -> Option<Instant> {
        let WalSync::Interval(interval_ms) = self.shared.options.wal_sync else {
            return None;
        };
        if !self.wal.is_dirty() {
            return None;
        }
        let now = Instant::now();
        let due = due.unwrap_or(now + Duration::from_millis(interval_ms));
        if now < due {
            return Some(due);
        }
        if let Err(error) = self.wal.sync() {
            tracing::error!(%error, "cannot sync the log; the next write starts a new file");
        }
        None
    }

    fn obey(&mut self, command: Message) {
        // A closed reply channel means that the asking side has gone; nothing is owed to it.
        match command {
            Message::Append(..) => {}
            Message::GiveBack => self.shared.options.memory.give_back_idle(),
            Message::Freeze(windows, reply) => {
                let _ = reply.send(self.freeze(&windows));
            }
            Message::ListSeries(reply) => {
                let series = self.heads.iter().map(|(tenant, head)| LoggedSeries {
                    tenant: *tenant,
                    index: head.index.clone(),
                    log_ids: head.log_ids.clone(),
                });
                let _ = reply.send((series.collect(), self.wal.position()));
            }
            Message::ForgetSeries(tenant, reply) => {
                let _ = reply.send(self.forget_series(tenant));
            }
            Message::Sync(reply) => {
                if let Err(error) = self.wal.sync() {
                    tracing::error!(%error, "cannot sync the log");
                }
                let _ = reply.send(());
            }
            Message::Rotate(reply) => {
                let _ = reply.send(self.wal.rotate());
            }
        }
    }

    fn freeze(&mut self, windows: &[(TenantId, i64)]) -> Frozen {
        let mut partitions = Vec::new();
        for (tenant, start) in windows {
            let head = self.heads.get_mut(tenant);
            if let Some(partition) = head.and_then(|head| head.growing.remove(start)) {
                partitions.push((*tenant, partition));
            }
        }
        Frozen { partitions, position: self.wal.position() }
    }

    /// Forgets the series that no partition of the view holds. Safe here and nowhere else: a
    /// series that was just found or created gets its samples before the next message is taken.
    pub(crate) fn forget_series(&mut self, tenant: TenantId) -> usize {
        let view = self.shared.view.load();
        let (Some(head), Some(tenant_view)) =
            (self.heads.get_mut(&tenant), view.tenants.get(&tenant))
        else {
            return 0;
        };
        let keep = tenant_view.series_in_use();
        let before = head.index.len();
        if let Err(error) = head.index.retain(&keep) {
            tracing::error!(%error, "the head's index cannot forget series");
            return 0;
        }
        head.log_ids.retain(&keep);
        let forgotten = before - head.index.len();
        self.shared.series_left(forgotten as u64);
        forgotten
    }

    fn bounds(&self) -> Bounds {
        let options = &self.shared.options;
        let now = self.shared.clock.now_ms();
        let min = Retention::at(options, now).earliest_of_all();
        let max = options.future_ms_max.map_or(TIME_MAX_MS, |ms| now.saturating_add(ms));
        Bounds {
            time: TimeRange::new(min.max(TIME_MIN_MS), max.min(TIME_MAX_MS)),
            series_max: options.series_max.unwrap_or(u64::MAX),
        }
    }

    fn commit(&mut self, appends: Vec<(Box<WriteBatch>, AppendReply)>) {
        let bounds = self.bounds();
        let mut logged: Vec<(TenantId, Vec<SeriesId>)> = Vec::new();
        self.frames.clear();
        let mut pending = Vec::with_capacity(appends.len());
        for (mut batch, reply) in appends {
            if self.must_wait(&batch) {
                // The connection may have gone; nothing of the batch is stored.
                let _ = reply.send(Err(self.no_room_for_series()));
                continue;
            }
            let tenant = batch.tenant();
            let mut ids = Vec::new();
            let resolved = self.prepare(&mut batch, &bounds, &mut ids);
            logged.push((tenant, ids));
            pending.push(Pending { batch, reply, resolved });
        }
        if pending.is_empty() {
            return;
        }
        let committed = if self.frames.is_empty() {
            Ok(self.wal.position())
        } else {
            self.wal.commit(&self.frames)
        };
        // A group with a million new series needs a buffer that the next ones do not.
        self.frames.shrink_to(self.frames_kept());
        match committed {
            Ok(position) => self.apply_group(pending, &bounds, position),
            Err(error) => self.refuse_group(pending, &logged, &error),
        }
    }

    /// True when `batch` has new series for which there is no memory. It is refused whole, since its sender
    /// repeats it whole: samples of the others would be logged again each time.
    fn must_wait(&self, batch: &WriteBatch) -> bool {
        let knows_all = |head: &TenantHead| head.knows_all(batch);
        !self.shared.options.memory.takes_series()
            && !self.heads.get(&batch.tenant()).is_some_and(knows_all)
    }

    fn no_room_for_series(&self) -> AppendError {
        let (used, limit, owed) = self.shared.memory_figures();
        AppendError::Unavailable {
            reason: format!(
                "new series have to wait: the process holds {used} of {limit} bytes of memory and needs {owed} to write out the head"
            ),
        }
    }

    /// Bytes of buffer that are kept from one group to the next.
    fn frames_kept(&self) -> usize {
        match self.shared.options.memory.limit() {
            0 => FRAMES_KEPT,
            limit => FRAMES_KEPT.min((limit / FRAMES_SHARE) as usize),
        }
    }

    /// Resolves and encodes one batch.
    fn prepare(
        &mut self,
        batch: &mut WriteBatch,
        bounds: &Bounds,
        logged: &mut Vec<SeriesId>,
    ) -> Resolved {
        let tenant = batch.tenant();
        let head = head_of(&self.shared, &mut self.heads, tenant);
        let resolved = head.resolve(batch, bounds);
        self.shared.metrics.series_created.add(resolved.created);
        self.shared.series_entered(resolved.created);
        let mut target = LogTarget {
            out: &mut self.frames,
            shard: self.shared.layout.shard(),
            next_log_id: &mut self.next_log_id,
            logged,
        };
        head.encode(batch, &resolved, bounds, &mut target);
        resolved
    }

    fn apply_group(&mut self, pending: Vec<Pending>, bounds: &Bounds, position: WalPosition) {
        self.shared.metrics.storage_writable.set(1);
        let mut answers = Vec::with_capacity(pending.len());
        for Pending { batch, reply, resolved } in pending {
            let mut samples = AdmittedSamples::new(&batch, &resolved, bounds);
            while let Some(ts) = samples.peek() {
                let partition = self.partition_for(batch.tenant(), ts, position);
                let (bytes, count) = samples.apply(&partition, &mut self.scratch);
                self.shared.head_grew(bytes, count);
            }
            answers.push((batch, reply, resolved));
        }
        for (batch, reply, resolved) in answers {
            let report = AppendReport {
                batch: *batch,
                written: resolved.admitted,
                rejects: resolved.rejects,
            };
            // The connection may have gone; the samples stay.
            let _ = reply.send(Ok(report));
        }
    }

    /// The growing partition of `ts`, visible to readers before it gets its first sample.
    pub(crate) fn partition_for(
        &mut self,
        tenant: TenantId,
        ts: i64,
        position: WalPosition,
    ) -> Arc<Partition> {
        let partition_ms = self.shared.options.partition_ms;
        let head = head_of(&self.shared, &mut self.heads, tenant);
        let (partition, is_new) = growing_partition(&mut head.growing, ts, partition_ms, position);
        if is_new {
            self.shared.view.update(|view| {
                view.tenants.entry(tenant).or_default().partitions.push(partition.clone());
            });
            self.shared.partitions.fetch_add(1, Ordering::Relaxed);
        }
        partition
    }

    fn refuse_group(
        &mut self,
        pending: Vec<Pending>,
        logged: &[(TenantId, Vec<SeriesId>)],
        error: &StorageError,
    ) {
        tracing::error!(%error, requests = pending.len(), "cannot log a group of writes; refused");
        self.shared.metrics.storage_writable.set(0);
        for (tenant, ids) in logged {
            if let Some(head) = self.heads.get_mut(tenant) {
                head.forget_logged(ids);
            }
        }
        for pending in pending {
            let refused = AppendError::Unavailable { reason: error.to_string() };
            let _ = pending.reply.send(Err(refused));
        }
    }
}

/// The head of `tenant`, made together with its place in the view when it is new.
pub(crate) fn head_of<'h>(
    shared: &Shared,
    heads: &'h mut BTreeMap<TenantId, TenantHead>,
    tenant: TenantId,
) -> &'h mut TenantHead {
    heads.entry(tenant).or_insert_with(|| {
        shared.view.update(|view| {
            view.tenants.entry(tenant).or_default();
        });
        let view = shared.view.load();
        let index = view.tenants.get(&tenant).map(|view| view.index.clone());
        TenantHead::new(index.unwrap_or_default())
    })
}
