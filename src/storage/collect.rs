//! Merges the pieces of one series, oldest writes first, into ascending unique samples.
//!
//! Invariant: of several samples at one instant the one that was pushed last stays. Pieces that
//! follow each other in time, nearly all of them, are appended as they are; only when one reaches
//! back is the whole sorted, once, at the end.

use chunk::{ChunkError, Values, decode_floats, decode_timestamps, decode_values};
use model::{SampleKind, Samples, TimeRange};

/// Collects the samples of one series inside a range.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    out: &'a mut Samples,
    range: TimeRange,
    integers: bool,
    ordered: bool,
    scratch: Values,
}

impl<'a> Collector<'a> {
    /// Starts over with an empty `out`. Without `integers` their exact values are not kept.
    pub(crate) fn new(out: &'a mut Samples, range: TimeRange, integers: bool) -> Self {
        out.clear();
        Self { out, range, integers, ordered: true, scratch: Values::default() }
    }

    /// Adds one sample.
    #[inline]
    pub(crate) fn push(&mut self, ts: i64, kind: SampleKind, bits: u64) {
        if !self.range.contains(ts) {
            return;
        }
        self.ordered &= self.out.timestamps.last().is_none_or(|last| *last < ts);
        if self.integers {
            self.out.push(ts, kind, bits);
        } else {
            self.out.timestamps.push(ts);
            self.out.values.push(kind.to_f64(bits));
        }
    }

    /// Adds a chunk.
    pub(crate) fn push_chunk(
        &mut self,
        timestamps: &[u8],
        values: &[u8],
    ) -> Result<(), ChunkError> {
        let start = self.out.len();
        let result = self.decode(timestamps, values, start);
        if result.is_err() {
            self.truncate(start);
        }
        result
    }

    fn decode(&mut self, timestamps: &[u8], values: &[u8], start: usize) -> Result<(), ChunkError> {
        decode_timestamps(timestamps, &mut self.out.timestamps)?;
        if self.integers {
            self.decode_exact(values)?;
        } else {
            decode_floats(values, &mut self.out.values)?;
        }
        if self.out.values.len() != self.out.timestamps.len() {
            return Err(ChunkError::Malformed { what: "number of values" });
        }
        self.trim(start);
        if start > 0 && start < self.out.len() {
            self.ordered &= self.out.timestamps[start - 1] < self.out.timestamps[start];
        }
        Ok(())
    }

    fn decode_exact(&mut self, values: &[u8]) -> Result<(), ChunkError> {
        self.scratch.bits.clear();
        let kind = decode_values(values, &mut self.scratch)?;
        let bits = &self.scratch.bits;
        if kind == SampleKind::Integer && self.out.integers.is_empty() {
            self.out.integers.resize(self.out.values.len(), None);
        }
        if kind == SampleKind::Integer {
            self.out.integers.extend(bits.iter().map(|bits| Some(*bits as i64)));
        } else if !self.out.integers.is_empty() {
            self.out.integers.resize(self.out.values.len() + bits.len(), None);
        }
        self.out.values.extend(bits.iter().map(|bits| kind.to_f64(*bits)));
        Ok(())
    }

    /// Cuts what was appended from `start` on to the range.
    fn trim(&mut self, start: usize) {
        let added = &self.out.timestamps[start..];
        let end = start + added.partition_point(|ts| *ts <= self.range.end_ms);
        let begin = start + added.partition_point(|ts| *ts < self.range.start_ms);
        self.truncate(end);
        if begin > start {
            let begin = begin.min(end);
            self.out.timestamps.drain(start..begin);
            self.out.values.drain(start..begin);
            if !self.out.integers.is_empty() {
                self.out.integers.drain(start..begin);
            }
        }
    }

    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes away those at `start` and behind it that lie in `range`.
    pub(crate) fn remove(&mut self, start: usize, range: TimeRange) {
        let mut kept = start;
        for index in start..self.out.len() {
            if !range.contains(self.out.timestamps[index]) {
                self.out.move_sample(index, kept);
                kept += 1;
            }
        }
        self.truncate(kept);
    }

    fn truncate(&mut self, length: usize) {
        self.out.timestamps.truncate(length);
        self.out.values.truncate(length);
        self.out.integers.truncate(length);
    }

    /// Makes the samples ascending and unique.
    pub(crate) fn finish(self) {
        if self.ordered {
            return;
        }
        let times = &self.out.timestamps;
        let mut order: Vec<usize> = (0..times.len()).collect();
        // Stable: of one instant the last pushed comes last, and only that one is kept.
        order.sort_by_key(|index| times[*index]);
        let mut kept: Vec<usize> = Vec::with_capacity(order.len());
        for index in order {
            match kept.last_mut() {
                Some(last) if times[*last] == times[index] => *last = index,
                _ => kept.push(index),
            }
        }
        let pick = |from: &[f64]| kept.iter().map(|index| from[*index]).collect();
        let values = pick(&self.out.values);
        let timestamps = kept.iter().map(|index| times[*index]).collect();
        if !self.out.integers.is_empty() {
            let from = &self.out.integers;
            self.out.integers = kept.iter().map(|index| from[*index]).collect();
        }
        self.out.values = values;
        self.out.timestamps = timestamps;
    }
}

/// Splits samples that were collected with their integers into runs of one kind of at most `max`:
/// what a chunk can hold.
pub(crate) fn for_each_run(
    samples: &Samples,
    max: usize,
    mut visit: impl FnMut(SampleKind, std::ops::Range<usize>),
) {
    let kind_at = |index: usize| match samples.integers.get(index) {
        Some(Some(_)) => SampleKind::Integer,
        _ => SampleKind::Float,
    };
    let mut start = 0;
    while start < samples.len() {
        let kind = kind_at(start);
        let mut end = start + 1;
        if samples.integers.is_empty() {
            end = samples.len().min(start + max);
        }
        while end < samples.len() && end - start < max && kind_at(end) == kind {
            end += 1;
        }
        visit(kind, start..end);
        start = end;
    }
}

/// The bits of `samples` in `range`, which are all of `kind`.
pub(crate) fn run_bits(
    samples: &Samples,
    kind: SampleKind,
    range: std::ops::Range<usize>,
    out: &mut Vec<u64>,
) {
    out.clear();
    match kind {
        SampleKind::Float => out.extend(samples.values[range].iter().map(|value| value.to_bits())),
        SampleKind::Integer => out.extend(
            samples.integers[range].iter().map(|integer| integer.unwrap_or_default() as u64),
        ),
    }
}
