//! Reading a partition: the samples of one series, and what is brought near before that.

use index::SeriesId;
use model::{APPROACHED_SERIES, SampleKind, TimeRange};

use super::PartitionData;
use crate::collect::Collector;
use crate::error::StorageError;
use crate::head::arena::CLASSES;
use crate::head::series::{NO_CHUNK, SeriesBuffer, kind_of, offset_of};

/// Chunks of a series that are brought near.
const CHUNKS_APPROACHED: usize = 3;

/// A series that is being brought near: the block of its buffer and the chunk that were reached.
#[derive(Clone, Copy)]
struct Ahead {
    handle: u32,
    chunk: u32,
    class: u8,
    length: u8,
}

impl PartitionData {
    /// Hands the samples of a series in `range` to `out`, oldest write first.
    pub(crate) fn collect(
        &self,
        id: SeriesId,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        let Some(place) = self.slots.get(id) else {
            return Ok(());
        };
        let series = &self.series[place as usize];
        if series.chunk != NO_CHUNK {
            self.collect_chunks(series.chunk, range, out)?;
        }
        if series.length > 0 {
            self.collect_buffer(place as usize, series, range, out);
        }
        Ok(())
    }

    fn collect_buffer(
        &self,
        place: usize,
        series: &SeriesBuffer,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) {
        let count = usize::from(series.length);
        let at = |key: u32| self.start_ms + i64::from(offset_of(key));
        let runs = self.starts.get(place);
        let is_plain = runs.is_none() && self.histograms.is_empty();
        if is_plain && !series.unordered && out.takes_floats() {
            let is_old = |key: u32| at(key) < range.start_ms;
            let buffer = self.arena.buffer_since(series.class, series.handle, count, is_old);
            out.push_ascending(|times, values| {
                buffer.each_block(count, |keys, bits| {
                    load_numbers(self.start_ms, keys, bits, times, values);
                });
            });
            return;
        }
        let buffer = self.arena.buffer(series.class, series.handle);
        if is_plain {
            buffer.each(count, |_, key, bits| out.push(at(key), kind_of(key), bits));
            return;
        }
        buffer.each(count, |index, key, bits| {
            match kind_of(key) {
                SampleKind::Histogram => out.push_histogram(at(key), self.histograms.get(bits)),
                kind => out.push(at(key), kind, bits),
            }
            if let Some(runs) = runs {
                out.set_start(at(key), runs.at(index));
            }
        });
    }

    /// About how many of its newest samples a series has from `start_ms` on, if it is like most.
    fn samples_since(&self, start_ms: i64) -> usize {
        let Some(range) = self.time_range() else { return 0 };
        if start_ms <= range.start_ms {
            return usize::MAX;
        }
        let asked_ms = (range.end_ms - start_ms).max(0) as u64;
        let all_ms = (range.end_ms - range.start_ms).max(1) as u64;
        let samples =
            asked_ms.saturating_mul(self.samples) / all_ms.saturating_mul(self.series().max(1));
        samples as usize + 2
    }

    /// Brings near what [`Self::collect`] will look at of the samples of some series from `start_ms` on. What a
    /// series has is found by following places; each is followed for all of the series before the next one is, so
    /// that the memory of all is waited for at once. Without it a quarter of a scan is waiting.
    pub(crate) fn approach(&self, ids: impl Iterator<Item = SeriesId>, start_ms: i64) {
        let wanted = self.samples_since(start_ms);
        let mut found = [0; APPROACHED_SERIES];
        let mut count = 0;
        for (slot, place) in found.iter_mut().zip(ids.filter_map(|id| self.slots.get(id))) {
            chunk::prefetch(&self.series[place as usize]);
            *slot = place;
            count += 1;
        }
        let none = Ahead { handle: 0, chunk: NO_CHUNK, class: 0, length: 0 };
        let mut ahead = [none; APPROACHED_SERIES];
        let ahead = &mut ahead[..count];
        for (one, place) in ahead.iter_mut().zip(found) {
            let SeriesBuffer { handle, chunk, length, class, .. } = self.series[place as usize];
            let chunk = if wanted > usize::from(length) { chunk } else { NO_CHUNK };
            *one = Ahead { handle, chunk, class, length };
            self.chunks.get(chunk as usize).into_iter().for_each(chunk::prefetch);
            if length > 0 {
                self.arena.approach(class, handle, length.into(), wanted);
            }
        }
        self.approach_buffers(ahead, wanted);
        self.approach_chunks(ahead);
    }

