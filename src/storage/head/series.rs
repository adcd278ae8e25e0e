//! One series inside a partition: an open append buffer and the chunks sealed from it.
//!
//! Invariants: chunks are linked newest first and are in the order in which they were sealed, so
//! whoever reads them oldest first and the open buffer last meets the writes of one instant in
//! their order. A chunk is ascending, unique and of one kind.

use chunk::{Effort, TimestampsEncoder, ValuesEncoder};
use model::SampleKind;

/// No chunk.
pub(crate) const NO_CHUNK: u32 = u32::MAX;
/// Set in a sample's key when its value is an integer; below it is the offset in the window.
pub(crate) const KEY_INTEGER: u32 = 1 << 31;

/// A series of a partition.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SeriesBuffer {
    /// Slot of the open buffer; meaningless while `length` is 0.
    pub(crate) handle: u32,
    /// The newest sealed chunk.
    pub(crate) chunk: u32,
    /// Largest offset so far.
    pub(crate) last_offset: u32,
    /// Samples in the open buffer.
    pub(crate) length: u8,
    /// Size class of the open buffer.
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
    /// Bytes of the values.
    pub(crate) values_bytes: u16,
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
        (&page[start..middle], &page[middle..middle + usize::from(record.values_bytes)])
    }

    /// Bytes of all pages.
    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }
}

/// Reusable memory for sealing.
pub(crate) struct SealScratch {
    samples: Vec<(u32, u64)>,
    timestamps: Vec<i64>,
    bits: Vec<u64>,
    blob: Vec<u8>,
    timestamps_encoder: TimestampsEncoder,
    values_encoder: ValuesEncoder,
}

impl Default for SealScratch {
    fn default() -> Self {
        Self {
            samples: Vec::new(),
            timestamps: Vec::new(),
            bits: Vec::new(),
            blob: Vec::new(),
            timestamps_encoder: TimestampsEncoder::new(Effort::Fast),
            values_encoder: ValuesEncoder::new(Effort::Fast),
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
    }

    /// Loads one sample of a buffer: its key and bits.
    pub(crate) fn load(&mut self, key: u32, bits: u64) {
        self.samples.push((key, bits));
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
        let mut rest = &self.samples[..];
        while let Some((first, _)) = rest.first() {
            let integer = first & KEY_INTEGER;
            let count = rest.iter().take_while(|(key, _)| key & KEY_INTEGER == integer).count();
            let (run, behind) = rest.split_at(count);
            rest = behind;
            self.timestamps.clear();
            self.bits.clear();
            let offset = |key: u32| key & !KEY_INTEGER;
            self.timestamps.extend(run.iter().map(|(key, _)| window_ms + i64::from(offset(*key))));
            self.bits.extend(run.iter().map(|(_, bits)| *bits));
            let kind = if integer == 0 { SampleKind::Float } else { SampleKind::Integer };
            self.blob.clear();
            self.timestamps_encoder.encode(&self.timestamps, &mut self.blob);
            let timestamps_bytes = self.blob.len();
            self.values_encoder.encode(kind, &self.bits, &mut self.blob);
            store(SealedChunk {
                blob: &self.blob,
                timestamps_bytes,
                first_offset: offset(run[0].0),
                last_offset: offset(run[count - 1].0),
            });
        }
    }

    /// Ascending by offset; of one offset the last written stays.
    fn sort(&mut self) {
        let offset = |sample: &(u32, u64)| sample.0 & !KEY_INTEGER;
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
