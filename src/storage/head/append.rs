//! Admits batches to the head: rows become series ids, samples outside the accepted time and
//! series beyond the limit become rejects, admitted samples go to their windows.
//!
//! Invariants: a series is created only for a row that has an admitted sample; what is applied is
//! exactly what was encoded for the log, since both walk the batch with the same bounds.

use std::collections::BTreeMap;
use std::sync::Arc;

use index::{HeadIndex, SeriesId};
use model::{Reject, RejectReason, Row, SampleKind, TimeRange, WriteBatch};
use parking_lot::RwLockWriteGuard;

use crate::head::log_ids::LogIds;
use crate::head::partition::{Partition, PartitionData};
use crate::head::series::SealScratch;
use crate::wal::record::{LogId, RECORD_BYTES_TARGET, RecordEncoder};
use crate::wal::writer::WalPosition;

/// The earliest instant that is ever accepted: windows around it must not overflow.
pub(crate) const TIME_MIN_MS: i64 = i64::MIN / 4;
/// The latest instant that is ever accepted.
pub(crate) const TIME_MAX_MS: i64 = i64::MAX / 4;

/// Samples applied before readers that wait for a partition get their turn.
const SAMPLES_PER_TURN: usize = 8192;

/// A row without an admitted sample.
const NO_SERIES: SeriesId = SeriesId(u32::MAX);

/// What is accepted now.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bounds {
    /// First and last accepted instant.
    pub(crate) time: TimeRange,
    /// Series that the head may hold.
    pub(crate) series_max: u64,
}

/// The head of one tenant, as its only writer has it.
#[derive(Debug)]
pub(crate) struct TenantHead {
    /// Series ⇄ labels.
    pub(crate) index: Arc<HeadIndex>,
    /// The partitions that grow, by the start of their window.
    pub(crate) growing: BTreeMap<i64, Arc<Partition>>,
    /// The log's number of each series.
    pub(crate) log_ids: LogIds,
}

/// A batch whose rows have series.
#[derive(Debug)]
pub(crate) struct Resolved {
    ids: Vec<SeriesId>,
    /// What was refused, in row order.
    pub(crate) rejects: Vec<Reject>,
    /// Samples admitted.
    pub(crate) admitted: u64,
    /// Series created.
    pub(crate) created: u64,
}

impl TenantHead {
    /// A head over `index` without partitions.
    pub(crate) fn new(index: Arc<HeadIndex>) -> Self {
        Self { index, growing: BTreeMap::new(), log_ids: LogIds::default() }
    }

    /// True when all series of `batch` are in the head.
    pub(crate) fn knows_all(&self, batch: &WriteBatch) -> bool {
        let mut found = Vec::with_capacity(batch.rows().len());
        self.index.lookup_all(batch.rows().iter().map(|row| row.hash), &mut found);
        found.iter().all(Option::is_some)
    }

    /// Finds or creates the series of every row that has a sample inside `bounds`.
    pub(crate) fn resolve(&mut self, batch: &mut WriteBatch, bounds: &Bounds) -> Resolved {
        let mut found = Vec::with_capacity(batch.rows().len());
        self.index.lookup_all(batch.rows().iter().map(|row| row.hash), &mut found);
        // The index and the log want labels of what they do not know.
        for (index, known) in found.iter().enumerate() {
            if known.is_none_or(|id| self.log_ids.get(id.0) == 0) {
                batch.unpack(index);
            }
        }
        let rows = batch.rows();
        let mut resolved = Resolved {
            ids: Vec::with_capacity(rows.len()),
            rejects: Vec::new(),
            admitted: 0,
            created: 0,
        };
        for (index, (row, known)) in rows.iter().zip(found).enumerate() {
            let index = index as u32;
            let admitted = admit(index, batch.samples(row).0, bounds, &mut resolved.rejects);
            let id = match known {
                _ if admitted == 0 => NO_SERIES,
                Some(id) => id,
                None => self.create(batch, row, bounds, index, &mut resolved),
            };
            resolved.ids.push(id);
            resolved.admitted += if id == NO_SERIES { 0 } else { admitted };
        }
        resolved
    }

