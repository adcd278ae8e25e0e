//! Writing a column of histograms as one blob.

use std::sync::Arc;

use base::codec::{put_bytes, put_uvarint, put_varint};
use base::limits::CHUNK_SAMPLES_MAX;
use model::histogram::is_whole;
use model::{BucketSpan, Histogram, HistogramBuckets, SampleKind};

use super::{
    CELLS_MAX, FAMILY_BOUNDS, FAMILY_INTEGER, FAMILY_NEGATIVE, FAMILY_ZERO, Layout, SIDE_COLUMNS,
    SIDE_PACKED, bucket_count, indexes, same_family,
};
use crate::extension::{HISTOGRAMS, PACKED_HISTOGRAMS};
use crate::header::{EXTENDED, put_header};
use crate::stream::Effort;
use crate::values::ValuesEncoder;

/// Sides of chunks with fewer samples are packed. Measured on random counters with 20 to 120 buckets: of 24
/// samples packed ones take 12 to 34 % less, of 480 from 7 % less to 3 % more, and from there on as much.
const PACKED_BELOW: usize = 512;

/// Encodes columns of histograms one after the other.
#[derive(Debug)]
pub struct HistogramsEncoder {
    values: ValuesEncoder,
    bits: Vec<u64>,
    blob: Vec<u8>,
    layouts: Vec<Layout>,
    /// The layout of each sample.
    places: Vec<u32>,
    /// The cells of the side that is being written, column by column.
    cells: Vec<Option<f64>>,
}

impl HistogramsEncoder {
    /// An encoder that looks for small forms this hard.
    pub fn new(effort: Effort) -> Self {
        Self {
            values: ValuesEncoder::new(effort),
            bits: Vec::new(),
            blob: Vec::new(),
            layouts: Vec::new(),
            places: Vec::new(),
            cells: Vec::new(),
        }
    }

