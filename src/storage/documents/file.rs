//! Files of documents: reading one with its damage, writing a fresh one.

use std::io;
use std::path::Path;

use base::frame::{FRAME_HEADER_BYTES, Frame, checksum, read_frame};
use model::documents::DocumentTables;
use model::{DocumentChange, TenantId};

use super::record::{MARKER, WRITE_BYTES_MAX, decode, encode};
use crate::error::StorageError;
use crate::wal::file::{LogFile, LogFiles};

/// Magic and version at the start of a file.
const MAGIC: [u8; 8] = *b"TRBDOC\x00\x01";
/// Bytes in front of the first frame.
pub(super) const HEADER_BYTES: usize = 20;
/// Bytes of a frame of a fresh file, about.
const FRAME_BYTES_TARGET: usize = 1 << 20;

/// One thing found in a file.
#[derive(Debug)]
pub(crate) enum FoundDocument {
    /// The changes of one write.
    Changes(TenantId, Vec<DocumentChange>),
    /// Damage; reading went on behind it.
    Damage(StorageError),
    /// The file ends inside a write that begins at this byte.
    TornTail(u64),
}

fn header(number: u64) -> [u8; HEADER_BYTES] {
    let mut header = [0; HEADER_BYTES];
    header[..8].copy_from_slice(&MAGIC);
    header[8..16].copy_from_slice(&number.to_le_bytes());
    let crc = checksum(&header[..16]);
    header[16..].copy_from_slice(&crc.to_le_bytes());
    header
}

/// Calls `visit` for everything in the file; returns its length in bytes.
pub(crate) fn read_documents(
    files: &dyn LogFiles,
    path: &Path,
    number: u64,
    mut visit: impl FnMut(FoundDocument),
) -> Result<u64, StorageError> {
    let bytes = files.read(path).map_err(|error| StorageError::io("open", path, &error))?;
    let bytes = &*bytes;
    let file = path.display().to_string();
    if bytes.len() < HEADER_BYTES {
        visit(FoundDocument::TornTail(0));
        return Ok(bytes.len() as u64);
    }
    let want = header(number);
    if bytes[..HEADER_BYTES] != want {
        let got = format!("{:02x?}", &bytes[..HEADER_BYTES]);
        let expected = format!("the header {want:02x?}");
        visit(FoundDocument::Damage(StorageError::corrupt(&file, 0, expected, got)));
    }
    let mut offset = HEADER_BYTES;
    while offset < bytes.len() {
        let frame = read_frame(&bytes[offset..], WRITE_BYTES_MAX);
        let next = match &frame {
            Frame::Whole { payload, bytes: taken } => match decode(payload) {
                Ok((tenant, changes)) => {
                    visit(FoundDocument::Changes(tenant, changes));
                    offset += taken;
                    continue;
                }
                Err(_) => Some(offset + taken),
            },
            _ => find_frame(bytes, offset + 1),
        };
        // Without a frame behind it, an unfinished one is a write that never finished.
        if next.is_none() && !matches!(frame, Frame::Damaged { .. }) {
            visit(FoundDocument::TornTail(offset as u64));
            break;
        }
        visit(FoundDocument::Damage(damage(&file, offset, &frame)));
        offset = next.unwrap_or(bytes.len());
    }
    Ok(bytes.len() as u64)
}

fn damage(file: &str, offset: usize, frame: &Frame<'_>) -> StorageError {
    let at = offset as u64;
    match frame {
        Frame::Whole { payload, .. } => {
            let (inside, what) = decode(payload).err().unwrap_or((0, "something else"));
            let at = at + (FRAME_HEADER_BYTES + inside) as u64;
            StorageError::corrupt(file, at, "the changes of a write", what)
        }
        Frame::Torn => StorageError::corrupt(file, at, "a whole frame", "part of one"),
        Frame::TooLong { length } => {
            let expected = format!("a frame of at most {WRITE_BYTES_MAX} bytes");
            StorageError::corrupt(file, at, expected, format!("{length} bytes"))
        }
        Frame::Damaged { expected, got, .. } => {
            let expected = format!("checksum 0x{expected:08x}");
            StorageError::corrupt(file, at, expected, format!("0x{got:08x}"))
        }
    }
}

/// The next whole frame of documents at or behind `from`.
fn find_frame(bytes: &[u8], from: usize) -> Option<usize> {
    let mut base = from + FRAME_HEADER_BYTES;
    loop {
        let search = bytes.get(base..)?;
        let hit = base + search.windows(MARKER.len()).position(|window| window == MARKER)?;
        let start = hit - FRAME_HEADER_BYTES;
        if let Frame::Whole { .. } = read_frame(&bytes[start..], WRITE_BYTES_MAX) {
            return Some(start);
        }
        base = hit + 1;
    }
}

/// Writes a fresh file with all of `tables`; returns its length in bytes.
pub(super) fn write_all(
    out: &mut dyn LogFile,
    number: u64,
    tables: &DocumentTables,
) -> io::Result<u64> {
    let mut writer = Frames { out, tenant: TenantId::DEFAULT, changes: Vec::new(), pending: 0 };
    writer.out.append(&header(number))?;
    let mut length = HEADER_BYTES as u64;
    tables.for_each(|tenant, table, key, value| {
        if writer.tenant != tenant || writer.pending >= FRAME_BYTES_TARGET {
            length += writer.flush()?;
            writer.tenant = tenant;
        }
        writer.pending += table.len() + key.len() + value.len();
        writer.changes.push(DocumentChange::put(table, key, value));
        Ok::<(), io::Error>(())
    })?;
    length += writer.flush()?;
    Ok(length)
}

struct Frames<'a> {
    out: &'a mut dyn LogFile,
    tenant: TenantId,
    changes: Vec<DocumentChange>,
    pending: usize,
}

impl Frames<'_> {
    /// Writes what is pending as one frame; returns its length in bytes.
    fn flush(&mut self) -> io::Result<u64> {
        self.pending = 0;
        if self.changes.is_empty() {
            return Ok(0);
        }
        let mut frame = Vec::new();
        encode(&mut frame, self.tenant, &self.changes);
        self.changes.clear();
        self.out.append(&frame)?;
        Ok(frame.len() as u64)
    }
}
