//! One series inside a partition: an open append buffer and the chunks sealed from it.
//!
//! Invariants: chunks are linked newest first and are in the order in which they were sealed, so
//! whoever reads them oldest first and the open buffer last meets the writes of one instant in
//! their order. A chunk is ascending, unique and of one kind.

use std::sync::Arc;

use chunk::{Effort, HistogramsEncoder, TimestampsEncoder, ValuesEncoder, put_starts};
use model::{Histogram, ResetHint, SampleKind, histogram};

/// No chunk.
pub(crate) const NO_CHUNK: u32 = u32::MAX;
/// Set in a sample's key when its value is an integer.
const KEY_INTEGER: u32 = 1 << 31;
/// Set in a sample's key when it is a histogram, whose place is in the bits.
const KEY_HISTOGRAM: u32 = 1 << 30;
/// The bits of a key above the offset in the window.
const KEY_KIND: u32 = KEY_INTEGER | KEY_HISTOGRAM;
/// Offsets in a window are less than this.
pub(crate) const OFFSET_BELOW: u32 = KEY_HISTOGRAM;

/// The key of a sample.
#[inline]
pub(crate) fn key_of(offset: u32, kind: SampleKind) -> u32 {
    match kind {
        SampleKind::Float => offset,
        SampleKind::Integer => offset | KEY_INTEGER,
        SampleKind::Histogram => offset | KEY_HISTOGRAM,
    }
}

/// The offset in the window of a sample's key.
#[inline]
pub(crate) fn offset_of(key: u32) -> u32 {
    key & !KEY_KIND
}

/// The kind of a sample's key.
#[inline]
pub(crate) fn kind_of(key: u32) -> SampleKind {
    if key & KEY_INTEGER != 0 {
        SampleKind::Integer
    } else if key & KEY_HISTOGRAM != 0 {
        SampleKind::Histogram
    } else {
        SampleKind::Float
    }
}

/// A series of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesBuffer {
    /// Newest block of the open buffer; meaningless while `length` is 0.
    pub(crate) handle: u32,
    /// The newest sealed chunk.
    pub(crate) chunk: u32,
    /// Largest offset so far.
    pub(crate) last_offset: u32,
    /// Samples in the open buffer.
    pub(crate) length: u8,
    /// Class of that block.
    pub(crate) class: u8,
    /// Length at which the buffer is sealed.
    pub(crate) seal_at: u8,
    /// True when a sample of the open buffer is not later than the one before.
    pub(crate) unordered: bool,
}

/// A sealed chunk: where its blobs are, and the chunk sealed before it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ChunkRecord {
    /// The chunk sealed before.
    pub(crate) previous: u32,
    /// Page of the blobs.
    pub(crate) page: u32,
    /// First byte in the page: timestamps, then values.
    pub(crate) start: u32,
    /// Bytes of the timestamps.
    pub(crate) timestamps_bytes: u16,
    /// Bytes of the values; histograms take more than 64 KiB at times.
    pub(crate) values_bytes: u32,
    /// Offset of the first sample in the window.
    pub(crate) first_offset: u32,
    /// Offset of the last one.
    pub(crate) last_offset: u32,
}

/// Compressed bytes of sealed chunks, in pages that never move once they are full.
#[derive(Debug, Default)]
pub(crate) struct BlobPages {
    pages: Vec<Vec<u8>>,
    bytes: u64,
}

/// Size of a full page.
const PAGE_BYTES: usize = 256 * 1024;

impl BlobPages {
    /// Stores `blob`; returns page and first byte.
    pub(crate) fn push(&mut self, blob: &[u8]) -> (u32, u32) {
        if self.pages.last().is_none_or(|page| page.len() + blob.len() > PAGE_BYTES) {
            self.pages.push(Vec::new());
        }
        let number = self.pages.len() - 1;
        let page = &mut self.pages[number];
        let (start, before) = (page.len(), page.capacity());
        page.extend_from_slice(blob);
        self.bytes += (page.capacity() - before) as u64;
        (number as u32, start as u32)
    }

    /// Timestamps and values of a chunk.
    pub(crate) fn chunk(&self, record: &ChunkRecord) -> (&[u8], &[u8]) {
        let start = record.start as usize;
        let middle = start + usize::from(record.timestamps_bytes);
        let page = &self.pages[record.page as usize];
        (&page[start..middle], &page[middle..middle + record.values_bytes as usize])
    }

    /// Bytes of all pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// One sample of a buffer that is being sealed.
#[derive(Clone, Copy, Debug)]
struct Loaded {
    key: u32,
    bits: u64,
    start_ms: i64,
}

/// Reusable memory for sealing.
pub(crate) struct SealScratch {
    samples: Vec<Loaded>,
    histograms: Vec<Arc<Histogram>>,
    timestamps: Vec<i64>,
    bits: Vec<u64>,
    blob: Vec<u8>,
    starts: Vec<u8>,
    timestamps_encoder: TimestampsEncoder,
    values_encoder: ValuesEncoder,
    histograms_encoder: HistogramsEncoder,
}

impl Default for SealScratch {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            histograms: Vec::new(),
            timestamps: Vec::new(),
            bits: Vec::new(),
            blob: Vec::new(),
            starts: Vec::new(),
            timestamps_encoder: TimestampsEncoder::new(Effort::Fast),
            values_encoder: ValuesEncoder::new(Effort::Fast),
            histograms_encoder: HistogramsEncoder::new(Effort::Fast),
        }
    }
}

