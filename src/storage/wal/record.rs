//! What log records mean: bytes of `wal/FORMAT.md` to and from series and samples.
//!
//! Invariants: a record decodes to exactly what was encoded or not at all; decoding allocates in
//! proportion to the payload, whatever the payload claims.

use base::codec::{ByteReader, put_bytes, put_varint, unzigzag, zigzag};
use base::frame::{FRAME_HEADER_BYTES, checksum, put_frame};
use model::{SampleKind, TenantId, histogram};

use crate::framed::{FramedFormat, PAYLOAD_BYTES_MAX};

/// The files of the log. Those of version 1 have no records of type 4.
pub(crate) const LOG: FramedFormat = FramedFormat {
    magic: *b"TRBWAL\x00\x02",
    magic_before: Some(*b"TRBWAL\x00\x01"),
    marker: *b"TWR1",
};

/// Payload bytes at which a record is closed and another begun.
pub(crate) const RECORD_BYTES_TARGET: usize = 32 << 20;

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

/// Why a checked frame holds no record: the writer was another program or wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BadRecord {
    /// Where in the payload.
    pub(crate) offset: usize,
    /// What should be there.
    pub(crate) expected: &'static str,
    /// What is there.
    pub(crate) got: String,
}

/// Decodes the payload of one frame.
pub(crate) fn decode(payload: &[u8]) -> Result<Record, BadRecord> {
    let mut reader = ByteReader::new(payload);
    let marker = reader.take(4);
    if marker != LOG.marker {
        return Err(BadRecord {
            offset: 0,
            expected: "the record marker TWR1",
            got: format!("{marker:02x?}"),
        });
    }
    let kind = reader.u8();
    let tenant = TenantId(reader.u32());
    let shard = reader.u16();
    let count = reader.u32() as usize;
    if kind == VOID && !reader.failed() {
        return Ok(Record::Void);
    }
    if kind == PACKED_SERIES {
        return decode_packed(reader, tenant, shard, count).map(Record::Series);
    }
    // Every entry takes at least one byte, so a count beyond the payload is a lie.
    if reader.failed() || count > reader.remaining() {
        return Err(cut(&reader, count));
    }
    match kind {
        SERIES => decode_series(reader, tenant, shard, count).map(Record::Series),
        SAMPLES | EXTENDED_SAMPLES => {
            let is_extended = kind == EXTENDED_SAMPLES;
            decode_samples(reader, tenant, shard, count, is_extended).map(Record::Samples)
        }
        _ => Err(BadRecord { offset: 4, expected: "record type 0 to 4", got: kind.to_string() }),
    }
}

fn cut(reader: &ByteReader<'_>, count: usize) -> BadRecord {
    BadRecord {
        offset: reader.position(),
        expected: "as many entries as the record counts",
        got: format!("a count of {count} and {} more bytes", reader.remaining()),
    }
}

fn decode_packed(
    mut reader: ByteReader<'_>,
    tenant: TenantId,
    shard: u16,
    count: usize,
) -> Result<SeriesRecord, BadRecord> {
    let length = reader.u32() as usize;
    let offset = reader.position();
    let bytes = reader.take(reader.remaining());
    let bad = |got: String| BadRecord { offset, expected: "compressed series entries", got };
    if reader.failed() || length > PAYLOAD_BYTES_MAX || count > length {
        return Err(bad(format!("{count} entries in {length} bytes")));
    }
    let entries = zstd::bulk::decompress(bytes, length).map_err(|error| bad(error.to_string()))?;
    decode_series(ByteReader::new(&entries), tenant, shard, count)
}

fn decode_series(
    mut reader: ByteReader<'_>,
    tenant: TenantId,
    shard: u16,
    count: usize,
) -> Result<SeriesRecord, BadRecord> {
    let mut record = SeriesRecord { tenant, shard, ..SeriesRecord::default() };
    record.ids.reserve(count);
    let mut id = 0u64;
    for _ in 0..count {
        id = id.wrapping_add(reader.varint() as u64);
        record.keys.extend_from_slice(reader.bytes());
        record.ids.push((LogId(id), record.keys.len()));
    }
    if reader.failed() || reader.remaining() > 0 {
        return Err(cut(&reader, count));
    }
    Ok(record)
}

