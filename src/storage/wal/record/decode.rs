//! Reading log records. Nothing is believed that the payload has no bytes for.

use base::codec::{ByteReader, unzigzag};
use model::{SampleKind, TenantId, histogram};

use super::*;
use crate::framed::PAYLOAD_BYTES_MAX;

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
