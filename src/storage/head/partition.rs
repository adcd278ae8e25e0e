//! One open window of time: the samples of the head whose timestamps lie in it.
//!
//! Invariants: only the committer appends, and only until it has frozen the partition; a reader
//! takes the lock once per series, for as long as decoding that series takes. A window may have
//! several partitions, frozen ones and at most one that grows: the older one's writes are older.

mod read;

use index::SeriesId;
use model::{SampleKind, TimeRange};
use parking_lot::{RwLock, RwLockReadGuard, RwLockWriteGuard};
use roaring::RoaringBitmap;

use crate::head::arena::{Arena, CAPACITY_MAX, capacity};
use crate::head::histograms::{OpenHistograms, StartRuns, with_hint};
use crate::head::series::{
    BlobPages, ChunkRecord, NO_CHUNK, SealScratch, SeriesBuffer, key_of, kind_of, offset_of,
};
use crate::head::slots::Slots;
use crate::wal::writer::WalPosition;

/// The first seal of a series comes after 60..120 samples, by its id, so that a thousand series
/// of one scrape do not all seal in the same one.
const SEAL_SPREAD: u32 = 60;

/// A window of the head.
#[derive(Debug)]
pub(crate) struct Partition {
    start_ms: i64,
    length_ms: i64,
    first_position: WalPosition,
    data: RwLock<PartitionData>,
}

/// What a partition holds.
#[derive(Debug, Default)]
pub(crate) struct PartitionData {
    start_ms: i64,
    slots: Slots,
    ids: Vec<u32>,
    series: Vec<SeriesBuffer>,
    arena: Arena,
    chunks: Vec<ChunkRecord>,
    blobs: BlobPages,
    histograms: OpenHistograms,
    /// Start timestamps of the open buffers, by the place of the series; empty while there are none.
    starts: Vec<StartRuns>,
    samples: u64,
    /// Smallest and largest offset.
    bounds: Option<(u32, u32)>,
}

impl Partition {
    /// An empty partition of the window that begins at `start_ms`; `first_position` is where the
    /// log has the group that opens it.
    pub(crate) fn new(start_ms: i64, length_ms: i64, first_position: WalPosition) -> Self {
        let data = PartitionData { start_ms, ..PartitionData::default() };
        Self { start_ms, length_ms, first_position, data: RwLock::new(data) }
    }

    /// First instant of the window.
    pub(crate) fn start_ms(&self) -> i64 {
        self.start_ms
    }

    /// The window.
    pub(crate) fn window(&self) -> TimeRange {
        TimeRange::new(self.start_ms, self.start_ms + (self.length_ms - 1))
    }

    /// Where the log has this partition's oldest sample.
    pub(crate) fn first_position(&self) -> WalPosition {
        self.first_position
    }

    /// Locks for reading.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, PartitionData> {
        self.data.read()
    }

    /// Locks for writing: the committer's alone.
    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, PartitionData> {
        self.data.write()
    }
}

impl PartitionData {
    /// Samples appended.
    pub(crate) fn samples(&self) -> u64 {
        self.samples
    }

    /// Series that have samples here.
    pub(crate) fn series(&self) -> u64 {
        self.ids.len() as u64
    }

    /// Sealed chunks and open buffers.
    pub(crate) fn chunks(&self) -> u64 {
        (self.chunks.len() + self.series.len()) as u64
    }

    /// Estimated bytes of memory.
    pub(crate) fn bytes(&self) -> u64 {
        self.slots.bytes()
            + self.ids.capacity() as u64 * 4
            + (self.series.capacity() * size_of::<SeriesBuffer>()) as u64
            + (self.chunks.capacity() * size_of::<ChunkRecord>()) as u64
            + self.arena.bytes()
            + self.blobs.bytes()
            + self.histograms.bytes_peak()
            + (self.starts.capacity() * size_of::<StartRuns>()) as u64
    }

    /// From the earliest to the latest sample.
    pub(crate) fn time_range(&self) -> Option<TimeRange> {
        let (first, last) = self.bounds?;
        let at = |offset: u32| self.start_ms + i64::from(offset);
        Some(TimeRange::new(at(first), at(last)))
    }

    /// True when the series has a sample here.
    #[inline]
    pub(crate) fn contains(&self, id: SeriesId) -> bool {
        self.slots.get(id).is_some()
    }

    /// The ids of all series.
    pub(crate) fn ids(&self) -> RoaringBitmap {
        self.ids.iter().copied().collect()
    }

    /// Appends a number whose timestamp lies in the window.
    #[inline]
    pub(crate) fn append(
        &mut self,
        id: SeriesId,
        ts: i64,
        kind: SampleKind,
        bits: u64,
        start_ms: i64,
        scratch: &mut SealScratch,
    ) {
        let place = self.place_of(id);
        let offset = (ts - self.start_ms) as u32;
        self.put(place, key_of(offset, kind), bits, start_ms, scratch);
    }

    /// Appends a histogram, as its bytes, whose timestamp lies in the window.
    pub(crate) fn append_histogram(
        &mut self,
        id: SeriesId,
        ts: i64,
        bytes: &[u8],
        start_ms: i64,
        scratch: &mut SealScratch,
    ) {
        let place = self.place_of(id);
        let offset = (ts - self.start_ms) as u32;
        let bytes = with_hint(bytes, self.histogram_before(place, offset));
        let bits = self.histograms.insert(bytes);
        self.put(place, key_of(offset, SampleKind::Histogram), bits, start_ms, scratch);
    }

    #[inline]
    fn place_of(&mut self, id: SeriesId) -> usize {
        match self.slots.get(id) {
            Some(place) => place as usize,
            None => self.create(id),
        }
    }

