//! Files of documents: reading one with its damage, writing a fresh one.

use std::io;
use std::path::Path;

use base::frame::FRAME_HEADER_BYTES;
use model::documents::DocumentTables;
use model::{DocumentChange, TenantId};

use super::record::{DOCUMENTS, decode, encode};
use crate::error::StorageError;
use crate::framed::{FoundFrame, HEADER_BYTES};
use crate::wal::file::{LogFile, LogFiles};

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

/// Calls `visit` for everything in the file; returns its length in bytes.
pub(crate) fn read_documents(
    files: &dyn LogFiles,
    path: &Path,
    number: u64,
    mut visit: impl FnMut(FoundDocument),
) -> Result<u64, StorageError> {
    let bytes = files.read(path).map_err(|error| StorageError::io("open", path, &error))?;
    let file = path.display().to_string();
    DOCUMENTS.each_frame(&file, number, &bytes, |found| {
        visit(match found {
            FoundFrame::Whole { offset, payload } => match decode(payload) {
                Ok((tenant, changes)) => FoundDocument::Changes(tenant, changes),
                Err((inside, what)) => {
                    let at = (offset + FRAME_HEADER_BYTES + inside) as u64;
                    let expected = "the changes of a write";
                    FoundDocument::Damage(StorageError::corrupt(&file, at, expected, what))
                }
            },
            FoundFrame::Damage(error) => FoundDocument::Damage(error),
            FoundFrame::TornTail(offset) => FoundDocument::TornTail(offset),
        });
        Ok(())
    })?;
    Ok(bytes.len() as u64)
}

/// Writes a fresh file with all of `tables`; returns its length in bytes.
pub(super) fn write_all(
    out: &mut dyn LogFile,
    number: u64,
    tables: &DocumentTables,
) -> io::Result<u64> {
    let mut writer = Frames { out, tenant: TenantId::DEFAULT, changes: Vec::new(), pending: 0 };
    writer.out.append(&DOCUMENTS.header(number))?;
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
