//! Reading a column of histograms.

use std::ops::Range;
use std::sync::Arc;

use base::codec::ByteReader;
use base::limits::CHUNK_SAMPLES_MAX;
use model::histogram::BUCKETS_MAX;
use model::{BucketSpan, Histogram, HistogramBuckets, ResetHint, SampleKind};

use super::{
    CELLS_MAX, FAMILY_BOUNDS, FAMILY_INTEGER, FAMILY_NEGATIVE, FAMILY_ZERO, SIDE_COLUMNS,
    SIDE_PACKED, bucket_count, indexes,
};
use crate::ChunkError;
use crate::extension::{HISTOGRAMS, PACKED_HISTOGRAMS};
use crate::header::{EXTENDED, finish, read_header};
use crate::values::{Values, decode_values};

/// Appends the histograms of a blob whose places lie in `wanted`; on an error `out` is as before.
pub fn decode_histograms(
    blob: &[u8],
    wanted: Range<usize>,
    out: &mut Vec<Option<Arc<Histogram>>>,
) -> Result<(), ChunkError> {
    let start = out.len();
    let result = HistogramsDecoder::default().decode(blob, wanted, out);
    if result.is_err() {
        out.truncate(start);
    }
    result
}

/// Memory for decoding.
#[derive(Debug, Default)]
struct HistogramsDecoder {
    values: Values,
}

/// Layout of some samples, with the place of each of its buckets among the columns.
#[derive(Debug, Default)]
struct Layout {
    zero_threshold: f64,
    positive: Side,
    negative: Side,
}

#[derive(Debug, Default)]
struct Side {
    spans: Vec<BucketSpan>,
    columns: Vec<u32>,
}

/// The decoded columns of one side, one behind the other.
#[derive(Debug, Default)]
struct Cells {
    counts: Vec<f64>,
}

/// What all samples of a chunk share.
struct Head {
    count: usize,
    /// Sides with buckets begin with their form.
    tells_form: bool,
    flags: u8,
    schema: i32,
    bounds: Arc<[f64]>,
    layouts: Vec<Layout>,
    /// Layout of each sample; empty when there is one.
    places: Vec<u64>,
}

impl HistogramsDecoder {
    fn decode(
        &mut self,
        blob: &[u8],
        wanted: Range<usize>,
        out: &mut Vec<Option<Arc<Histogram>>>,
    ) -> Result<(), ChunkError> {
        let mut reader = ByteReader::new(blob);
        let mut head = self.head(&mut reader)?;
        let count = head.count;
        let hints = self.integers(&mut reader, count)?;
        let counts = self.floats(&mut reader, count)?;
        let zero = head.flags & FAMILY_ZERO != 0;
        let zero_counts = if zero { self.floats(&mut reader, count)? } else { Vec::new() };
        let sums = self.floats(&mut reader, count)?;
        let positive = self.side(&mut reader, &mut head, |layout| &mut layout.positive)?;
        let negative = self.side(&mut reader, &mut head, |layout| &mut layout.negative)?;
        finish(&reader)?;
        for sample in wanted.start..wanted.end.min(count) {
            let place = head.places.get(sample).copied().unwrap_or(0) as usize;
            let hint = u8::try_from(hints[sample]).ok().and_then(ResetHint::from_u8);
            let (Some(layout), Some(reset_hint)) = (head.layouts.get(place), hint) else {
                return Err(ChunkError::Malformed { what: "layout or reset hint of a histogram" });
            };
            out.push(Some(Arc::new(Histogram {
                schema: head.schema,
                reset_hint,
                is_integer: head.flags & FAMILY_INTEGER != 0,
                zero_threshold: layout.zero_threshold,
                zero_count: zero_counts.get(sample).copied().unwrap_or(0.0),
                count: counts[sample],
                sum: sums[sample],
                positive: positive.buckets(&layout.positive, sample, count),
                negative: negative.buckets(&layout.negative, sample, count),
                bounds: head.bounds.clone(),
            })));
        }
        Ok(())
    }