impl std::fmt::Debug for SealScratch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SealScratch").finish_non_exhaustive()
    }
}

impl SealScratch {
    /// Forgets what was loaded last.
    pub(crate) fn clear(&mut self) {
        self.samples.clear();
        self.histograms.clear();
    }

    /// Loads one sample of a buffer: its key and bits, and its start timestamp.
    pub(crate) fn load(&mut self, key: u32, bits: u64, start_ms: i64) {
        self.samples.push(Loaded { key, bits, start_ms });
    }

    /// Loads one sample that is a histogram. Of one that was not written in order nothing is known
    /// of resets, since what it was compared with is not what comes before it.
    pub(crate) fn load_histogram(&mut self, key: u32, bytes: &[u8], start_ms: i64, in_order: bool) {
        // What was admitted was encoded here or checked by the log, so it decodes.
        let mut histogram = histogram::decode(bytes).unwrap_or_default();
        if !in_order && histogram.reset_hint != ResetHint::Gauge {
            histogram.reset_hint = ResetHint::Unknown;
        }
        self.load(key, self.histograms.len() as u64, start_ms);
        self.histograms.push(Arc::new(histogram));
    }

    /// Encodes what was loaded into chunks of one kind each, and hands each with its first and
    /// last offset to `store`.
    pub(crate) fn seal(
        &mut self,
        window_ms: i64,
        unordered: bool,
        mut store: impl FnMut(SealedChunk<'_>),
    ) {
        if unordered {
            self.sort();
        }
        let mut done = 0;
        while let Some(first) = self.samples.get(done) {
            let kind = kind_of(first.key);
            let count = self.run_length(done, kind);
            let run = &self.samples[done..done + count];
            self.timestamps.clear();
            self.bits.clear();
            let at = |sample: &Loaded| window_ms + i64::from(offset_of(sample.key));
            self.timestamps.extend(run.iter().map(at));
            self.bits.extend(run.iter().map(|sample| sample.bits));
            self.blob.clear();
            self.timestamps_encoder.encode(&self.timestamps, &mut self.blob);
            let timestamps_bytes = self.blob.len();
            if kind == SampleKind::Histogram {
                let at = |bits: &u64| self.histograms[*bits as usize].clone();
                let run: Vec<Arc<Histogram>> = self.bits.iter().map(at).collect();
                self.histograms_encoder.encode(&run, &mut self.blob);
            } else {
                self.values_encoder.encode(kind, &self.bits, &mut self.blob);
            }
            if run.iter().any(|sample| sample.start_ms != 0) {
                self.bits.clear();
                self.bits.extend(run.iter().map(|sample| sample.start_ms as u64));
                self.starts.clear();
                self.values_encoder.encode(SampleKind::Integer, &self.bits, &mut self.starts);
                put_starts(count, &self.starts, timestamps_bytes, &mut self.blob);
            }
            store(SealedChunk {
                blob: &self.blob,
                timestamps_bytes,
                first_offset: offset_of(run[0].key),
                last_offset: offset_of(run[count - 1].key),
            });
            done += count;
        }
    }

    /// How many of the samples from `from` on go into one chunk.
    fn run_length(&self, from: usize, kind: SampleKind) -> usize {
        let run = self.samples[from..].iter().take_while(|sample| kind_of(sample.key) == kind);
        if kind != SampleKind::Histogram {
            return run.count();
        }
        let histograms = run.map(|sample| &*self.histograms[sample.bits as usize]);
        HistogramsEncoder::fitting(histograms, usize::MAX)
    }

    /// Ascending by offset; of one offset the last written stays.
    fn sort(&mut self) {
        let offset = |sample: &Loaded| offset_of(sample.key);
        self.samples.sort_by_key(offset);
        let mut kept = 0;
        for index in 0..self.samples.len() {
            let sample = self.samples[index];
            if kept > 0 && offset(&self.samples[kept - 1]) == offset(&sample) {
                self.samples[kept - 1] = sample;
            } else {
                self.samples[kept] = sample;
                kept += 1;
            }
        }
        self.samples.truncate(kept);
    }
}

/// A chunk on its way into the partition.
#[derive(Debug)]
pub(crate) struct SealedChunk<'a> {
    /// Timestamps, then values.
    pub(crate) blob: &'a [u8],
    /// Bytes of the timestamps.
    pub(crate) timestamps_bytes: usize,
    /// Offset of the first sample.
    pub(crate) first_offset: u32,
    /// Offset of the last one.
    pub(crate) last_offset: u32,
}
