//! Merges the pieces of one series, oldest writes first, into ascending unique samples.
//!
//! Invariant: of several samples at one instant the one that was pushed last stays. Pieces that
//! follow each other in time, nearly all of them, are appended as they are; only when one reaches
//! back is the whole sorted, once, at the end, and then nothing is known of counter resets.

use std::sync::Arc;

use chunk::{
    ChunkError, HistogramsEncoder, OpenedValues, Values, ValuesBlob, decode_floats,
    decode_histograms, decode_summaries, decode_timestamps, decode_values, open_values,
};
use model::{
    Hints, Histogram, ResetHint, STALE_NAN_BITS, SampleKind, Samples, TimeRange, histogram,
};

/// Which optional columns a reader wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Wanted {
    /// Exact integers.
    pub(crate) integers: bool,
    /// Native histograms; without them their samples are left out.
    pub(crate) histograms: bool,
    /// Start timestamps.
    pub(crate) starts: bool,
    /// See [`Hints::samples_max`]; never 0.
    pub(crate) samples_max: u64,
}

impl Wanted {
    /// Everything there is: for flushes and merges.
    pub(crate) const ALL: Self =
        Self { integers: true, histograms: true, starts: true, samples_max: u64::MAX };

    /// What a query asks for.
    pub(crate) fn of(hints: &Hints) -> Self {
        let Hints { integers, histograms, starts, samples_max, .. } = *hints;
        let samples_max = if samples_max == 0 { u64::MAX } else { samples_max };
        Self { integers, histograms, starts, samples_max }
    }
}

/// Collects the samples of one series inside a range.
#[derive(Debug)]
pub(crate) struct Collector<'a> {
    out: &'a mut Samples,
    range: TimeRange,
    wanted: Wanted,
    ordered: bool,
    /// What the histograms weigh beyond a sample each.
    weight: usize,
    scratch: Values,
}

impl<'a> Collector<'a> {
    /// Starts over with an empty `out`.
    pub(crate) fn new(out: &'a mut Samples, range: TimeRange, wanted: Wanted) -> Self {
        out.clear();
        Self { out, range, wanted, ordered: true, weight: 0, scratch: Values::default() }
    }

    /// True when there is more than the reader has room for; what comes behind may be left out.
    #[inline]
    pub(crate) fn is_over(&self) -> bool {
        (self.out.len() + self.weight) as u64 > self.wanted.samples_max
    }

    /// Adds a number.
    #[inline]
    pub(crate) fn push(&mut self, ts: i64, kind: SampleKind, bits: u64) {
        if !self.range.contains(ts) {
            return;
        }
        self.ordered &= self.out.timestamps.last().is_none_or(|last| *last < ts);
        if self.wanted.integers {
            self.out.push(ts, kind, bits);
        } else if self.out.histograms.is_empty() && self.out.starts.is_empty() {
            self.out.timestamps.push(ts);
            self.out.values.push(kind.to_f64(bits));
        } else {
            self.out.push(ts, SampleKind::Float, kind.to_f64(bits).to_bits());
        }
    }

    /// True while all that is kept of a number is its time and its value as a float.
    #[inline]
    pub(crate) fn takes_floats(&self) -> bool {
        let Samples { integers, histograms, starts, summaries, .. } = &*self.out;
        !self.wanted.integers
            && integers.is_empty()
            && histograms.is_empty()
            && starts.is_empty()
            && summaries.is_empty()
    }

    /// Adds numbers, which `load` appends to times and values; their times ascend. Only where floats are
    /// all that is kept.
    #[inline]
    pub(crate) fn push_ascending(&mut self, load: impl FnOnce(&mut Vec<i64>, &mut Vec<f64>)) {
        let start = self.out.len();
        load(&mut self.out.timestamps, &mut self.out.values);
        let (begin, end) = self.inside(start);
        self.trim(start, start + begin..start + end);
        self.join(start);
    }

    /// Adds a histogram, as its bytes.
    pub(crate) fn push_histogram(&mut self, ts: i64, bytes: &[u8]) {
        if !self.wanted.histograms || !self.range.contains(ts) || self.is_over() {
            return;
        }
        self.ordered &= self.out.timestamps.last().is_none_or(|last| *last < ts);
        // What is in the head was encoded here or checked by the log, so it decodes.
        let histogram = histogram::decode(bytes).unwrap_or_default();
        self.weight += histogram.weight();
        self.out.push_histogram(ts, Arc::new(histogram));
    }

    /// Says when the counting of the sample just pushed at `ts` began.
    pub(crate) fn set_start(&mut self, ts: i64, start_ms: i64) {
        if self.wanted.starts && self.out.timestamps.last() == Some(&ts) {
            self.out.set_start(start_ms);
        }
    }