fn decode_samples(
    mut reader: ByteReader<'_>,
    tenant: TenantId,
    shard: u16,
    count: usize,
    is_extended: bool,
) -> Result<SamplesRecord, BadRecord> {
    let mut record = SamplesRecord {
        tenant,
        shard,
        ids: Vec::with_capacity(count),
        timestamps: Vec::with_capacity(count),
        kinds: Vec::with_capacity(count),
        bits: Vec::with_capacity(count),
        ..SamplesRecord::default()
    };
    let (mut id, mut ts) = (0u64, 0i64);
    let (mut start, mut last_start) = (0i64, 0i64);
    for _ in 0..count {
        let tag = reader.u8();
        if is_extended && tag & TAG_LENGTH == LENGTH_START {
            start = match tag {
                TAG_NO_START => 0,
                LENGTH_START => last_start.wrapping_add(reader.varint()),
                _ => return Err(bad_tag(&reader, tag)),
            };
            last_start = if start == 0 { last_start } else { start };
            continue;
        }
        id = match tag & (TAG_SAME_SERIES | TAG_NEXT_SERIES) {
            0 => id.wrapping_add(reader.varint() as u64),
            TAG_SAME_SERIES => id,
            TAG_NEXT_SERIES => id.wrapping_add(1),
            _ => return Err(bad_tag(&reader, tag)),
        };
        if tag & TAG_SAME_TIME == 0 {
            ts = ts.wrapping_add(reader.varint());
        }
        let (kind, bits) = if is_extended && tag & TAG_LENGTH == LENGTH_HISTOGRAM {
            decode_histogram(&mut reader, tag, &mut record.blobs)?
        } else {
            decode_number(&mut reader, tag, count)?
        };
        if start != 0 {
            record.starts.resize(record.ids.len(), 0);
            record.starts.push(start);
        }
        record.ids.push(LogId(id));
        record.timestamps.push(ts);
        record.kinds.push(kind);
        record.bits.push(bits);
    }
    if reader.failed() || reader.remaining() > 0 {
        return Err(cut(&reader, count));
    }
    Ok(record)
}

#[inline]
fn decode_number(
    reader: &mut ByteReader<'_>,
    tag: u8,
    count: usize,
) -> Result<(SampleKind, u64), BadRecord> {
    let length = usize::from(tag & TAG_LENGTH);
    if length > 8 {
        return Err(bad_tag(reader, tag));
    }
    let mut low = [0u8; 8];
    let bytes = reader.take(length);
    if bytes.len() != length {
        return Err(cut(reader, count));
    }
    low[..length].copy_from_slice(bytes);
    let low = u64::from_le_bytes(low);
    Ok(if tag & TAG_INTEGER == 0 {
        (SampleKind::Float, low.swap_bytes())
    } else {
        (SampleKind::Integer, unzigzag(low) as u64)
    })
}

/// Checks the histogram here, so that whoever applies the record can rely on it.
fn decode_histogram(
    reader: &mut ByteReader<'_>,
    tag: u8,
    blobs: &mut Vec<u8>,
) -> Result<(SampleKind, u64), BadRecord> {
    if tag & TAG_INTEGER != 0 {
        return Err(bad_tag(reader, tag));
    }
    let offset = reader.position();
    let bytes = reader.bytes();
    let bad = |got: String| BadRecord { offset, expected: "a valid histogram", got };
    let decoded = histogram::decode(bytes).map_err(|error| bad(error.to_string()))?;
    decoded.validate().map_err(|error| bad(error.to_string()))?;
    let bits = (blobs.len() as u64) << 32 | bytes.len() as u64;
    blobs.extend_from_slice(bytes);
    Ok((SampleKind::Histogram, bits))
}

fn bad_tag(reader: &ByteReader<'_>, tag: u8) -> BadRecord {
    BadRecord {
        offset: reader.position(),
        expected: "a sample tag of this version",
        got: format!("0x{tag:02x}"),
    }
}

#[cfg(test)]
mod tests {
    use base::frame::{Frame, read_frame};
    use base::rng::Rng;

    use super::*;

