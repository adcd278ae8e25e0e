//! Reads the log back. A torn tail of the newest file is cut; every other damage is reported with
//! file, offset, expected and got, and skipped: the records behind it are found by their marker.
//!
//! Reading and decoding run on a thread of their own, a few records ahead of whoever applies them.

use std::path::{Path, PathBuf};
use std::sync::mpsc;

use base::frame::{FRAME_HEADER_BYTES, Frame, checksum, read_frame};
use base::limits::WAL_RECORD_BYTES_MAX;

use crate::error::StorageError;
use crate::layout::{Layout, WalName};
use crate::wal::file::LogFiles;
use crate::wal::record::{RECORD_MARKER, Record, decode, void_frame};
use crate::wal::writer::{FILE_HEADER_BYTES, FILE_MAGIC, FILE_MAGIC_1, WalPosition, file_header};

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
    let (mut out, mut is_damaged) = (file_header(number).to_vec(), false);
    read_log(files, path, number, |found| {
        match found {
            Found::Record(position, _) => {
                let start = position.offset as usize;
                let length = match read_frame(&bytes[start..], WAL_RECORD_BYTES_MAX) {
                    Frame::Whole { bytes, .. } => bytes,
                    _ => 0,
                };
                if out.len() < start {
                    out.extend_from_slice(&void_frame(start - out.len()));
                }
                out.extend_from_slice(&bytes[start..start + length]);
            }
            Found::Damage(_) | Found::TornTail(_) => is_damaged = true,
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
    let bytes = &*bytes;
    if bytes.len() < FILE_HEADER_BYTES {
        return visit(Found::TornTail(0));
    }
    let file = path.display().to_string();
    if let Some(damage) = check_header(&file, bytes, number) {
        visit(Found::Damage(damage))?;
    }
    let mut offset = FILE_HEADER_BYTES;
    while offset < bytes.len() {
        let damage = match read_frame(&bytes[offset..], WAL_RECORD_BYTES_MAX) {
            Frame::Whole { payload, bytes: taken } if !payload.is_empty() => {
                let position = WalPosition { file: number, offset: offset as u64 };
                match decode(payload) {
                    Ok(record) => visit(Found::Record(position, record))?,
                    Err(bad) => {
                        let at = (offset + FRAME_HEADER_BYTES + bad.offset) as u64;
                        visit(Found::Damage(StorageError::corrupt(
                            &file,
                            at,
                            bad.expected,
                            bad.got,
                        )))?;
                    }
                }
                offset += taken;
                continue;
            }
            Frame::Whole { .. } => ("a record".to_owned(), "a frame without payload".to_owned()),
            Frame::Torn => ("a whole frame".to_owned(), "the end of the file".to_owned()),
            Frame::TooLong { length } => (
                format!("a frame of at most {WAL_RECORD_BYTES_MAX} bytes"),
                format!("{length} bytes"),
            ),
            Frame::Damaged { expected, got, .. } => {
                (format!("checksum 0x{expected:08x}"), format!("0x{got:08x}"))
            }
        };
        let next = find_frame(bytes, offset + 1);
        let is_damaged =
            matches!(read_frame(&bytes[offset..], WAL_RECORD_BYTES_MAX), Frame::Damaged { .. });
        // Without a record behind it, an unfinished frame is a write that never finished.
        if next.is_none() && !is_damaged {
            return visit(Found::TornTail(offset as u64));
        }
        visit(Found::Damage(StorageError::corrupt(&file, offset as u64, damage.0, damage.1)))?;
        offset = next.unwrap_or(bytes.len());
    }
    Ok(())
}

fn check_header(file: &str, bytes: &[u8], number: u64) -> Option<StorageError> {
    let crc = u32::from_le_bytes([bytes[16], bytes[17], bytes[18], bytes[19]]);
    let got = checksum(&bytes[..16]);
    let mut stored = [0; 8];
    stored.copy_from_slice(&bytes[8..16]);
    if bytes[..8] != FILE_MAGIC && bytes[..8] != FILE_MAGIC_1 {
        let got = format!("{:02x?}", &bytes[..8]);
        return Some(StorageError::corrupt(file, 0, format!("{FILE_MAGIC:02x?}"), got));
    }
    if crc != got {
        let (expected, got) = (format!("checksum 0x{crc:08x}"), format!("0x{got:08x}"));
        return Some(StorageError::corrupt(file, 16, expected, got));
    }
    let stored = u64::from_le_bytes(stored);
    (stored != number).then(|| {
        StorageError::corrupt(file, 8, format!("file number {number}"), stored.to_string())
    })
}

/// The next whole frame with a record at or behind `from`.
fn find_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let marker_at = from + FRAME_HEADER_BYTES;
    let mut search = bytes.get(marker_at..)?;
    let mut base = marker_at;
    loop {
        let hit = find_marker(search)?;
        let start = base + hit - FRAME_HEADER_BYTES;
        if let Frame::Whole { .. } = read_frame(&bytes[start..], WAL_RECORD_BYTES_MAX) {
            return Some(start);
        }
        search = &search[hit + 1..];
        base += hit + 1;
    }
}

fn find_marker(bytes: &[u8]) -> Option<usize> {
    bytes.windows(RECORD_MARKER.len()).position(|window| window == RECORD_MARKER)
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