    /// How many of the first `histograms` fit into one chunk: at least one, at most `max`.
    pub fn fitting<'a>(histograms: impl Iterator<Item = &'a Histogram>, max: usize) -> usize {
        let mut histograms = histograms;
        let Some(first) = histograms.next() else {
            return 0;
        };
        let buckets = |h: &Histogram| h.positive.counts.len() + h.negative.counts.len();
        let spans = |h: &'a Histogram| (&h.positive.spans, &h.negative.spans);
        let (mut count, mut columns, mut last) = (1, buckets(first), first);
        for next in histograms.take(max.min(CHUNK_SAMPLES_MAX).saturating_sub(1)) {
            if spans(next) != spans(last) {
                // More columns than there will be, which is the safe side.
                columns += buckets(next);
            }
            if !same_family(first, next) || columns * (count + 1) > CELLS_MAX {
                break;
            }
            count += 1;
            last = next;
        }
        count
    }

    /// Appends one blob with `histograms`, all of which are valid and fit into one chunk
    /// ([`HistogramsEncoder::fitting`]).
    ///
    /// # Panics
    /// Unless there are 1 to [`CHUNK_SAMPLES_MAX`] of them.
    pub fn encode(&mut self, histograms: &[Arc<Histogram>], out: &mut Vec<u8>) {
        let count = histograms.len();
        assert!((1..=CHUNK_SAMPLES_MAX).contains(&count), "a chunk of {count} histograms");
        self.collect_layouts(histograms);
        put_header(EXTENDED, count, out);
        out.push(if may_be_packed(count) { PACKED_HISTOGRAMS } else { HISTOGRAMS });
        let first = &histograms[0];
        let flags = self.family_flags(histograms);
        out.push(flags);
        put_varint(out, i64::from(first.schema));
        if flags & FAMILY_BOUNDS != 0 {
            self.put_bounds(&first.bounds, out);
        }
        self.put_layouts(flags, out);
        self.put_integers(histograms.iter().map(|h| i64::from(h.reset_hint as u8)), out);
        self.put_counts(histograms.iter().map(|h| h.count), out);
        if flags & FAMILY_ZERO != 0 {
            self.put_counts(histograms.iter().map(|h| h.zero_count), out);
        }
        self.put_floats(histograms.iter().map(|h| h.sum), out);
        self.put_side(histograms, |h| &h.positive, |layout| &layout.positive, out);
        if flags & FAMILY_NEGATIVE != 0 {
            self.put_side(histograms, |h| &h.negative, |layout| &layout.negative, out);
        }
    }

    fn collect_layouts(&mut self, histograms: &[Arc<Histogram>]) {
        self.layouts.clear();
        self.places.clear();
        for histogram in histograms {
            // The newest first: layouts grow and rarely come back.
            let known = self.layouts.iter().rposition(|layout| layout.is_of(histogram));
            let place = known.unwrap_or_else(|| {
                self.layouts.push(Layout {
                    zero_threshold: histogram.zero_threshold.to_bits(),
                    positive: histogram.positive.spans.clone(),
                    negative: histogram.negative.spans.clone(),
                });
                self.layouts.len() - 1
            });
            self.places.push(place as u32);
        }
    }

    fn family_flags(&self, histograms: &[Arc<Histogram>]) -> u8 {
        let mut flags = 0;
        if histograms[0].is_integer {
            flags |= FAMILY_INTEGER;
        }
        if !histograms[0].bounds.is_empty() {
            flags |= FAMILY_BOUNDS;
        }
        if self.layouts.iter().any(|layout| !layout.negative.is_empty()) {
            flags |= FAMILY_NEGATIVE;
        }
        let has_zero = |h: &Arc<Histogram>| h.zero_count.to_bits() != 0;
        if histograms.iter().any(has_zero)
            || self.layouts.iter().any(|layout| layout.zero_threshold != 0)
        {
            flags |= FAMILY_ZERO;
        }
        flags
    }

    fn put_bounds(&mut self, bounds: &[f64], out: &mut Vec<u8>) {
        put_uvarint(out, bounds.len() as u64);
        for part in bounds.chunks(CHUNK_SAMPLES_MAX) {
            self.put_floats(part.iter().copied(), out);
        }
    }

    fn put_layouts(&mut self, flags: u8, out: &mut Vec<u8>) {
        put_uvarint(out, self.layouts.len() as u64);
        for layout in &self.layouts {
            if flags & FAMILY_ZERO != 0 {
                out.extend_from_slice(&layout.zero_threshold.to_le_bytes());
            }
            put_spans(&layout.positive, out);
            if flags & FAMILY_NEGATIVE != 0 {
                put_spans(&layout.negative, out);
            }
        }
        if self.layouts.len() > 1 {
            let places = std::mem::take(&mut self.places);
            self.put_integers(places.iter().map(|place| i64::from(*place)), out);
            self.places = places;
        }
    }

    fn put_integers(&mut self, values: impl Iterator<Item = i64>, out: &mut Vec<u8>) {
        self.bits.clear();
        self.bits.extend(values.map(|value| value as u64));
        self.put_bits(SampleKind::Integer, out);
    }

    fn put_floats(&mut self, values: impl Iterator<Item = f64>, out: &mut Vec<u8>) {
        self.bits.clear();
        self.bits.extend(values.map(f64::to_bits));
        self.put_bits(SampleKind::Float, out);
    }

    /// A column of counts: of integers where all are whole.
    fn put_counts(&mut self, values: impl Iterator<Item = f64> + Clone, out: &mut Vec<u8>) {
        if values.clone().all(is_whole) {
            self.put_integers(values.map(|value| value as i64), out);
        } else {
            self.put_floats(values, out);
        }
    }

    fn put_bits(&mut self, kind: SampleKind, out: &mut Vec<u8>) {
        self.blob.clear();
        self.values.encode(kind, &self.bits, &mut self.blob);
        put_bytes(out, &self.blob);
    }

    /// The columns of one side, in the order of their indexes.
    fn put_side(
        &mut self,
        histograms: &[Arc<Histogram>],
        side: impl Fn(&Histogram) -> &HistogramBuckets,
        spans: impl Fn(&Layout) -> &[BucketSpan],
        out: &mut Vec<u8>,
    ) {
        let layouts = self.layouts.iter();
        let mut columns: Vec<i64> = layouts.flat_map(|layout| indexes(spans(layout))).collect();
        columns.sort_unstable();
        columns.dedup();
        let count = histograms.len();
        self.cells.clear();
        self.cells.resize(columns.len() * count, None);
        for (sample, histogram) in histograms.iter().enumerate() {
            let buckets = side(histogram);
            let mut column = 0;
            for (index, value) in indexes(&buckets.spans).zip(&buckets.counts) {
                // Both ascend, so no column is looked at twice for one sample.
                while columns.get(column).is_some_and(|other| *other < index) {
                    column += 1;
                }
                if let Some(cell) = self.cells.get_mut(column * count + sample) {
                    *cell = Some(*value);
                }
            }
        }
        let cells = std::mem::take(&mut self.cells);
        let tells_form = may_be_packed(count) && !cells.is_empty();
        let is_packed = tells_form && cells.iter().flatten().copied().all(is_whole);
        if tells_form {
            out.push(if is_packed { SIDE_PACKED } else { SIDE_COLUMNS });
        }
        if is_packed {
            self.put_packed(&cells, count, out);
        } else {
            cells.chunks_exact(count).for_each(|column| self.put_counts(filled(column), out));
        }
        self.cells = cells;
    }

    /// The first count of each column, then the steps of each, as few long columns.
    fn put_packed(&mut self, cells: &[Option<f64>], count: usize, out: &mut Vec<u8>) {
        let whole = |column| filled(column).map(|value| value as i64);
        let columns = cells.chunks_exact(count);
        let firsts: Vec<i64> = columns.clone().filter_map(|column| whole(column).next()).collect();
        let steps = |column| whole(column).zip(whole(column).skip(1)).map(|(a, b)| b - a);
        let steps: Vec<i64> = columns.flat_map(steps).collect();
        for part in firsts.chunks(CHUNK_SAMPLES_MAX).chain(steps.chunks(CHUNK_SAMPLES_MAX)) {
            self.put_integers(part.iter().copied(), out);
        }
    }
}

/// True where a side with buckets says which form it has.
fn may_be_packed(count: usize) -> bool {
    count < PACKED_BELOW
}

/// The cells of a column; where there is none, the one before, or the first there is.
fn filled(column: &[Option<f64>]) -> impl Iterator<Item = f64> + Clone + '_ {
    let mut last = column.iter().copied().flatten().next().unwrap_or(0.0);
    column.iter().map(move |cell| {
        last = cell.unwrap_or(last);
        last
    })
}

fn put_spans(spans: &[BucketSpan], out: &mut Vec<u8>) {
    debug_assert!(bucket_count(spans) <= CELLS_MAX as u64);
    put_uvarint(out, spans.len() as u64);
    for span in spans {
        put_varint(out, i64::from(span.offset));
        put_uvarint(out, u64::from(span.length));
    }
}
