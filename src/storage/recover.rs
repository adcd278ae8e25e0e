//! Brings the head back from the log.
//!
//! Invariants: what the manifest's marks cover is not applied again; damage is named, counted and
//! stepped over; the newest file's torn tail is cut before anything is written.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hashbrown::HashMap;
use index::SeriesId;
use model::{LabelsRef, SampleKind, TenantId};

use crate::committer::{Committer, head_of};
use crate::error::StorageError;
use crate::framed::HEADER_BYTES;
use crate::head::partition::PartitionData;
use crate::head::series::SealScratch;
use crate::layout::Layout;
use crate::manifest::edit::{FlushMark, Manifest};
use crate::shared::Shared;
use crate::wal::file::LogFiles;
use crate::wal::record::{LogId, Record, SamplesRecord, SeriesRecord};
use crate::wal::replay::{Found, WalListing, list, read_all};
use crate::wal::writer::{WalPosition, WalWriter};

/// What recovery found.
pub(crate) struct Recovered {
    /// The committer over the recovered heads, not running yet.
    pub(crate) committer: Committer,
    /// The oldest log file that is still on disk.
    pub(crate) oldest_wal_file: u64,
}

/// One pass over the log.
struct Replay<'m> {
    committer: Committer,
    manifest: &'m Manifest,
    /// Head ids by the log's numbers.
    ids: HashMap<(TenantId, LogId), SeriesId>,
    /// The pair looked up last: most samples are of the next series.
    last: Option<(TenantId, LogId, SeriesId)>,
    /// Samples of series that no record introduced.
    orphans: u64,
    max_log_id: u64,
}

/// Replays the log of `shared`'s layout into a new head.
pub(crate) fn recover(
    shared: &Arc<Shared>,
    files: &Arc<dyn LogFiles>,
    manifest: &Manifest,
) -> Result<Recovered, StorageError> {
    let layout = &shared.layout;
    let dir = layout.wal_dir();
    files.create_dir(&dir).map_err(|error| StorageError::io("create", &dir, &error))?;
    // A process may have died between the name of a series file and its durability: what is dropped from now on
    // because of that file must not outlive it.
    files.sync_names(&dir).map_err(|error| StorageError::io("sync", &dir, &error))?;
    let listing = drop_leftovers(layout, &**files)?;
    let next_file = next_file(&listing, manifest);
    let wal = WalWriter::new(
        layout.clone(),
        files.clone(),
        shared.metrics.clone(),
        &shared.options,
        next_file,
    );
    let committer = Committer::new(shared.clone(), BTreeMap::new(), wal, 1);
    let mut replay =
        Replay { committer, manifest, ids: HashMap::new(), last: None, orphans: 0, max_log_id: 0 };
    let all = files_to_read(layout, &listing);
    let size: u64 = all.iter().map(|(path, _)| files.length(path).unwrap_or(0)).sum();
    shared.metrics.wal_size_bytes.set(size as i64);
    read_all(&**files, &all, |index, found| {
        let (path, number) = &all[index];
        let is_newest = index + 1 == all.len();
        match found {
            Found::Record(position, record) => replay.apply(position, record),
            Found::Damage(error) => replay.damage(&error),
            Found::TornTail(offset) if is_newest || offset == 0 => {
                return cut_tail(shared, &**files, path, offset);
            }
            Found::TornTail(offset) => replay.damage(&StorageError::corrupt(
                path.display().to_string(),
                offset,
                format!("a whole frame in log file {number}"),
                "the end of the file",
            )),
        }
        Ok(())
    })?;
    if let Some(newest) = listing.logs.last() {
        sync_log(&**files, &layout.wal_file(*newest))?;
    }
    let oldest = listing.logs.first().copied().unwrap_or(next_file);
    Ok(replay.finish(oldest))
}

/// The number of the next log file.
fn next_file(listing: &WalListing, manifest: &Manifest) -> u64 {
    // A mark covers what is in front of it: a new file must lie behind all of them, also where the
    // files that they speak of are gone.
    let marked = manifest.flushed.iter().map(|mark| mark.file).max();
    let found = listing.logs.last().max(listing.series.last()).copied();
    found.max(marked).unwrap_or(0) + 1
}

/// Paths and numbers of the files, in the order in which they were written.
fn files_to_read(layout: &Layout, listing: &WalListing) -> Vec<(PathBuf, u64)> {
    let series = listing.series.iter().map(|number| (layout.wal_series(*number), *number));
    let logs = listing.logs.iter().map(|number| (layout.wal_file(*number), *number));
    series.chain(logs).collect()
}