    #[cold]
    fn create(
        &self,
        batch: &WriteBatch,
        row: &Row,
        bounds: &Bounds,
        index: u32,
        resolved: &mut Resolved,
    ) -> SeriesId {
        let reason = if self.index.len() as u64 >= bounds.series_max
            && self.index.lookup(row.hash).is_none()
        {
            RejectReason::SeriesLimit { max: bounds.series_max }
        } else {
            match self.index.insert(row.hash, batch.labels(row)) {
                Ok((id, created)) => {
                    resolved.created += u64::from(created);
                    return id;
                }
                Err(error) => RejectReason::Labels(error),
            }
        };
        // The row counts once; what was said about its samples is part of that.
        resolved.rejects.retain(|reject| reject.row != index);
        resolved.rejects.push(Reject { row: index, sample: None, reason });
        NO_SERIES
    }

    /// Encodes the admitted samples, and the series that the log does not know yet, whose ids are
    /// noted in `logged` in case the log refuses them.
    pub(crate) fn encode(
        &mut self,
        batch: &WriteBatch,
        resolved: &Resolved,
        bounds: &Bounds,
        target: &mut LogTarget<'_>,
    ) {
        let LogTarget { out, shard, next_log_id, logged } = target;
        let mut encoder = RecordEncoder::series(out, batch.tenant(), *shard);
        for (row, id) in batch.rows().iter().zip(&resolved.ids) {
            if *id != NO_SERIES && self.log_ids.get(id.0) == 0 {
                self.log_ids.set(id.0, **next_log_id);
                logged.push(*id);
                encoder.push_series(out, LogId(**next_log_id), batch.labels(row).as_packed());
                **next_log_id += 1;
                if encoder.len(out) >= RECORD_BYTES_TARGET {
                    encoder.finish(out);
                    encoder = RecordEncoder::series(out, batch.tenant(), *shard);
                }
            }
        }
        encoder.finish(out);
        let is_extended = batch.is_extended();
        let mut encoder = RecordEncoder::samples(out, batch.tenant(), *shard, is_extended);
        for (row, id) in batch.rows().iter().zip(&resolved.ids) {
            if *id == NO_SERIES {
                continue;
            }
            let log_id = LogId(self.log_ids.get(id.0));
            if is_extended {
                encode_extended(&mut encoder, out, batch, row, log_id, bounds);
            } else {
                let (timestamps, values) = batch.samples(row);
                for (ts, bits) in timestamps.iter().zip(values) {
                    if bounds.time.contains(*ts) {
                        encoder.push_sample(out, log_id, *ts, row.kind, *bits);
                    }
                }
            }
            if encoder.len(out) >= RECORD_BYTES_TARGET {
                encoder.finish(out);
                encoder = RecordEncoder::samples(out, batch.tenant(), *shard, is_extended);
            }
        }
        encoder.finish(out);
    }

    /// Takes back the numbers of series that the log refused.
    pub(crate) fn forget_logged(&mut self, ids: &[SeriesId]) {
        for id in ids {
            self.log_ids.set(id.0, 0);
        }
    }
}

/// Encodes the admitted samples of a row of a batch that has histograms or start timestamps.
fn encode_extended(
    encoder: &mut RecordEncoder,
    out: &mut Vec<u8>,
    batch: &WriteBatch,
    row: &Row,
    log_id: LogId,
    bounds: &Bounds,
) {
    let (timestamps, values) = batch.samples(row);
    for (index, (ts, bits)) in timestamps.iter().zip(values).enumerate() {
        if !bounds.time.contains(*ts) {
            continue;
        }
        encoder.set_start(out, batch.start_ms(row, index));
        match row.kind {
            SampleKind::Histogram => {
                encoder.push_histogram(out, log_id, *ts, batch.histogram(*bits));
            }
            kind => encoder.push_sample(out, log_id, *ts, kind, *bits),
        }
    }
}

/// Where a batch is encoded to.
#[derive(Debug)]
pub(crate) struct LogTarget<'a> {
    /// The group's frames.
    pub(crate) out: &'a mut Vec<u8>,
    /// The shard.
    pub(crate) shard: u16,
    /// The next free number.
    pub(crate) next_log_id: &'a mut u64,
    /// Series that got a number in this group.
    pub(crate) logged: &'a mut Vec<SeriesId>,
}

