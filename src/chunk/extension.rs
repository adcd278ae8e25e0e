//! The codecs behind nibble 15: a further codec number in the third byte says what the blob holds.
//!
//! Invariant: an extended blob is opened here and nowhere else, so that readers of plain columns
//! meet only plain columns.

use base::codec::{ByteReader, put_uvarint};

use crate::ChunkError;
use crate::header::{EXTENDED, put_header, read_header};

/// A column of histograms.
pub(crate) const HISTOGRAMS: u8 = 1;
/// Start timestamps in front of any other blob of values.
pub(crate) const STARTS: u8 = 2;
/// A column of summaries.
pub(crate) const SUMMARIES: u8 = 3;
/// A column of histograms whose sides may be packed.
pub(crate) const PACKED_HISTOGRAMS: u8 = 4;

/// What a blob of values is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValuesBlob<'a> {
    /// Floats or integers: for [`crate::decode_values`] and [`crate::decode_floats`].
    Numbers(&'a [u8]),
    /// Native histograms: for [`crate::decode_histograms`].
    Histograms(&'a [u8]),
    /// Summaries: for [`crate::decode_summaries`].
    Summaries(&'a [u8]),
}

/// A blob of values with what stands in front of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OpenedValues<'a> {
    /// A column of integers: when the counting of each sample began, in ms, 0 for unknown.
    pub starts: Option<&'a [u8]>,
    /// The values themselves.
    pub values: ValuesBlob<'a>,
}

/// Says what `blob` holds, without decoding it.
#[inline]
pub fn open_values(blob: &[u8]) -> Result<OpenedValues<'_>, ChunkError> {
    if blob.first().is_none_or(|first| first >> 4 != EXTENDED) {
        return Ok(OpenedValues { starts: None, values: ValuesBlob::Numbers(blob) });
    }
    open_extended(blob)
}

fn open_extended(blob: &[u8]) -> Result<OpenedValues<'_>, ChunkError> {
    let mut reader = ByteReader::new(blob);
    let (_, count) = read_header(&mut reader)?;
    match reader.u8() {
        HISTOGRAMS | PACKED_HISTOGRAMS => {
            Ok(OpenedValues { starts: None, values: ValuesBlob::Histograms(blob) })
        }
        SUMMARIES => Ok(OpenedValues { starts: None, values: ValuesBlob::Summaries(blob) }),
        STARTS => {
            let starts = reader.bytes();
            let inner = reader.take(reader.remaining());
            if reader.failed() {
                return Err(ChunkError::Truncated);
            }
            let (_, inner_count) = read_header(&mut ByteReader::new(inner))?;
            let opened = match inner.first().map(|first| first >> 4) {
                Some(EXTENDED)
                    if matches!(inner.get(2), Some(&(HISTOGRAMS | PACKED_HISTOGRAMS))) =>
                {
                    ValuesBlob::Histograms(inner)
                }
                Some(EXTENDED) => {
                    return Err(ChunkError::Malformed { what: "start timestamps inside others" });
                }
                _ => ValuesBlob::Numbers(inner),
            };
            if inner_count != count {
                return Err(ChunkError::Malformed { what: "number of values behind the starts" });
            }
            Ok(OpenedValues { starts: Some(starts), values: opened })
        }
        _ if reader.failed() => Err(ChunkError::Truncated),
        codec => Err(ChunkError::UnknownExtension { codec }),
    }
}

/// Puts `starts`, a column of integers that an encoder of values made of the start timestamps of
/// `count` samples, in front of the blob of values that lies in `out` from `from` on.
pub fn put_starts(count: usize, starts: &[u8], from: usize, out: &mut Vec<u8>) {
    let mut front = Vec::with_capacity(starts.len() + 8);
    put_header(EXTENDED, count, &mut front);
    front.push(STARTS);
    put_uvarint(&mut front, starts.len() as u64);
    front.extend_from_slice(starts);
    out.splice(from..from, front);
}