/// Removes files that a checkpoint before the last crash had done with; lists the others.
fn drop_leftovers(layout: &Layout, files: &dyn LogFiles) -> Result<WalListing, StorageError> {
    let mut listing = list(files, layout)?;
    let Some(newest) = listing.series.last().copied() else {
        return Ok(listing);
    };
    let old_series = listing.series.iter().filter(|number| **number < newest);
    let old_logs = listing.logs.iter().filter(|number| **number < newest);
    let old = old_series
        .map(|number| layout.wal_series(*number))
        .chain(old_logs.map(|number| layout.wal_file(*number)));
    for path in old {
        files.remove(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
    }
    listing.series.retain(|number| *number == newest);
    listing.logs.retain(|number| *number >= newest);
    Ok(listing)
}

/// Makes durable what was read from the newest log file: a process may have died between writing it
/// and syncing it, and what readers see from now on must not vanish with the next power failure.
fn sync_log(files: &dyn LogFiles, path: &Path) -> Result<(), StorageError> {
    let synced = files.reopen(path).and_then(|mut file| file.sync());
    match synced {
        // Its tail was all that there was.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        synced => synced.map_err(|error| StorageError::io("sync", path, &error)),
    }
}

/// Cuts a write that never finished, and was never acknowledged, off the end of a log file.
fn cut_tail(
    shared: &Shared,
    files: &dyn LogFiles,
    path: &Path,
    offset: u64,
) -> Result<(), StorageError> {
    let bytes = files.length(path).unwrap_or(0).saturating_sub(offset);
    shared.metrics.wal_cut_bytes.add(bytes);
    if offset < HEADER_BYTES as u64 {
        tracing::warn!(file = %path.display(), bytes, "removing a log file without content");
        return files.remove(path).map_err(|error| StorageError::io("remove", path, &error));
    }
    tracing::warn!(file = %path.display(), offset, bytes, "cutting an unfinished write off the log");
    files.truncate(path, offset).map_err(|error| StorageError::io("truncate", path, &error))
}

impl Replay<'_> {
    fn damage(&self, error: &StorageError) {
        tracing::error!(%error, "damage in the log; reading goes on behind it");
        self.committer.shared.metrics.wal_corrupt_records.inc();
    }

    fn apply(&mut self, position: WalPosition, record: Record) {
        match record {
            Record::Series(record) => self.apply_series(&record),
            Record::Samples(record) => self.apply_samples(position, &record),
            Record::Void => {}
        }
    }

    fn apply_series(&mut self, record: &SeriesRecord) {
        let Committer { shared, heads, .. } = &mut self.committer;
        let head = head_of(shared, heads, record.tenant);
        for (log_id, key) in record.iter() {
            match head.index.insert(shared.hasher.hash(key), LabelsRef::from_packed(key)) {
                Ok((id, _)) => {
                    head.log_ids.set(id.0, log_id.0);
                    self.ids.insert((record.tenant, log_id), id);
                    self.max_log_id = self.max_log_id.max(log_id.0);
                }
                Err(error) => {
                    tracing::error!(%error, "series in the log cannot be one; left out");
                    shared.metrics.wal_corrupt_records.inc();
                }
            }
        }
    }

    #[inline]
    fn series_of(&mut self, tenant: TenantId, log_id: LogId) -> Option<SeriesId> {
        if let Some((last_tenant, last_log, last_id)) = self.last {
            let step = log_id.0.wrapping_sub(last_log.0);
            let guess = SeriesId(last_id.0.wrapping_add(step as u32));
            let head = self.committer.heads.get(&tenant);
            let fits = head.is_some_and(|head| head.log_ids.get(guess.0) == log_id.0);
            if last_tenant == tenant && step <= 1 && fits {
                self.last = Some((tenant, log_id, guess));
                return Some(guess);
            }
        }
        let id = *self.ids.get(&(tenant, log_id))?;
        self.last = Some((tenant, log_id, id));
        Some(id)
    }

    fn apply_samples(&mut self, position: WalPosition, record: &SamplesRecord) {
        let tenant = record.tenant;
        let ahead = |mark: &&FlushMark| mark.tenant == tenant.0 && position < mark.position();
        let marks: Vec<FlushMark> = self.manifest.flushed.iter().filter(ahead).copied().collect();
        let is_flushed = |ts: i64| {
            let covers =
                |mark: &FlushMark| mark.window_ms <= ts && ts - mark.window_ms < mark.length_ms;
            marks.iter().any(covers)
        };
        let mut index = 0;
        while let Some(ts) = record.timestamps.get(index) {
            if is_flushed(*ts) {
                index += 1;
                continue;
            }
            let partition = self.committer.partition_for(tenant, *ts, position);
            let window = partition.window();
            let mut data = partition.write();
            let before = (data.bytes(), data.samples());
            while let Some(ts) = record.timestamps.get(index) {
                if !window.contains(*ts) || is_flushed(*ts) {
                    break;
                }
                match self.series_of(tenant, record.ids[index]) {
                    Some(id) => append(&mut data, id, record, index, &mut self.committer.scratch),
                    None => self.orphans += 1,
                }
                index += 1;
            }
            let grown = (data.bytes() - before.0, data.samples() - before.1);
            self.committer.shared.head_grew(grown.0, grown.1);
        }
    }

    fn finish(mut self, oldest_wal_file: u64) -> Recovered {
        let metrics = &self.committer.shared.metrics;
        if self.orphans > 0 {
            metrics.wal_corrupt_records.inc();
            let samples = self.orphans;
            tracing::error!(samples, "the log has samples of series that no record introduces");
        }
        let count = |committer: &Committer| -> usize {
            committer.heads.values().map(|head| head.index.len()).sum()
        };
        self.committer.shared.series_entered(count(&self.committer) as u64);
        // The log has all series of its files; those whose samples are in blocks by now are not needed.
        for (tenant, view) in &self.committer.shared.view.load().tenants {
            if view.has_many_unused() {
                self.committer.forget_series(*tenant);
            }
        }
        let (series, tenants) = (count(&self.committer), self.committer.heads.len());
        tracing::info!(series, tenants, "the head is back from the log");
        self.committer.next_log_id = self.max_log_id + 1;
        Recovered { committer: self.committer, oldest_wal_file }
    }
}

/// Appends the sample at `index` of a record to the partition of its time.
#[inline]
fn append(
    data: &mut PartitionData,
    id: SeriesId,
    record: &SamplesRecord,
    index: usize,
    scratch: &mut SealScratch,
) {
    let (ts, bits) = (record.timestamps[index], record.bits[index]);
    let start_ms = record.start_ms(index);
    match record.kinds[index] {
        SampleKind::Histogram => {
            data.append_histogram(id, ts, record.histogram(bits), start_ms, scratch);
        }
        kind => data.append(id, ts, kind, bits, start_ms, scratch),
    }
}
