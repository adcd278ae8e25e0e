//! The payload of a frame of documents: the changes of one write. `FORMAT.md` has the layout.

use base::codec::{ByteReader, put_bytes, put_uvarint};
use base::frame::{FRAME_HEADER_BYTES, put_frame};
use model::documents::TABLE_BYTES_MAX;
use model::{DocumentChange, TenantId};

use crate::framed::FramedFormat;

/// The file of the documents.
pub(super) const DOCUMENTS: FramedFormat =
    FramedFormat { magic: *b"TRBDOC\x00\x01", magic_before: None, marker: *b"TDC1" };

const REMOVE: u8 = 0;
const PUT: u8 = 1;

/// Appends the frame of one write.
pub(super) fn encode(out: &mut Vec<u8>, tenant: TenantId, changes: &[DocumentChange]) {
    let mut payload = DOCUMENTS.marker.to_vec();
    payload.extend_from_slice(&tenant.0.to_le_bytes());
    put_uvarint(&mut payload, changes.len() as u64);
    for change in changes {
        put_bytes(&mut payload, change.table.as_bytes());
        put_bytes(&mut payload, &change.key);
        match &change.value {
            Some(value) => {
                payload.push(PUT);
                put_bytes(&mut payload, value);
            }
            None => payload.push(REMOVE),
        }
    }
    out.reserve(payload.len() + FRAME_HEADER_BYTES);
    put_frame(out, &payload);
}

/// Reads a payload; `Err` has the place in it and what is wrong there.
pub(super) fn decode(
    payload: &[u8],
) -> Result<(TenantId, Vec<DocumentChange>), (usize, &'static str)> {
    let mut reader = ByteReader::new(payload);
    if reader.take(DOCUMENTS.marker.len()) != DOCUMENTS.marker {
        return Err((0, "another marker"));
    }
    let tenant = TenantId(reader.u32());
    let count = reader.uvarint();
    let mut changes = Vec::new();
    for _ in 0..count {
        let start = reader.position();
        let table = std::str::from_utf8(reader.bytes()).ok();
        let table = table.filter(|table| table.len() <= TABLE_BYTES_MAX).map(str::to_owned);
        let key = reader.bytes().to_vec();
        let value = match reader.u8() {
            PUT => Some(reader.bytes().to_vec()),
            REMOVE => None,
            _ => return Err((start, "a change of an unknown kind")),
        };
        if reader.failed() {
            return Err((start, "a change that ends early"));
        }
        let Some(table) = table else {
            return Err((start, "a table without a proper name"));
        };
        changes.push(DocumentChange { table, key, value });
    }
    if reader.failed() || reader.remaining() > 0 {
        return Err((reader.position(), "another length"));
    }
    Ok((tenant, changes))
}

#[cfg(test)]
mod tests {
    use base::rng::Rng;

    use super::*;

    #[test]
    fn whatever_the_bytes_say_decoding_ends() {
        let changes =
            [DocumentChange::put("table", "key", "value"), DocumentChange::remove("t", "k")];
        let mut frame = Vec::new();
        encode(&mut frame, TenantId(3), &changes);
        let payload = &frame[FRAME_HEADER_BYTES..];
        assert_eq!(decode(payload), Ok((TenantId(3), changes.to_vec())));
        let mut rng = Rng::new(7);
        for _ in 0..20_000 {
            let mut bytes = payload.to_vec();
            for _ in 0..=rng.below(3) {
                let at = rng.below(bytes.len() as u64) as usize;
                bytes[at] = rng.below(256) as u8;
            }
            bytes.truncate(rng.below(bytes.len() as u64 + 1) as usize);
            let _ = decode(&bytes);
        }
    }
}