    /// Adds a chunk.
    pub(crate) fn push_chunk(
        &mut self,
        timestamps: &[u8],
        values: &[u8],
    ) -> Result<(), ChunkError> {
        if self.is_over() {
            return Ok(());
        }
        let start = self.out.len();
        let opened = open_values(values)?;
        if matches!(opened.values, ValuesBlob::Histograms(_)) && !self.wanted.histograms {
            return Ok(());
        }
        let result = self.decode(timestamps, opened, start);
        if result.is_err() {
            self.truncate(start);
        }
        result
    }

    fn decode(
        &mut self,
        timestamps: &[u8],
        opened: OpenedValues<'_>,
        start: usize,
    ) -> Result<(), ChunkError> {
        decode_timestamps(timestamps, &mut self.out.timestamps)?;
        let (begin, end) = self.inside(start);
        match opened.values {
            ValuesBlob::Numbers(blob) if self.wanted.integers => self.decode_exact(blob)?,
            ValuesBlob::Numbers(blob) => decode_floats(blob, &mut self.out.values)?,
            ValuesBlob::Histograms(blob) => self.decode_histograms(blob, start, begin..end)?,
            ValuesBlob::Summaries(blob) => self.decode_summaries(blob, start)?,
        }
        if self.out.values.len() != self.out.timestamps.len() {
            return Err(ChunkError::Malformed { what: "number of values" });
        }
        if !self.out.histograms.is_empty() {
            self.out.histograms.resize(self.out.values.len(), None);
        }
        self.decode_starts(opened.starts, start)?;
        self.trim(start, start + begin..start + end);
        self.join(start);
        Ok(())
    }

    /// Which of the ascending samples from `start` on lie in the range.
    #[inline]
    fn inside(&self, start: usize) -> (usize, usize) {
        let added = &self.out.timestamps[start..];
        if let [first, .., last] = added
            && self.range.contains(*first)
            && self.range.contains(*last)
        {
            return (0, added.len());
        }
        let begin = added.partition_point(|ts| *ts < self.range.start_ms);
        let end = added.partition_point(|ts| *ts <= self.range.end_ms).max(begin);
        (begin, end)
    }