/// Counts the samples inside the bounds and explains the others.
fn admit(row: u32, timestamps: &[i64], bounds: &Bounds, rejects: &mut Vec<Reject>) -> u64 {
    let mut admitted = 0;
    for (sample, ts) in timestamps.iter().enumerate() {
        if bounds.time.contains(*ts) {
            admitted += 1;
            continue;
        }
        let TimeRange { start_ms: min_ms, end_ms: max_ms } = bounds.time;
        let timestamp_ms = *ts;
        let reason = if timestamp_ms < min_ms {
            RejectReason::TooOld { timestamp_ms, min_ms }
        } else {
            RejectReason::TooFarInFuture { timestamp_ms, max_ms }
        };
        rejects.push(Reject { row, sample: Some(sample as u32), reason });
    }
    admitted
}

/// One admitted sample.
#[derive(Clone, Copy, Debug)]
struct Sample {
    id: SeriesId,
    ts: i64,
    kind: SampleKind,
    bits: u64,
    start_ms: i64,
}

/// Walks the admitted samples of a batch in order.
#[derive(Debug)]
pub(crate) struct AdmittedSamples<'a> {
    batch: &'a WriteBatch,
    ids: &'a [SeriesId],
    time: TimeRange,
    row: usize,
    sample: usize,
}

impl<'a> AdmittedSamples<'a> {
    /// From the first sample on.
    pub(crate) fn new(batch: &'a WriteBatch, resolved: &'a Resolved, bounds: &Bounds) -> Self {
        Self { batch, ids: &resolved.ids, time: bounds.time, row: 0, sample: 0 }
    }

    /// The timestamp of the next sample.
    pub(crate) fn peek(&mut self) -> Option<i64> {
        loop {
            let row = self.batch.rows().get(self.row)?;
            let timestamps = self.batch.samples(row).0;
            if self.ids[self.row] != NO_SERIES {
                while let Some(ts) = timestamps.get(self.sample) {
                    if self.time.contains(*ts) {
                        return Some(*ts);
                    }
                    self.sample += 1;
                }
            }
            self.row += 1;
            self.sample = 0;
        }
    }

    #[inline]
    fn next_in(&mut self, window: TimeRange) -> Option<Sample> {
        let ts = self.peek()?;
        if !window.contains(ts) {
            return None;
        }
        let row = &self.batch.rows()[self.row];
        let bits = self.batch.samples(row).1[self.sample];
        let start_ms = self.batch.start_ms(row, self.sample);
        self.sample += 1;
        Some(Sample { id: self.ids[self.row], ts, kind: row.kind, bits, start_ms })
    }

    /// Appends samples to `partition` until one lies outside its window; returns by how much its
    /// estimated memory and its number of samples grew.
    pub(crate) fn apply(&mut self, partition: &Partition, scratch: &mut SealScratch) -> (u64, u64) {
        let window = partition.window();
        let mut data = partition.write();
        let before = (data.bytes(), data.samples());
        let mut turn = SAMPLES_PER_TURN;
        while let Some(Sample { id, ts, kind, bits, start_ms }) = self.next_in(window) {
            if kind == SampleKind::Histogram {
                let bytes = self.batch.histogram(bits);
                data.append_histogram(id, ts, bytes, start_ms, scratch);
            } else {
                PartitionData::append(&mut data, id, ts, kind, bits, start_ms, scratch);
            }
            turn -= 1;
            if turn == 0 {
                RwLockWriteGuard::bump(&mut data);
                turn = SAMPLES_PER_TURN;
            }
        }
        (data.bytes() - before.0, data.samples() - before.1)
    }
}

/// The start of the window that `ts` lies in.
pub(crate) fn window_start(ts: i64, partition_ms: i64) -> i64 {
    ts.div_euclid(partition_ms) * partition_ms
}

/// The growing partition of `ts`, opened when there is none; true when it was.
pub(crate) fn growing_partition(
    growing: &mut BTreeMap<i64, Arc<Partition>>,
    ts: i64,
    partition_ms: i64,
    position: WalPosition,
) -> (Arc<Partition>, bool) {
    let start = window_start(ts, partition_ms);
    if let Some(partition) = growing.get(&start) {
        return (partition.clone(), false);
    }
    let partition = Arc::new(Partition::new(start, partition_ms, position));
    growing.insert(start, partition.clone());
    (partition, true)
}
