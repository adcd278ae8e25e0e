//! Reads one series from summaries where they say what its samples say, and from samples elsewhere.
//!
//! Where the reader cuts at multiples of the width, summaries stand for the samples of every bucket in
//! which nothing has changed since. Other summaries only stand in where samples are gone: in buckets
//! of which there is nothing better; there the reader's edges move by less than a bucket.

use model::{Samples, SourceError, Summary, TimeRange, run_of, summarize};

use crate::block::chunks::Bookmark;
use crate::block::meta::RollupMeta;
use crate::block::reader::Block;
use crate::collect::{Collector, Wanted};
use crate::rollup::build::is_hole;
use crate::rollup::ranges;

/// A block of summaries for one reader.
#[derive(Debug)]
pub(crate) struct Rolled {
    meta: RollupMeta,
    /// Where it says what the samples say and is cut where the reader cuts.
    trusted: Vec<TimeRange>,
    /// The reader cuts where the buckets end.
    fits: bool,
    /// Samples of its range may be gone.
    stands_in: bool,
}

impl Rolled {
    /// How `block` serves a reader who cuts at multiples of `cut_ms`; `changed` are ranges in which
    /// samples are newer than the block. `None` when it does not.
    pub(crate) fn new(
        block: &Block,
        cut_ms: i64,
        changed: &[TimeRange],
        samples_since_ms: i64,
    ) -> Option<Self> {
        let meta = block.meta.rollup?;
        let fits = cut_ms % meta.width_ms == 0;
        let stands_in = meta.start_ms < samples_since_ms;
        let mut trusted = Vec::new();
        if fits {
            trusted.push(meta.range());
            let dirty = block.dirty().iter().chain(changed);
            dirty.for_each(|range| ranges::remove(&mut trusted, meta.widen(*range)));
        }
        (fits || stands_in).then_some(Self { meta, trusted, fits, stands_in })
    }

    /// Length of the buckets.
    pub(crate) fn width_ms(&self) -> i64 {
        self.meta.width_ms
    }

    fn bucket(&self, at_ms: i64) -> i64 {
        run_of(at_ms, self.meta.width_ms).0
    }
}

/// A series in a block of summaries.
pub(crate) type Place<'a> = (&'a Rolled, &'a Block, u32);

/// Reads the samples of the series in a range.
pub(crate) type ReadSamples<'a> =
    dyn FnMut(TimeRange, &mut Samples) -> Result<(), SourceError> + 'a;