    fn payload(frame: &[u8]) -> &[u8] {
        match read_frame(frame, 1 << 20) {
            Frame::Whole { payload, bytes } if bytes == frame.len() => payload,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn samples_round_trip() {
        let mut rng = Rng::new(7);
        let mut out = Vec::new();
        let mut encoder = RecordEncoder::samples(&mut out, TenantId(3), 5, false);
        let mut want = SamplesRecord { tenant: TenantId(3), shard: 5, ..Default::default() };
        let bits = [0, 1, u64::MAX, 1.5f64.to_bits(), (-0.0f64).to_bits(), 0x7ff0_0000_0000_0002];
        for index in 0..500u64 {
            let id = if rng.one_in(3) { LogId(rng.next_u64()) } else { LogId(index) };
            let ts = if rng.one_in(5) { rng.next_u64() as i64 } else { 1000 };
            let kind = if rng.one_in(2) { SampleKind::Float } else { SampleKind::Integer };
            let bits = bits[rng.below(6) as usize];
            encoder.push_sample(&mut out, id, ts, kind, bits);
            want.ids.push(id);
            want.timestamps.push(ts);
            want.kinds.push(kind);
            want.bits.push(bits);
        }
        encoder.finish(&mut out);
        assert_eq!(decode(payload(&out)), Ok(Record::Samples(want)));
    }

    #[test]
    fn histograms_and_starts_round_trip() {
        let mut rng = Rng::new(8);
        let mut out = Vec::new();
        let mut encoder = RecordEncoder::samples(&mut out, TenantId(3), 5, true);
        let mut want = SamplesRecord { tenant: TenantId(3), shard: 5, ..Default::default() };
        for index in 0..300u64 {
            let (id, ts) = (LogId(index / 2), 1000 + index as i64 / 7);
            let start = if rng.one_in(3) { 0 } else { 500 + rng.below(2) as i64 };
            encoder.set_start(&mut out, start);
            if start != 0 {
                want.starts.resize(index as usize, 0);
                want.starts.push(start);
            }
            let (kind, bits) = if rng.one_in(2) {
                let mut bytes = Vec::new();
                histogram::encode(&histogram::testing::random(&mut rng), &mut bytes);
                encoder.push_histogram(&mut out, id, ts, &bytes);
                let bits = (want.blobs.len() as u64) << 32 | bytes.len() as u64;
                want.blobs.extend(bytes);
                (SampleKind::Histogram, bits)
            } else {
                encoder.push_sample(&mut out, id, ts, SampleKind::Float, index);
                (SampleKind::Float, index)
            };
            want.ids.push(id);
            want.timestamps.push(ts);
            want.kinds.push(kind);
            want.bits.push(bits);
        }
        encoder.finish(&mut out);
        assert_eq!(decode(payload(&out)), Ok(Record::Samples(want)));
        let good = payload(&out).to_vec();
        for _ in 0..2000 {
            let mut bytes = good.clone();
            for _ in 0..3 {
                let at = 5 + rng.below(bytes.len() as u64 - 5) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            let _ = decode(&bytes);
        }
    }

    #[test]
    fn bytes_by_hand() {
        let mut out = Vec::new();
        let mut encoder = RecordEncoder::samples(&mut out, TenantId(1), 2, false);
        encoder.push_sample(&mut out, LogId(9), 64, SampleKind::Float, 2.0f64.to_bits());
        encoder.push_sample(&mut out, LogId(10), 64, SampleKind::Integer, 3);
        encoder.finish(&mut out);
        let mut want = b"TWR1".to_vec();
        want.extend([2, 1, 0, 0, 0, 2, 0, 2, 0, 0, 0]);
        // Tag: one value byte, id step 9 and time step 64 follow; 2.0 is 0x40 and zeros.
        want.extend([0x01, 18, 0x80, 0x01, 0x40]);
        // Tag: next series, same time, integer of one byte; zigzag(3) = 6.
        want.extend([0xb1, 6]);
        assert_eq!(payload(&out), want);
    }

    #[test]
    fn hostile_payloads_are_errors() {
        let mut rng = Rng::new(11);
        let mut out = Vec::new();
        let mut encoder = RecordEncoder::series(&mut out, TenantId(1), 0);
        encoder.push_series(&mut out, LogId(1), b"\x01a\x01b");
        encoder.push_series(&mut out, LogId(9), b"\x01a\x01c");
        encoder.finish(&mut out);
        let good = out[8..].to_vec();
        assert!(decode(&good).is_ok());
        for cut in 0..good.len() {
            assert!(decode(&good[..cut]).is_err(), "{cut}");
        }
        for _ in 0..20_000 {
            let mut bytes = good.clone();
            bytes[4] = 1 + rng.below(3) as u8;
            for _ in 0..3 {
                let at = 5 + rng.below(bytes.len() as u64 - 5) as usize;
                bytes[at] = rng.next_u64() as u8;
            }
            let _ = decode(&bytes);
        }
    }
}
