//! What of the log may be dropped, and why no acknowledged write is lost.
//!
//! 1. A sample is acknowledged after its group is in the log and applied to a partition.
//! 2. A partition knows the place of the first group that wrote to it; all its samples are there
//!    or behind.
//! 3. It is frozen by the committer between two groups, at a place P: every sample of the window
//!    that is in front of P is in this partition or in one frozen before it.
//! 4. Its block is named by a manifest together with the mark (window, P). From then on replay
//!    skips what the window has in front of P; it is in the block.
//! 5. Partitions of one window are flushed together or in the order in which they were frozen, so
//!    a mark never covers a sample that is in no block.
//! 6. A file is dropped when every partition that is still in the head began behind it: whatever
//!    the file holds is then in front of a mark.
//! 7. Series records in dropped files may be needed by samples in later ones. Therefore a series
//!    file with every series that the head still has is written, synced and renamed into place
//!    before the first file is dropped. A series that the head has forgotten has samples only in
//!    front of marks.
//! 8. A crash between the steps leaves files that are older than the newest series file; replay
//!    does not read them and the next checkpoint removes them.

use std::io;
use std::path::Path;

use index::SeriesId;
use model::TenantId;

use crate::error::StorageError;
use crate::layout::Layout;
use crate::queue::LoggedSeries;
use crate::view::View;
use crate::wal::file::{LogFile, LogFiles};
use crate::wal::record::{LOG, LogId, RECORD_BYTES_TARGET, RecordEncoder};
use crate::wal::replay::list;
use crate::wal::writer::WalPosition;

/// The oldest log file that is still needed.
pub(crate) fn oldest_needed(view: &View, end: WalPosition) -> u64 {
    let first = view.partitions().map(|(_, partition)| partition.first_position().file).min();
    first.unwrap_or(end.file).min(end.file)
}

/// Writes `series` as the series file in front of log file `file`.
pub(crate) fn write_series(
    layout: &Layout,
    files: &dyn LogFiles,
    file: u64,
    series: &[LoggedSeries],
) -> Result<(), StorageError> {
    let path = layout.wal_series(file);
    let staged = path.with_extension("series.tmp");
    write_staged(&staged, files, layout.shard(), file, series)
        .map_err(|error| StorageError::io("write", &staged, &error))?;
    files.rename(&staged, &path).map_err(|error| StorageError::io("rename", &path, &error))
}

fn write_staged(
    staged: &Path,
    files: &dyn LogFiles,
    shard: u16,
    number: u64,
    series: &[LoggedSeries],
) -> io::Result<()> {
    // One that a crash has left.
    if files.length(staged).is_ok() {
        files.remove(staged)?;
    }
    let mut file = files.create(staged)?;
    file.append(&LOG.header(number))?;
    for logged in series {
        write_tenant(&mut *file, shard, logged)?;
    }
    file.sync()
}

fn write_tenant(file: &mut dyn LogFile, shard: u16, logged: &LoggedSeries) -> io::Result<()> {
    let begin = |out: &mut Vec<u8>, tenant: TenantId| {
        out.clear();
        RecordEncoder::series(out, tenant, shard)
    };
    let (mut out, mut key) = (Vec::new(), Vec::new());
    let mut encoder = begin(&mut out, logged.tenant);
    for (id, log_id) in logged.log_ids.iter() {
        key.clear();
        logged.index.labels_into(SeriesId(id), &mut key);
        encoder.push_series(&mut out, LogId(log_id), &key);
        if encoder.len(&out) >= RECORD_BYTES_TARGET {
            encoder.finish_packed(&mut out)?;
            file.append(&out)?;
            encoder = begin(&mut out, logged.tenant);
        }
    }
    encoder.finish_packed(&mut out)?;
    file.append(&out)
}

/// Removes log files in front of `oldest` and series files that a newer one replaces; returns the
/// bytes that came free.
pub(crate) fn drop_files(
    layout: &Layout,
    files: &dyn LogFiles,
    oldest: u64,
) -> Result<u64, StorageError> {
    let listing = list(files, layout)?;
    let newest_series = listing.series.last().copied().unwrap_or(0);
    let mut freed = 0;
    let logs = listing.logs.iter().filter(|number| **number < oldest);
    let series = listing.series.iter().filter(|number| **number < newest_series);
    for path in logs.map(|n| layout.wal_file(*n)).chain(series.map(|n| layout.wal_series(*n))) {
        freed += files.length(&path).unwrap_or(0);
        files.remove(&path).map_err(|error| StorageError::io("remove", &path, &error))?;
    }
    Ok(freed)
}
