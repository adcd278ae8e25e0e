//! Writing log records.

use base::codec::{put_bytes, put_varint, zigzag};
use base::frame::{FRAME_HEADER_BYTES, checksum, put_frame};
use model::{SampleKind, TenantId};

use super::*;

/// Payload bytes at which a record is closed and another begun.
pub(crate) const RECORD_BYTES_TARGET: usize = 32 << 20;

/// Appends one framed record to a buffer; the frame is closed by `finish`.
#[derive(Debug)]
pub(crate) struct RecordEncoder {
    frame_start: usize,
    count: u32,
    last_id: u64,
    last_ts: i64,
    /// The start timestamp of the samples that are pushed now, and the last one that was not 0.
    start: i64,
    last_start: i64,
}

impl RecordEncoder {
    fn begin(out: &mut Vec<u8>, kind: u8, tenant: TenantId, shard: u16) -> Self {
        let frame_start = out.len();
        out.extend_from_slice(&[0; FRAME_HEADER_BYTES]);
        out.extend_from_slice(&LOG.marker);
        out.push(kind);
        out.extend_from_slice(&tenant.0.to_le_bytes());
        out.extend_from_slice(&shard.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        Self { frame_start, count: 0, last_id: 0, last_ts: 0, start: 0, last_start: 0 }
    }

    /// Opens a record of new series.
    pub(crate) fn series(out: &mut Vec<u8>, tenant: TenantId, shard: u16) -> Self {
        Self::begin(out, SERIES, tenant, shard)
    }

    /// Opens a record of samples; only an extended one takes histograms and start timestamps.
    pub(crate) fn samples(
        out: &mut Vec<u8>,
        tenant: TenantId,
        shard: u16,
        is_extended: bool,
    ) -> Self {
        Self::begin(out, if is_extended { EXTENDED_SAMPLES } else { SAMPLES }, tenant, shard)
    }

    /// Adds a series to a record of series.
    pub(crate) fn push_series(&mut self, out: &mut Vec<u8>, id: LogId, packed: &[u8]) {
        put_varint(out, id.0.wrapping_sub(self.last_id) as i64);
        put_bytes(out, packed);
        self.last_id = id.0;
        self.count += 1;
    }

    /// Adds a sample to a record of samples.
    #[inline]
    pub(crate) fn push_sample(
        &mut self,
        out: &mut Vec<u8>,
        id: LogId,
        ts: i64,
        kind: SampleKind,
        bits: u64,
    ) {
        let (tag, length, low) = match kind {
            SampleKind::Float => {
                let length = 8 - (bits.trailing_zeros() / 8).min(8);
                (0, length, bits.swap_bytes())
            }
            // Histograms come by [`RecordEncoder::push_histogram`].
            SampleKind::Integer | SampleKind::Histogram => {
                let folded = zigzag(bits as i64);
                (TAG_INTEGER, 8 - folded.leading_zeros() / 8, folded)
            }
        };
        self.put_head(out, tag | length as u8, id, ts);
        out.extend_from_slice(&low.to_le_bytes()[..length as usize]);
    }

    /// Adds a histogram, as its bytes, to an extended record.
    pub(crate) fn push_histogram(&mut self, out: &mut Vec<u8>, id: LogId, ts: i64, bytes: &[u8]) {
        self.put_head(out, LENGTH_HISTOGRAM, id, ts);
        put_bytes(out, bytes);
    }

    /// Says when the counting of the samples pushed next to an extended record began; 0 is unknown.
    #[inline]
    pub(crate) fn set_start(&mut self, out: &mut Vec<u8>, start_ms: i64) {
        if start_ms == self.start {
            return;
        }
        if start_ms == 0 {
            out.push(TAG_NO_START);
        } else {
            out.push(LENGTH_START);
            put_varint(out, start_ms.wrapping_sub(self.last_start));
            self.last_start = start_ms;
        }
        self.start = start_ms;
        self.count += 1;
    }

    /// Writes a sample's tag, series and time.
    #[inline]
    fn put_head(&mut self, out: &mut Vec<u8>, mut tag: u8, id: LogId, ts: i64) {
        let same_time = ts == self.last_ts;
        tag |= if same_time { TAG_SAME_TIME } else { 0 };
        let step = id.0.wrapping_sub(self.last_id);
        tag |= match step {
            0 => TAG_SAME_SERIES,
            1 => TAG_NEXT_SERIES,
            _ => 0,
        };
        out.push(tag);
        if step > 1 {
            put_varint(out, step as i64);
        }
        if !same_time {
            put_varint(out, ts.wrapping_sub(self.last_ts));
        }
        self.last_id = id.0;
        self.last_ts = ts;
        self.count += 1;
    }

    /// Bytes of the open record.
    pub(crate) fn len(&self, out: &[u8]) -> usize {
        out.len() - self.frame_start
    }

    /// Closes a record of series with its entries compressed: for the series file, which is large
    /// and rarely read.
    pub(crate) fn finish_packed(self, out: &mut Vec<u8>) -> std::io::Result<()> {
        let entries = self.frame_start + FRAME_HEADER_BYTES + PAYLOAD_HEADER_BYTES;
        if self.count > 0 {
            let packed = zstd::bulk::compress(&out[entries..], 1)?;
            let length = (out.len() - entries) as u32;
            out.truncate(entries);
            out.extend_from_slice(&length.to_le_bytes());
            out.extend_from_slice(&packed);
            out[self.frame_start + FRAME_HEADER_BYTES + 4] = PACKED_SERIES;
        }
        self.finish(out);
        Ok(())
    }

    /// Closes the frame; a record without content leaves no bytes.
    pub(crate) fn finish(self, out: &mut Vec<u8>) {
        if self.count == 0 {
            out.truncate(self.frame_start);
            return;
        }
        let payload = self.frame_start + FRAME_HEADER_BYTES;
        out[payload + 11..payload + 15].copy_from_slice(&self.count.to_le_bytes());
        let length = (out.len() - payload) as u32;
        let crc = checksum(&out[payload..]);
        out[self.frame_start..self.frame_start + 4].copy_from_slice(&length.to_le_bytes());
        out[self.frame_start + 4..payload].copy_from_slice(&crc.to_le_bytes());
    }
}

/// A frame of `bytes` bytes that says nothing, to stand where damage was, so that everything behind
/// it stays in its place. Damage takes whole frames, so that there is always room for this one.
pub(crate) fn void_frame(bytes: usize) -> Vec<u8> {
    let mut payload = vec![0; bytes.saturating_sub(FRAME_HEADER_BYTES).max(PAYLOAD_HEADER_BYTES)];
    payload[..4].copy_from_slice(&LOG.marker);
    payload[4] = VOID;
    let mut frame = Vec::with_capacity(bytes);
    put_frame(&mut frame, &payload);
    frame
}
