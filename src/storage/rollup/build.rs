//! Makes a block of summaries: of samples, of older summaries, or of both.
//!
//! One function serves all three occasions (a range rolled up first, a dirty one made anew, several
//! joined): of every series the older summaries are kept where they are not dirty, and what they do
//! not cover is made from samples. A series that an older block does not have is not covered by it:
//! it may have held what summaries cannot say.

use std::sync::Arc;

use index::SeriesMerge;
use model::{LabelsRef, Samples, Summary, TimeRange, run_of, summarize};

use crate::block::chunks::Bookmark;
use crate::block::meta::BlockMeta;
use crate::block::reader::Block;
use crate::block::writer::{BlockWriter, NewBlock};
use crate::collect::{Collector, Wanted};
use crate::error::{StorageError, index_error};
use crate::layout::Layout;
use crate::object::io::ObjectIo;
use crate::options::EngineOptions;
use crate::retention::Retention;
use crate::rollup::policy::Choice;
use crate::rollup::ranges;
use crate::rollup::rules::rule_of;

/// What a block of summaries is made of.
pub(crate) struct Inputs<'a> {
    /// What to make.
    pub(crate) choice: &'a Choice,
    /// The older blocks of summaries, by time.
    pub(crate) old: &'a [Arc<Block>],
    /// Blocks of samples, those with older writes first.
    pub(crate) samples: &'a [Arc<Block>],
    /// The rules.
    pub(crate) options: &'a EngineOptions,
    /// Now.
    pub(crate) now_ms: i64,
}

/// Writes the block; `None` when no series is left.
pub(crate) fn build(
    io: &Arc<ObjectIo>,
    layout: &Layout,
    new: NewBlock,
    inputs: &Inputs<'_>,
) -> Result<Option<BlockMeta>, StorageError> {
    let failed = |error| index_error("the blocks to roll up", error);
    let mut cursors = Vec::new();
    for block in inputs.old.iter().chain(inputs.samples) {
        cursors.push(block.cursor()?);
    }
    let mut merge = SeriesMerge::new(cursors).map_err(failed)?;
    let mut writer = BlockWriter::new(io, layout, new)?;
    let mut work = Work::default();
    while let Some((labels, sources)) = merge.next().map_err(failed)? {
        let rule = rule_of(&inputs.options.rollup_rules, labels);
        let wanted = rule.filter(|rule| rule.widths_ms.contains(&inputs.choice.width_ms));
        let split = sources.partition_point(|(input, _)| *input < inputs.old.len());
        if wanted.is_none() && split == 0 {
            continue;
        }
        work.old(inputs, &sources[..split])?;
        if wanted.is_some() {
            work.anew(inputs, labels, &sources[split..])?;
        }
        let keep_ms = wanted.and_then(|rule| rule.keep_ms);
        let earliest_ms = keep_ms.map_or(i64::MIN, |ms| inputs.now_ms.saturating_sub(ms));
        writer.add(labels, work.finish(inputs.choice.width_ms, earliest_ms))?;
    }
    writer.finish()
}

/// Buffers for one series.
#[derive(Default)]
struct Work {
    /// What the older blocks say.
    old: Samples,
    /// Where that does not count, if there is something newer.
    open: Vec<TimeRange>,
    /// Samples before this may be gone.
    kept_ms: i64,
    samples: Samples,
    fresh: Vec<Summary>,
    out: Samples,
}

impl Work {
    /// Takes the older summaries of a series.
    fn old(&mut self, inputs: &Inputs<'_>, sources: &[(usize, u32)]) -> Result<(), StorageError> {
        let whole = inputs.choice.range;
        self.open = vec![whole];
        let mut collector = Collector::new(&mut self.old, whole, Wanted::ALL);
        for (input, series) in sources {
            let block = &inputs.old[*input];
            block.collect(*series, whole, &mut Bookmark::default(), &mut collector)?;
            if let Some(rollup) = &block.meta.rollup {
                ranges::remove(&mut self.open, rollup.range());
            }
        }
        collector.finish();
        inputs.choice.anew.iter().for_each(|range| ranges::add(&mut self.open, *range));
        self.kept_ms = i64::MIN;
        self.fresh.clear();
        Ok(())
    }

    /// Makes summaries of the samples in the open ranges.
    fn anew(
        &mut self,
        inputs: &Inputs<'_>,
        labels: LabelsRef<'_>,
        sources: &[(usize, u32)],
    ) -> Result<(), StorageError> {
        self.kept_ms = Retention::at(inputs.options, inputs.now_ms).earliest_of(labels);
        if sources.is_empty() {
            return Ok(());
        }
        for range in &self.open {
            let mut collector = Collector::new(&mut self.samples, *range, Wanted::ALL);
            for (input, series) in sources {
                let block = &inputs.samples[*input - inputs.old.len()];
                block.collect(*series, *range, &mut Bookmark::default(), &mut collector)?;
            }
            collector.finish();
            summarize_with_holes(&mut self.samples, inputs.choice.width_ms, &mut self.fresh);
        }
        Ok(())
    }

