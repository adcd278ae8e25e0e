//! Reads the log back: records, damaged places and the torn tail, file by file.
//!
//! Reading and decoding run on a thread of their own, a few records ahead of whoever applies them.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use base::frame::{FRAME_HEADER_BYTES, put_frame};

use crate::error::StorageError;
use crate::framed::FoundFrame;
use crate::layout::{Layout, WalName};
use crate::wal::file::LogFiles;
use crate::wal::record::{BadRecord, LOG, Record, decode, void_frame};
use crate::wal::writer::WalPosition;

/// Records decoded ahead of the one being applied.
const RECORDS_AHEAD: usize = 4;

/// One thing found in a log file.
#[derive(Debug)]
pub(crate) enum Found {
    /// A record and where its frame begins.
    Record(WalPosition, Record),
    /// Damage; reading went on behind it.
    Damage(StorageError),
    /// The file ends inside a frame that begins at this byte.
    TornTail(u64),
}

/// The files of a log directory, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct WalListing {
    /// Numbers of the log files, ascending.
    pub(crate) logs: Vec<u64>,
    /// Numbers of the series files, ascending.
    pub(crate) series: Vec<u64>,
}

/// Lists `layout`'s log directory.
pub(crate) fn list(files: &dyn LogFiles, layout: &Layout) -> Result<WalListing, StorageError> {
    let dir = layout.wal_dir();
    let names = files.list(&dir).map_err(|error| StorageError::io("list", &dir, &error))?;
    let mut listing = WalListing::default();
    for name in names {
        match Layout::parse_wal(&name) {
            Some(WalName::Log(number)) => listing.logs.push(number),
            Some(WalName::Series(number)) => listing.series.push(number),
            None => {}
        }
    }
    listing.logs.sort_unstable();
    listing.series.sort_unstable();
    Ok(listing)
}

/// The bytes of log file `number` without its damage: what was whole stays in its place, what was not
/// became frames that say nothing, and what was not whole at the end is gone. `None` when nothing
/// was damaged.
pub(crate) fn mended(
    files: &dyn LogFiles,
    path: &Path,
    number: u64,
) -> Result<Option<Vec<u8>>, StorageError> {
    let bytes = files.read(path).map_err(|error| StorageError::io("open", path, &error))?;
    let (mut out, mut is_damaged) = (LOG.header(number).to_vec(), false);
    LOG.each_frame(&path.display().to_string(), number, &bytes, |found| {
        match found {
            FoundFrame::Whole { offset, payload } if decode(payload).is_ok() => {
                if out.len() < offset {
                    out.extend_from_slice(&void_frame(offset - out.len()));
                }
                put_frame(&mut out, payload);
            }
            _ => is_damaged = true,
        }
        Ok(())
    })?;
    Ok(is_damaged.then_some(out))
}

/// Calls `visit` for everything in log file `number` at `path`.
pub(crate) fn read_log(
    files: &dyn LogFiles,
    path: &Path,
    number: u64,
    mut visit: impl FnMut(Found) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let bytes = files.read(path).map_err(|error| StorageError::io("open", path, &error))?;
    let file = path.display().to_string();
    LOG.each_frame(&file, number, &bytes, |found| {
        visit(match found {
            FoundFrame::Whole { offset, payload } => match decode(payload) {
                Ok(record) => {
                    Found::Record(WalPosition { file: number, offset: offset as u64 }, record)
                }
                Err(BadRecord { offset: inside, expected, got }) => {
                    let at = (offset + FRAME_HEADER_BYTES + inside) as u64;
                    Found::Damage(StorageError::corrupt(&file, at, expected, got))
                }
            },
            FoundFrame::Damage(error) => Found::Damage(error),
            FoundFrame::TornTail(offset) => Found::TornTail(offset),
        })
    })
}

/// Reads `numbered` files in order on a second thread and calls `apply` here for everything found, with
/// the index of the file in them.
pub(crate) fn read_all(
    files: &dyn LogFiles,
    numbered: &[(PathBuf, u64)],
    mut apply: impl FnMut(usize, Found) -> Result<(), StorageError>,
) -> Result<(), StorageError> {
    let (sender, receiver) = mpsc::sync_channel(RECORDS_AHEAD);
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for (index, (path, number)) in numbered.iter().enumerate() {
                // A closed channel means that the applying side has given up.
                let result = read_log(files, path, *number, |found| {
                    sender
                        .send(Ok((index, found)))
                        .map_err(|_| StorageError::Closed { action: "replay the log" })
                });
                if let Err(error) = result {
                    let _ = sender.send(Err(error));
                    return;
                }
            }
        });
        for found in receiver {
            let (index, found) = found?;
            apply(index, found)?;
        }
        Ok(())
    })
}