    #[inline]
    fn put(&mut self, place: usize, key: u32, bits: u64, start_ms: i64, scratch: &mut SealScratch) {
        let offset = offset_of(key);
        self.note(offset);
        let series = self.series[place];
        let length = usize::from(series.length);
        let is_new = length == 0 && series.chunk == NO_CHUNK;
        if !is_new && offset == series.last_offset && length > 0 && !series.unordered {
            // A repeated instant right behind itself, the usual duplicate: the later write wins.
            self.release_histogram(&series, length - 1);
            self.arena.set(series.class, series.handle, length - 1, key, bits);
            self.note_start(place, length - 1, start_ms);
            return;
        }
        let in_order = is_new || offset > series.last_offset;
        self.make_room(place);
        let series = &mut self.series[place];
        self.arena.set(series.class, series.handle, length, key, bits);
        series.length += 1;
        series.last_offset = series.last_offset.max(offset);
        series.unordered |= !in_order;
        let is_full = series.length >= series.seal_at;
        self.samples += 1;
        self.note_start(place, length, start_ms);
        if is_full {
            self.seal(place, scratch);
        }
    }

    /// Keeps the start timestamp of the sample at `index` of the open buffer of `place`.
    #[inline]
    fn note_start(&mut self, place: usize, index: usize, start_ms: i64) {
        if start_ms == 0 && self.starts.len() <= place {
            return;
        }
        if self.starts.len() <= place {
            self.starts.resize(place + 1, StartRuns::default());
        }
        self.starts[place].note(index, start_ms);
    }

    /// Frees the histogram at `index`, the last sample of an open buffer, if one is there.
    #[inline]
    fn release_histogram(&mut self, series: &SeriesBuffer, index: usize) {
        if self.histograms.is_empty() {
            return;
        }
        let (key, bits) = self.arena.newest(series.class, series.handle, index);
        if kind_of(key) == SampleKind::Histogram {
            self.histograms.take(bits);
        }
    }

    /// The histogram that comes right before a new sample at `offset`, if the sample is the latest
    /// and that is what comes before it.
    fn histogram_before(&self, place: usize, offset: u32) -> Option<&[u8]> {
        let series = &self.series[place];
        if offset <= series.last_offset || series.unordered {
            return None;
        }
        if series.length == 0 {
            return self.histograms.last_sealed(place as u32);
        }
        let last = usize::from(series.length) - 1;
        let (key, bits) = self.arena.newest(series.class, series.handle, last);
        (kind_of(key) == SampleKind::Histogram).then(|| self.histograms.get(bits))
    }

    fn note(&mut self, offset: u32) {
        let (first, last) = self.bounds.unwrap_or((offset, offset));
        self.bounds = Some((first.min(offset), last.max(offset)));
    }

    #[cold]
    fn create(&mut self, id: SeriesId) -> usize {
        let place = self.series.len();
        self.slots.insert(id, place as u32);
        self.ids.push(id.0);
        self.series.push(SeriesBuffer {
            handle: 0,
            chunk: NO_CHUNK,
            last_offset: 0,
            length: 0,
            class: 0,
            seal_at: (CAPACITY_MAX as u32 - id.0 % SEAL_SPREAD) as u8,
            unordered: false,
        });
        place
    }

    /// Makes sure that the open buffer of `place` takes one more sample.
    fn make_room(&mut self, place: usize) {
        let series = &mut self.series[place];
        let length = usize::from(series.length);
        if length == 0 {
            series.class = 0;
            series.handle = self.arena.allocate();
        } else if length == capacity(series.class) {
            series.handle = self.arena.grow(series.class, series.handle);
            series.class += 1;
        }
    }

    /// Turns the open buffer of `place` into chunks.
    fn seal(&mut self, place: usize, scratch: &mut SealScratch) {
        scratch.clear();
        self.load_buffer(place, scratch);
        let Self { start_ms, series, arena, chunks, blobs, .. } = self;
        let series = &mut series[place];
        scratch.seal(*start_ms, series.unordered, |chunk| {
            let (page, start) = blobs.push(chunk.blob);
            let values_bytes = chunk.blob.len() - chunk.timestamps_bytes;
            chunks.push(ChunkRecord {
                previous: series.chunk,
                page,
                start,
                timestamps_bytes: chunk.timestamps_bytes as u16,
                values_bytes: values_bytes as u32,
                first_offset: chunk.first_offset,
                last_offset: chunk.last_offset,
            });
            series.chunk = chunks.len() as u32 - 1;
        });
        arena.release(series.class, series.handle);
        series.length = 0;
        series.unordered = false;
        series.seal_at = CAPACITY_MAX as u8;
    }

    /// Moves what the open buffer of `place` holds into `scratch`.
    fn load_buffer(&mut self, place: usize, scratch: &mut SealScratch) {
        let Self { series, arena, histograms, starts, .. } = self;
        let series = &series[place];
        let buffer = arena.buffer(series.class, series.handle);
        let runs = starts.get_mut(place);
        let mut last = None;
        buffer.each(usize::from(series.length), |index, key, bits| {
            let start_ms = runs.as_ref().map_or(0, |runs| runs.at(index));
            last = None;
            if kind_of(key) == SampleKind::Histogram {
                let bytes = histograms.take(bits);
                scratch.load_histogram(key, &bytes, start_ms, !series.unordered);
                last = (!series.unordered).then_some(bytes);
            } else {
                scratch.load(key, bits, start_ms);
            }
        });
        if let Some(runs) = runs {
            runs.clear();
        }
        if !histograms.is_empty() {
            histograms.note_sealed(place as u32, last);
        }
    }
}