    /// Follows the blocks of buffers whose newest ones are near.
    fn approach_buffers(&self, ahead: &mut [Ahead], wanted: usize) {
        for _ in 1..CLASSES {
            let mut is_over = true;
            for one in ahead.iter_mut() {
                let length = usize::from(one.length);
                if let Some(before) = self.arena.before(one.class, one.handle, length, wanted) {
                    (one.class, one.handle) = (one.class - 1, before);
                    self.arena.approach(one.class, before, length, wanted);
                    is_over = false;
                }
            }
            if is_over {
                return;
            }
        }
    }

    /// Follows the chunks of series whose newest ones are near.
    fn approach_chunks(&self, ahead: &mut [Ahead]) {
        for _ in 0..CHUNKS_APPROACHED {
            for one in ahead.iter_mut() {
                let Some(record) = self.chunks.get(one.chunk as usize) else { continue };
                let (timestamps, values) = self.blobs.chunk(record);
                chunk::prefetch(timestamps);
                chunk::prefetch(values);
                one.chunk = record.previous;
                self.chunks.get(one.chunk as usize).into_iter().for_each(chunk::prefetch);
            }
        }
    }

    fn collect_chunks(
        &self,
        newest: u32,
        range: TimeRange,
        out: &mut Collector<'_>,
    ) -> Result<(), StorageError> {
        // The links run backwards; a window rarely has more than a dozen chunks of a series.
        let mut found: Vec<u32> = Vec::with_capacity(16);
        let mut next = newest;
        while let Some(record) = self.chunks.get(next as usize) {
            let at = |offset: u32| self.start_ms + i64::from(offset);
            if TimeRange::new(at(record.first_offset), at(record.last_offset)).overlaps(&range) {
                found.push(next);
            }
            next = record.previous;
        }
        for index in found.into_iter().rev() {
            let record = &self.chunks[index as usize];
            let (timestamps, values) = self.blobs.chunk(record);
            out.push_chunk(timestamps, values).map_err(|error| {
                let place = format!("head partition at {} ms", self.start_ms);
                StorageError::corrupt(place, u64::from(index), "a chunk", error.to_string())
            })?;
        }
        Ok(())
    }
}
/// Appends the numbers with these keys, two in a word, and value bits.
#[inline]
fn load_numbers(
    start_ms: i64,
    keys: &[u64],
    bits: &[u64],
    times: &mut Vec<i64>,
    values: &mut Vec<f64>,
) {
    let start = times.len();
    times.resize(start + keys.len() * 2, 0);
    let mut kinds = 0;
    for (pair, word) in times[start..].chunks_exact_mut(2).zip(keys) {
        let halves = [*word as u32, (word >> 32) as u32];
        pair.copy_from_slice(&halves.map(|key| start_ms + i64::from(offset_of(key))));
        kinds |= word;
    }
    times.truncate(start + bits.len());
    if kind_of(kinds as u32 | (kinds >> 32) as u32) == SampleKind::Float {
        values.extend(bits.iter().map(|bits| f64::from_bits(*bits)));
    } else {
        let keys = keys.iter().flat_map(|word| [*word as u32, (word >> 32) as u32]);
        values.extend(keys.zip(bits).map(|(key, bits)| kind_of(key).to_f64(*bits)));
    }
}