/// Replaces `out` by what is known of a series in `range`.
pub(crate) fn read(
    places: &mut [Place<'_>],
    range: TimeRange,
    samples: &mut ReadSamples<'_>,
    out: &mut Samples,
) -> Result<(), SourceError> {
    let mut open = vec![range];
    let mut found = Vec::new();
    places.sort_by_key(|(rolled, ..)| std::cmp::Reverse(rolled.width_ms()));
    for place in places.iter() {
        take_trusted(place, &mut open, &mut found)?;
    }
    let is_all_open = found.is_empty();
    let width_ms = common_width(places);
    let mut raw = Samples::default();
    for piece in &open {
        samples(*piece, &mut raw)?;
        if !raw.histograms.is_empty() {
            // Histograms and summaries do not mix: what is left of the samples is the answer.
            return samples(range, out);
        }
        let (times, values) = (&raw.timestamps, &raw.values);
        match width_ms {
            Some(width_ms) => summarize(times, values, width_ms, &mut found),
            None => {
                let each = times.iter().zip(values);
                found.extend(each.map(|(at_ms, value)| Summary::of(*at_ms, *value)));
            }
        }
    }
    found.sort_by_key(|summary| summary.last_ms);
    let known = found.len();
    let reach_ms = stand_in(places, &open, &mut found)?;
    if is_all_open && found.len() == known {
        // Nothing but samples: the reader is faster with them as they are.
        std::mem::swap(out, &mut raw);
        return if open == [range] { Ok(()) } else { samples(range, out) };
    }
    out.clear();
    found.into_iter().for_each(|summary| out.push_summary(summary));
    out.reach_ms = reach_ms;
    Ok(())
}

/// The width at which samples are summarized on the way, since a summary each would cost far more: the
/// narrowest, if it fits the reader and all buckets consist of such.
fn common_width(places: &[Place<'_>]) -> Option<i64> {
    let width_ms = places.iter().map(|(rolled, ..)| rolled.width_ms()).min()?;
    let is_common = |(rolled, ..): &Place<'_>| rolled.fits && rolled.width_ms() % width_ms == 0;
    places.iter().all(is_common).then_some(width_ms)
}

/// Decodes the summaries of a place that end in `range`.
fn decode((_, block, series): &Place<'_>, range: TimeRange) -> Result<Vec<Summary>, SourceError> {
    let mut samples = Samples::default();
    let mut collector = Collector::new(&mut samples, range, Wanted::ALL);
    block.collect(*series, range, &mut Bookmark::default(), &mut collector)?;
    collector.finish();
    Ok(samples.summaries)
}

/// Moves what a place vouches for from `open` to `found`.
fn take_trusted(
    place: &Place<'_>,
    open: &mut Vec<TimeRange>,
    found: &mut Vec<Summary>,
) -> Result<(), SourceError> {
    let rolled = place.0;
    let pieces: Vec<TimeRange> =
        rolled.trusted.iter().flat_map(|range| ranges::inside(open, *range)).collect();
    let Some(hull) = pieces.iter().copied().reduce(|hull, piece| hull.hull(&piece)) else {
        return Ok(());
    };
    let summaries = decode(place, hull)?;
    pieces.iter().for_each(|piece| ranges::remove(open, *piece));
    for summary in summaries.iter().filter(|one| ranges::contains(&pieces, one.last_ms)) {
        if is_hole(summary) {
            let at_ms = summary.last_ms;
            let bucket = rolled.meta.widen(TimeRange::new(at_ms, at_ms));
            ranges::inside(&pieces, bucket).iter().for_each(|part| ranges::add(open, *part));
        } else {
            found.push(*summary);
        }
    }
    Ok(())
}

/// Adds to `found`, ascending, what places know of buckets in the open ranges of which nothing else
/// is known: first those that fit, the widest first, then others, the narrowest first. Returns the
/// width of the widest that does not fit.
fn stand_in(
    places: &[Place<'_>],
    open: &[TimeRange],
    found: &mut Vec<Summary>,
) -> Result<i64, SourceError> {
    let mut places: Vec<&Place<'_>> =
        places.iter().filter(|(rolled, ..)| rolled.stands_in).collect();
    let preference = |(rolled, ..): &&Place<'_>| match rolled.fits {
        true => -rolled.width_ms(),
        false => rolled.width_ms(),
    };
    places.sort_by_key(preference);
    let mut reach_ms = 0;
    for place in places {
        let rolled = place.0;
        let pieces = ranges::inside(open, rolled.meta.range());
        let Some(hull) = pieces.iter().copied().reduce(|hull, piece| hull.hull(&piece)) else {
            continue;
        };
        let mut summaries = decode(place, hull)?;
        let is_known = |number: i64| {
            found.binary_search_by_key(&number, |one| rolled.bucket(one.last_ms)).is_ok()
        };
        summaries.retain(|one| {
            !is_hole(one)
                && ranges::contains(&pieces, one.last_ms)
                && !is_known(rolled.bucket(one.last_ms))
        });
        if summaries.is_empty() {
            continue;
        }
        if !rolled.fits {
            reach_ms = reach_ms.max(rolled.width_ms());
        }
        found.extend(summaries);
        found.sort_by_key(|summary| summary.last_ms);
    }
    Ok(reach_ms)
}