    fn head(&mut self, reader: &mut ByteReader<'_>) -> Result<Head, ChunkError> {
        let (codec, count) = read_header(reader)?;
        let extension = reader.u8();
        if codec != EXTENDED || !matches!(extension, HISTOGRAMS | PACKED_HISTOGRAMS) {
            return Err(ChunkError::UnknownCodec { codec });
        }
        let tells_form = extension == PACKED_HISTOGRAMS;
        let flags = reader.u8();
        if flags & !(FAMILY_INTEGER | FAMILY_BOUNDS | FAMILY_NEGATIVE | FAMILY_ZERO) != 0 {
            return Err(ChunkError::Malformed { what: "flags of a histogram chunk" });
        }
        let schema = i32::try_from(reader.varint())
            .map_err(|_| ChunkError::Malformed { what: "schema of a histogram chunk" })?;
        let mut bounds = Vec::new();
        if flags & FAMILY_BOUNDS != 0 {
            let mut left = reader.uvarint() as usize;
            if left > BUCKETS_MAX {
                return Err(ChunkError::Malformed { what: "number of custom bounds" });
            }
            while left > 0 {
                let part = left.min(CHUNK_SAMPLES_MAX);
                bounds.extend(self.floats(reader, part)?);
                left -= part;
            }
        }
        let layouts = layouts(reader, flags, count)?;
        let places = if layouts.len() > 1 { self.integers(reader, count)? } else { Vec::new() };
        Ok(Head { count, tells_form, flags, schema, bounds: bounds.into(), layouts, places })
    }

    /// The next column, which must have `count` values, as integers.
    fn integers(
        &mut self,
        reader: &mut ByteReader<'_>,
        count: usize,
    ) -> Result<Vec<u64>, ChunkError> {
        self.column(reader, count)?;
        Ok(self.values.bits.clone())
    }

    /// The next column, which must have `count` values, as floats.
    fn floats(
        &mut self,
        reader: &mut ByteReader<'_>,
        count: usize,
    ) -> Result<Vec<f64>, ChunkError> {
        let kind = self.column(reader, count)?;
        Ok(self.values.bits.iter().map(|bits| kind.to_f64(*bits)).collect())
    }

    fn column(
        &mut self,
        reader: &mut ByteReader<'_>,
        count: usize,
    ) -> Result<SampleKind, ChunkError> {
        let blob = reader.bytes();
        self.values.bits.clear();
        let kind = decode_values(blob, &mut self.values)?;
        if self.values.bits.len() != count {
            return Err(ChunkError::Malformed { what: "length of a histogram's column" });
        }
        Ok(kind)
    }

    /// Reads the columns of one side and tells each layout where its buckets are.
    fn side(
        &mut self,
        reader: &mut ByteReader<'_>,
        head: &mut Head,
        side: impl Fn(&mut Layout) -> &mut Side,
    ) -> Result<Cells, ChunkError> {
        let mut columns: Vec<i64> = Vec::new();
        for layout in &mut head.layouts {
            columns.extend(indexes(&side(layout).spans));
        }
        columns.sort_unstable();
        columns.dedup();
        let tells_form = head.tells_form && !columns.is_empty();
        let form = if tells_form { reader.u8() } else { SIDE_COLUMNS };
        let blobs = match form {
            SIDE_COLUMNS => columns.len(),
            SIDE_PACKED => columns.len() * head.count.saturating_sub(1) / CHUNK_SAMPLES_MAX,
            _ => return Err(ChunkError::Malformed { what: "form of a histogram's side" }),
        };
        // A blob takes at least three bytes: length, header, and something.
        if blobs > reader.remaining() / 3 || columns.len() * head.count > CELLS_MAX {
            return Err(ChunkError::Malformed { what: "number of buckets of a histogram chunk" });
        }
        for layout in &mut head.layouts {
            let side = side(layout);
            let place = |index| columns.binary_search(&index).unwrap_or_default() as u32;
            side.columns = indexes(&side.spans).map(place).collect();
        }
        if form == SIDE_PACKED {
            return self.packed(reader, columns.len(), head.count);
        }
        let mut cells = Cells::default();
        cells.counts.reserve_exact(columns.len() * head.count);
        for _ in &columns {
            let kind = self.column(reader, head.count)?;
            cells.counts.extend(self.values.bits.iter().map(|bits| kind.to_f64(*bits)));
        }
        Ok(cells)
    }