    /// The summaries of the series that end at `earliest_ms` or later: in each bucket the fresh ones,
    /// where there are any and the older ones do not count. Of a bucket that begins before the
    /// retention of samples some may be gone: there those count that know of more samples.
    fn finish(&mut self, width_ms: i64, earliest_ms: i64) -> &Samples {
        let bucket = |summary: &Summary| run_of(summary.last_ms, width_ms).0;
        let count = |all: &[Summary], number: i64| -> Option<u64> {
            let start = all.partition_point(|one| bucket(one) < number);
            let inside = all[start..].iter().take_while(|one| bucket(one) == number);
            inside.map(|one| one.count).reduce(|left, right| left + right)
        };
        let wins = |number: i64| match count(&self.fresh, number) {
            Some(_) if number * width_ms >= self.kept_ms => true,
            Some(fresh) => count(&self.old.summaries, number).is_none_or(|old| fresh >= old),
            None => false,
        };
        let is_open = |one: &Summary| ranges::contains(&self.open, one.last_ms);
        let old = self.old.summaries.iter().filter(|one| !is_open(one) || !wins(bucket(one)));
        let fresh = self.fresh.iter().filter(|one| wins(bucket(one)));
        let mut all: Vec<Summary> = old.chain(fresh).copied().collect();
        all.sort_by_key(|summary| summary.last_ms);
        self.out.clear();
        // A series of which summaries say nothing is left to its samples.
        if all.iter().any(|summary| !is_hole(summary)) {
            let kept = all.into_iter().filter(|summary| summary.last_ms >= earliest_ms);
            kept.for_each(|summary| self.out.push_summary(summary));
        }
        &self.out
    }
}

/// A summary that says nothing: the samples of its bucket are to be read.
pub(crate) fn hole(at_ms: i64) -> Summary {
    let mut hole = Summary::of(at_ms, f64::from_bits(model::STALE_NAN_BITS));
    hole.ended = false;
    hole
}

/// True for what [`hole`] makes.
pub(crate) fn is_hole(summary: &Summary) -> bool {
    summary.count == 0 && !summary.ended
}

/// Appends the summaries of `samples`; buckets that have a native histogram, or finite numbers whose
/// sum is too large, become holes.
fn summarize_with_holes(samples: &mut Samples, width_ms: i64, out: &mut Vec<Summary>) {
    let from = out.len();
    summarize(&samples.timestamps, &samples.values, width_ms, out);
    let bucket = |at_ms: i64| run_of(at_ms, width_ms).0;
    let mut lost: Vec<i64> =
        out[from..].iter().filter(|one| one.overflows()).map(|one| bucket(one.last_ms)).collect();
    let has_histogram = |index: &usize| samples.histogram(*index).is_some();
    let histograms = (0..samples.len()).filter(has_histogram);
    lost.extend(histograms.map(|index| bucket(samples.timestamps[index])));
    if lost.is_empty() {
        return;
    }
    lost.sort_unstable();
    lost.dedup();
    let is_lost = |one: &Summary| lost.binary_search(&bucket(one.last_ms)).is_ok();
    let mut kept: Vec<Summary> = out.drain(from..).filter(|one| !is_lost(one)).collect();
    kept.extend(lost.iter().map(|number| hole(number * width_ms)));
    kept.sort_by_key(|one| one.last_ms);
    out.extend(kept);
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{Histogram, SampleKind};

    #[test]
    fn what_summaries_cannot_say_is_a_hole() {
        let mut samples = Samples::default();
        let huge = f64::MAX;
        for (at_ms, value) in [(1, 1.0), (2, 2.0), (10, 4.0), (21, huge), (22, huge)] {
            samples.push(at_ms, SampleKind::Float, value.to_bits());
        }
        samples.push_histogram(35, Arc::new(Histogram::default()));
        samples.push(36, SampleKind::Float, 1f64.to_bits());
        samples.push(41, SampleKind::Float, f64::INFINITY.to_bits());
        let mut out = Vec::new();
        summarize_with_holes(&mut samples, 10, &mut out);
        let found: Vec<_> = out.iter().map(|one| (one.last_ms, is_hole(one))).collect();
        assert_eq!(found, [(2, false), (10, false), (20, true), (30, true), (41, false)]);
    }
}