    /// Notes whether the samples from `start` on are later than those before.
    #[inline]
    fn join(&mut self, start: usize) {
        if start > 0 && start < self.out.len() {
            self.ordered &= self.out.timestamps[start - 1] < self.out.timestamps[start];
        }
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

    /// Decodes the histograms of a chunk that lie in the range; the others are left out, since
    /// they will be cut off.
    fn decode_histograms(
        &mut self,
        blob: &[u8],
        start: usize,
        inside: std::ops::Range<usize>,
    ) -> Result<(), ChunkError> {
        let Samples { timestamps, values, integers, histograms, .. } = &mut *self.out;
        histograms.resize(start + inside.start, None);
        if !inside.is_empty() {
            decode_histograms(blob, inside.clone(), histograms)?;
            if histograms.len() != start + inside.end {
                return Err(ChunkError::Malformed { what: "number of histograms" });
            }
            self.weight += histogram::weight(&histograms[start + inside.start..]);
        }
        histograms.resize(timestamps.len(), None);
        values.resize(timestamps.len(), f64::from_bits(STALE_NAN_BITS));
        if !integers.is_empty() {
            integers.resize(timestamps.len(), None);
        }
        Ok(())
    }

    /// Decodes the summaries of a chunk. They stand in blocks of their own, so all samples before
    /// have one, too.
    fn decode_summaries(&mut self, blob: &[u8], start: usize) -> Result<(), ChunkError> {
        let Samples { timestamps, values, summaries, .. } = &mut *self.out;
        decode_summaries(blob, &timestamps[start..], summaries)?;
        if summaries.len() != timestamps.len() {
            return Err(ChunkError::Malformed { what: "summaries among samples" });
        }
        values.extend(summaries[start..].iter().map(|summary| summary.last));
        Ok(())
    }

    fn decode_starts(&mut self, starts: Option<&[u8]>, start: usize) -> Result<(), ChunkError> {
        if !self.wanted.starts || (starts.is_none() && self.out.starts.is_empty()) {
            return Ok(());
        }
        self.out.starts.resize(start, 0);
        if let Some(blob) = starts {
            self.scratch.bits.clear();
            decode_values(blob, &mut self.scratch)?;
            self.out.starts.extend(self.scratch.bits.iter().map(|bits| *bits as i64));
            if self.out.starts.len() != self.out.timestamps.len() {
                return Err(ChunkError::Malformed { what: "number of start timestamps" });
            }
        }
        self.out.starts.resize(self.out.timestamps.len(), 0);
        Ok(())
    }

    /// Cuts what was appended from `start` on to the samples `inside`.
    fn trim(&mut self, start: usize, inside: std::ops::Range<usize>) {
        self.truncate(inside.end);
        if inside.start > start {
            let cut = start..inside.start;
            let Samples { timestamps, values, integers, histograms, starts, summaries, .. } =
                &mut *self.out;
            timestamps.drain(cut.clone());
            values.drain(cut.clone());
            drain(integers, cut.clone());
            drain(histograms, cut.clone());
            drain(starts, cut.clone());
            drain(summaries, cut);
        }
    }

    /// Samples so far.
    pub(crate) fn len(&self) -> usize {
        self.out.len()
    }

    /// Takes away those at `start` and behind it that lie in `range`.
    pub(crate) fn remove(&mut self, start: usize, range: TimeRange) {
        let (mut kept, mut is_gone) = (start, false);
        for index in start..self.out.len() {
            if !range.contains(self.out.timestamps[index]) {
                // What the first one behind the gap was compared with is gone.
                let is_behind = is_gone;
                self.out.move_sample(index, kept);
                if let Some(Some(histogram)) = self.out.histograms.get_mut(kept)
                    && is_behind
                {
                    forget_resets(histogram);
                }
                (kept, is_gone) = (kept + 1, false);
            } else {
                is_gone = true;
            }
        }
        self.truncate(kept);
    }

    fn truncate(&mut self, length: usize) {
        let Samples { timestamps, values, integers, histograms, starts, summaries, .. } =
            &mut *self.out;
        summaries.truncate(length);
        timestamps.truncate(length);
        values.truncate(length);
        integers.truncate(length);
        histograms.truncate(length);
        starts.truncate(length);
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
        let Samples { timestamps, values, integers, histograms, starts, summaries, .. } = self.out;
        pick(timestamps, &kept);
        pick(values, &kept);
        pick(integers, &kept);
        pick(histograms, &kept);
        pick(starts, &kept);
        pick(summaries, &kept);
        for histogram in histograms.iter_mut().flatten() {
            forget_resets(histogram);
        }
    }
}

fn drain<T>(column: &mut Vec<T>, cut: std::ops::Range<usize>) {
    if !column.is_empty() {
        column.drain(cut);
    }
}

fn pick<T: Clone>(column: &mut Vec<T>, kept: &[usize]) {
    if !column.is_empty() {
        *column = kept.iter().map(|index| column[*index].clone()).collect();
    }
}

/// A histogram was compared with the one written before it, which need not be its neighbour.
fn forget_resets(histogram: &mut Arc<Histogram>) {
    if matches!(histogram.reset_hint, ResetHint::Reset | ResetHint::NotReset) {
        Arc::make_mut(histogram).reset_hint = ResetHint::Unknown;
    }
}

/// Most histograms of a chunk in a block: a reader of one instant decodes all of them.
const HISTOGRAMS_MAX: usize = 512;

/// Splits samples that were collected with everything into runs of one kind of at most `max`:
/// what a chunk can hold.
pub(crate) fn for_each_run(
    samples: &Samples,
    max: usize,
    mut visit: impl FnMut(SampleKind, std::ops::Range<usize>),
) {
    let kind_at = |index: usize| match (samples.integers.get(index), samples.histogram(index)) {
        (Some(Some(_)), _) => SampleKind::Integer,
        (_, Some(_)) => SampleKind::Histogram,
        _ => SampleKind::Float,
    };
    let is_plain = samples.integers.is_empty() && samples.histograms.is_empty();
    let mut start = 0;
    while start < samples.len() {
        let kind = kind_at(start);
        let mut end = start + 1;
        if is_plain {
            end = samples.len().min(start + max);
        } else if kind == SampleKind::Histogram {
            let run =
                samples.histograms[start..].iter().map_while(|histogram| histogram.as_deref());
            end = start + HistogramsEncoder::fitting(run, max.min(HISTOGRAMS_MAX));
        }
        while kind != SampleKind::Histogram
            && end < samples.len()
            && end - start < max
            && kind_at(end) == kind
        {
            end += 1;
        }
        visit(kind, start..end);
        start = end;
    }
}

/// The bits of the numbers of `samples` in `range`, which are all of `kind`.
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
        SampleKind::Histogram => {}
    }
}

/// The start timestamps of `samples` in `range`, as bits; false when they have none.
pub(crate) fn run_starts(
    samples: &Samples,
    range: std::ops::Range<usize>,
    out: &mut Vec<u64>,
) -> bool {
    let starts = samples.starts.get(range).unwrap_or_default();
    out.clear();
    out.extend(starts.iter().map(|start| *start as u64));
    starts.iter().any(|start| *start != 0)
}
