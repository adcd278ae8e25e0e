//! What log records mean: bytes of `wal/FORMAT.md` to and from series and samples.
//!
//! Invariants: a record decodes to exactly what was encoded or not at all; decoding allocates in
//! proportion to the payload, whatever the payload claims.

mod decode;
mod encode;
#[cfg(test)]
mod tests;

use model::{SampleKind, TenantId};

pub(crate) use self::decode::{BadRecord, decode};
pub(crate) use self::encode::{RECORD_BYTES_TARGET, RecordEncoder, void_frame};
use crate::framed::FramedFormat;

/// The files of the log. Those of version 1 have no records of type 4.
pub(crate) const LOG: FramedFormat = FramedFormat {
    magic: *b"TRBWAL\x00\x02",
    magic_before: Some(*b"TRBWAL\x00\x01"),
    marker: *b"TWR1",
};

/// What stands in the place of damage that was taken out; it says nothing.
const VOID: u8 = 0;
const SERIES: u8 = 1;
const SAMPLES: u8 = 2;
const PACKED_SERIES: u8 = 3;
const EXTENDED_SAMPLES: u8 = 4;
/// Bytes of a payload in front of its entries.
const PAYLOAD_HEADER_BYTES: usize = 15;

const TAG_LENGTH: u8 = 0x0f;
const TAG_INTEGER: u8 = 0x10;
const TAG_SAME_TIME: u8 = 0x20;
const TAG_SAME_SERIES: u8 = 0x40;
const TAG_NEXT_SERIES: u8 = 0x80;
/// In place of a length: the value is a histogram.
const LENGTH_HISTOGRAM: u8 = 9;
/// In place of a length: no sample, but the start timestamp of those behind it.
const LENGTH_START: u8 = 10;
/// With [`LENGTH_START`]: the samples behind it have none.
const TAG_NO_START: u8 = LENGTH_START | 0x10;

/// The number of a series in the log. Unlike a head id it is never used again, not even by the
/// next process; 0 is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct LogId(pub u64);

/// A decoded record.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Record {
    /// Series that samples behind it may name.
    Series(SeriesRecord),
    /// Samples, in the order in which they were written.
    Samples(SamplesRecord),
    /// Nothing: damage was here and has been taken out.
    Void,
}

/// New series of one tenant.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SeriesRecord {
    /// Whose series.
    pub(crate) tenant: TenantId,
    /// Of which shard.
    pub(crate) shard: u16,
    /// Their numbers, each with the end of its packed labels in `keys`.
    pub(crate) ids: Vec<(LogId, usize)>,
    /// All packed labels.
    pub(crate) keys: Vec<u8>,
}

impl SeriesRecord {
    /// The series with their packed labels.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LogId, &[u8])> {
        let mut start = 0;
        self.ids.iter().map(move |&(id, end)| {
            let key = &self.keys[start..end];
            start = end;
            (id, key)
        })
    }
}

/// Samples of one tenant, as columns.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct SamplesRecord {
    /// Whose samples.
    pub(crate) tenant: TenantId,
    /// Of which shard.
    pub(crate) shard: u16,
    /// The series of each sample.
    pub(crate) ids: Vec<LogId>,
    /// Milliseconds.
    pub(crate) timestamps: Vec<i64>,
    /// What the bits are.
    pub(crate) kinds: Vec<SampleKind>,
    /// The values; of a histogram where its bytes are.
    pub(crate) bits: Vec<u64>,
    /// Bytes of the histograms.
    pub(crate) blobs: Vec<u8>,
    /// Start timestamps of the first samples; those behind have none.
    pub(crate) starts: Vec<i64>,
}

impl SamplesRecord {
    /// The bytes of the histogram that the bits of a sample stand for.
    pub(crate) fn histogram(&self, bits: u64) -> &[u8] {
        let start = (bits >> 32) as usize;
        self.blobs.get(start..start + (bits & 0xffff_ffff) as usize).unwrap_or_default()
    }

    /// When the counting of sample `index` began, 0 where that is unknown.
    pub(crate) fn start_ms(&self, index: usize) -> i64 {
        self.starts.get(index).copied().unwrap_or(0)
    }
}