    /// Reads `columns` columns of `count` cells as their first counts and their steps.
    fn packed(
        &mut self,
        reader: &mut ByteReader<'_>,
        columns: usize,
        count: usize,
    ) -> Result<Cells, ChunkError> {
        let firsts = self.integers_in_parts(reader, columns)?;
        let steps = self.integers_in_parts(reader, columns * (count - 1))?;
        let mut cells = Cells::default();
        cells.counts.reserve_exact(columns * count);
        for (column, first) in firsts.into_iter().enumerate() {
            let mut value = first as i64;
            cells.counts.push(value as f64);
            for step in &steps[column * (count - 1)..(column + 1) * (count - 1)] {
                value = value.wrapping_add(*step as i64);
                cells.counts.push(value as f64);
            }
        }
        Ok(cells)
    }

    /// As many columns of integers as it takes for `count` of them.
    fn integers_in_parts(
        &mut self,
        reader: &mut ByteReader<'_>,
        mut count: usize,
    ) -> Result<Vec<u64>, ChunkError> {
        let mut all = Vec::with_capacity(count);
        while count > 0 {
            let part = count.min(CHUNK_SAMPLES_MAX);
            all.extend(self.integers(reader, part)?);
            count -= part;
        }
        Ok(all)
    }
}

impl Cells {
    fn buckets(&self, side: &Side, sample: usize, count: usize) -> HistogramBuckets {
        let at = |column: &u32| self.counts[*column as usize * count + sample];
        HistogramBuckets {
            spans: side.spans.clone(),
            counts: side.columns.iter().map(at).collect(),
        }
    }
}

fn layouts(
    reader: &mut ByteReader<'_>,
    flags: u8,
    count: usize,
) -> Result<Vec<Layout>, ChunkError> {
    let number = reader.uvarint() as usize;
    if number == 0 || number > count {
        return Err(ChunkError::Malformed { what: "number of layouts" });
    }
    let mut layouts = Vec::with_capacity(number);
    let mut buckets = 0;
    for _ in 0..number {
        let mut layout = Layout::default();
        if flags & FAMILY_ZERO != 0 {
            layout.zero_threshold = f64::from_bits(reader.u64());
        }
        layout.positive.spans = spans(reader)?;
        if flags & FAMILY_NEGATIVE != 0 {
            layout.negative.spans = spans(reader)?;
        }
        buckets += bucket_count(&layout.positive.spans) + bucket_count(&layout.negative.spans);
        // Each layout belongs to a sample, and its buckets are cells of that sample.
        if buckets > CELLS_MAX as u64 {
            return Err(ChunkError::Malformed { what: "buckets of the layouts" });
        }
        layouts.push(layout);
    }
    Ok(layouts)
}

fn spans(reader: &mut ByteReader<'_>) -> Result<Vec<BucketSpan>, ChunkError> {
    let count = reader.uvarint() as usize;
    if count > BUCKETS_MAX || count > reader.remaining() {
        return Err(ChunkError::Malformed { what: "number of spans" });
    }
    let mut spans = Vec::with_capacity(count);
    for index in 0..count {
        let (offset, length) = (reader.varint(), reader.uvarint());
        match (i32::try_from(offset), u32::try_from(length)) {
            (Ok(offset), Ok(length))
                if length as usize <= BUCKETS_MAX && (index == 0 || offset >= 0) =>
            {
                spans.push(BucketSpan { offset, length });
            }
            _ => return Err(ChunkError::Malformed { what: "span of a histogram" }),
        }
    }
    if bucket_count(&spans) > BUCKETS_MAX as u64 {
        return Err(ChunkError::Malformed { what: "buckets of a layout" });
    }
    Ok(spans)
}
