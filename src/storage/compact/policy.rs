//! Which blocks are merged next. Pure: blocks and time in, a choice out.
//!
//! Ranges of time grow by a fixed factor: a window, 6 windows, 36 windows (2 h, 12 h, 3 d). Blocks
//! that lie in one range are merged once the range is over. A range that was merged before is
//! merged again only when what came late is worth rewriting it.
//!
//! A window that grows, or gets many late samples, may be flushed dozens of times. Of its blocks those of
//! like sizes are merged, as an LSM tree does: a block at most as large as its companions together. So
//! bytes that are written anew end up in a block of at least twice the size: they are written a
//! logarithmic number of times, and a logarithmic number of blocks is left.
//!
//! Invariant: a block that is not chosen never has an order between those of two chosen blocks
//! that it overlaps in time, so that the later write still wins afterwards.

use model::TimeRange;

use crate::layout::BlockId;
use crate::manifest::edit::{BlockEntry, Manifest};

/// Lengths of the ranges, in windows.
const RANGE_WINDOWS: [i64; 3] = [1, 6, 36];
/// Blocks of like sizes that are merged before a merge of all pays.
const LIKE_BLOCKS: usize = 4;
/// The others together must have at least this share (one in …) of the largest block's bytes.
const SHARE_OF_LARGEST: u64 = 4;

/// Blocks of one tenant to merge, those with older writes first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// The tenant.
    pub(crate) tenant: u32,
    /// The blocks.
    pub(crate) blocks: Vec<BlockId>,
    /// The level of the result.
    pub(crate) level: u32,
}

/// What the policy looks at.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Situation<'a> {
    /// The live blocks of samples, by order.
    pub(crate) blocks: &'a [BlockEntry],
    /// Blocks to leave alone.
    pub(crate) skip: &'a [BlockId],
    /// Length of a window.
    pub(crate) partition_ms: i64,
    /// Ranges that end later than this are not over.
    pub(crate) settled_ms: i64,
    /// Series that blocks which are merged may have together.
    pub(crate) series_max: u64,
    /// Bytes that they may have together.
    pub(crate) bytes_max: u64,
    /// Blocks made at these instants are fresh: their range may get more soon, as one does that is being
    /// filled with old samples, and is not merged as a whole yet.
    pub(crate) fresh: Option<TimeRange>,
}

impl Situation<'_> {
    /// How many of the first of `blocks` may be merged at once.
    fn fitting(&self, blocks: &[&BlockEntry]) -> usize {
        let sums = blocks.iter().scan((0u64, 0u64), |sums, entry| {
            sums.0 = sums.0.saturating_add(entry.meta.series);
            sums.1 = sums.1.saturating_add(bytes(entry));
            Some(*sums)
        });
        let fits = |sums: &(u64, u64)| sums.0 <= self.series_max && sums.1 <= self.bytes_max;
        sums.take_while(fits).count()
    }
}

fn bytes(entry: &BlockEntry) -> u64 {
    entry.meta.chunks_bytes + entry.meta.index_bytes
}

fn range(entry: &BlockEntry) -> TimeRange {
    TimeRange::new(entry.meta.min_time_ms, entry.meta.max_time_ms)
}

/// How large a block may be that is written anew alone.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RewriteMax {
    /// Series.
    pub(crate) series: u64,
    /// Bytes.
    pub(crate) bytes: u64,
}

impl RewriteMax {
    /// Any block: somebody asked for it.
    pub(crate) const ANY: Self = Self { series: u64::MAX, bytes: u64::MAX };
}

/// The oldest block whose deletes were all asked for at `until_ms` or before, to be written anew alone.
pub(crate) fn rewrite(
    manifest: &Manifest,
    skip: &[BlockId],
    until_ms: i64,
    max: RewriteMax,
) -> Option<Choice> {
    let is_due = |entry: &&BlockEntry| {
        let fits = entry.meta.series <= max.series && bytes(entry) <= max.bytes;
        fits && !entry.deletes.is_empty()
            // Summaries are made anew from samples.
            && entry.meta.rollup.is_none()
            && !skip.contains(&entry.meta.id)
            && manifest.deletes_of(entry).all(|delete| delete.at_ms <= until_ms)
    };
    manifest.blocks.iter().find(is_due).map(|entry| Choice {
        tenant: entry.meta.tenant,
        blocks: vec![entry.meta.id],
        level: entry.meta.level,
    })
}

/// The next merge, the shortest and oldest range first.
pub(crate) fn choose(situation: &Situation<'_>) -> Option<Choice> {
    RANGE_WINDOWS.iter().zip(0u32..).find_map(|(windows, level)| {
        let length = situation.partition_ms.checked_mul(*windows)?;
        choose_range(situation, length, level)
    })
}

fn choose_range(situation: &Situation<'_>, length: i64, level: u32) -> Option<Choice> {
    let mut ranges: Vec<(i64, u32)> = situation
        .blocks
        .iter()
        .map(|entry| (entry.meta.min_time_ms.div_euclid(length), entry.meta.tenant))
        .collect();
    ranges.sort_unstable();
    ranges.dedup();
    ranges.into_iter().find_map(|(number, tenant)| {
        let start = number * length;
        let within = TimeRange::new(start, start + (length - 1));
        let inside: Vec<&BlockEntry> = situation
            .blocks
            .iter()
            .filter(|entry| entry.meta.tenant == tenant && !situation.skip.contains(&entry.meta.id))
            .filter(|entry| within.intersect(&range(entry)) == range(entry))
            .collect();
        let is_fresh = |entry: &&BlockEntry| {
            situation.fresh.is_some_and(|fresh| fresh.contains(entry.meta.id.time_ms()))
        };
        let is_over = within.end_ms <= situation.settled_ms && !inside.iter().any(is_fresh);
        if !is_over && level > 0 {
            return None;
        }
        let chosen = if is_over { choose_all(situation, &inside, level) } else { None };
        let chosen = chosen.or_else(|| choose_like(situation, &inside))?;
        Some(Choice {
            tenant,
            blocks: chosen.iter().map(|entry| entry.meta.id).collect(),
            level: chosen.iter().map(|entry| entry.meta.level).max().unwrap_or(0).max(level),
        })
    })
}

/// All blocks of a range that is over, or else the first neighbours that may be merged at once.
fn choose_all<'c, 'b>(
    situation: &Situation<'_>,
    inside: &'c [&'b BlockEntry],
    level: u32,
) -> Option<&'c [&'b BlockEntry]> {
    let pays = |run: &&[&BlockEntry]| is_worth(run, level) && keeps_order(situation.blocks, run);
    let is_all = situation.fitting(inside) == inside.len();
    let starts = if is_all { 0..1 } else { 0..inside.len() };
    let runs = starts.map(|start| &inside[start..]);
    runs.map(|run| &run[..situation.fitting(run)]).find(pays)
}

/// The first neighbours of like sizes, as many as possible.
fn choose_like<'c, 'b>(
    situation: &Situation<'_>,
    inside: &'c [&'b BlockEntry],
) -> Option<&'c [&'b BlockEntry]> {
    let pays = |run: &&[&BlockEntry]| are_alike(run) && keeps_order(situation.blocks, run);
    (0..inside.len()).find_map(|start| {
        let run = &inside[start..];
        (LIKE_BLOCKS..=situation.fitting(run)).rev().map(|count| &run[..count]).find(pays)
    })
}

/// Bytes of the largest one, and of the others together.
fn largest_and_others(blocks: &[&BlockEntry]) -> (u64, u64) {
    let total: u64 = blocks.iter().map(|entry| bytes(entry)).sum();
    let largest = blocks.iter().map(|entry| bytes(entry)).max().unwrap_or(0);
    (largest, total - largest)
}

fn is_worth(chosen: &[&BlockEntry], level: u32) -> bool {
    let was_merged = level == 0 || chosen.iter().any(|entry| entry.meta.level >= level);
    let (largest, others) = largest_and_others(chosen);
    chosen.len() > 1 && (!was_merged || others >= largest / SHARE_OF_LARGEST)
}

fn are_alike(blocks: &[&BlockEntry]) -> bool {
    let (largest, others) = largest_and_others(blocks);
    largest <= others
}

fn keeps_order(all: &[BlockEntry], chosen: &[&BlockEntry]) -> bool {
    let (Some(first), Some(last)) = (chosen.first(), chosen.last()) else {
        return false;
    };
    let hull = chosen.iter().fold(range(first), |hull, entry| hull.hull(&range(entry)));
    !all.iter().any(|entry| {
        first.order < entry.order
            && entry.order < last.order
            && entry.meta.tenant == first.meta.tenant
            && range(entry).overlaps(&hull)
            && !chosen.iter().any(|chosen| chosen.meta.id == entry.meta.id)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::meta::BlockMeta;

    /// Blocks as (order, first and last ms, level, bytes), windows of 10 ms.
    type Described = (u64, i64, i64, u32, u64);

    fn check(blocks: &[Described], settled_ms: i64, want: Option<(&[u64], u32)>) {
        check_below(u64::MAX, blocks, settled_ms, want);
    }

    /// [`check`] where at most `series_max` blocks may be merged: each has one series.
    fn check_below(
        series_max: u64,
        blocks: &[Described],
        settled_ms: i64,
        want: Option<(&[u64], u32)>,
    ) {
        let got = chosen((series_max, None), blocks, settled_ms);
        assert_eq!(got, want.map(|(orders, level)| (orders.to_vec(), level)));
    }

    fn entry(described: Described, series: u64) -> BlockEntry {
        let (order, min_time_ms, max_time_ms, level, chunks_bytes) = described;
        let meta = BlockMeta::example(u128::from(order));
        let meta = BlockMeta { level, min_time_ms, max_time_ms, series, chunks_bytes, ..meta };
        BlockEntry::new(order, meta)
    }

    /// Orders and level of what is chosen among blocks that were all made at 0.
    fn chosen(
        (series_max, fresh_until_ms): (u64, Option<i64>),
        blocks: &[Described],
        settled_ms: i64,
    ) -> Option<(Vec<u64>, u32)> {
        let entries: Vec<BlockEntry> = blocks.iter().map(|block| entry(*block, 1)).collect();
        let skip = [];
        let situation = Situation {
            blocks: &entries,
            skip: &skip,
            partition_ms: 10,
            settled_ms,
            series_max,
            bytes_max: 10_000,
            fresh: fresh_until_ms.map(|ms| TimeRange::new(0, ms)),
        };
        choose(&situation).map(|choice| {
            let orders: Vec<u64> = choice.blocks.iter().map(|id| id.0 as u64).collect();
            (orders, choice.level)
        })
    }

    #[test]
    fn chooses_the_shortest_range_that_pays() {
        // One block of a window, or a window that is not over: nothing.
        check(&[(1, 0, 9, 0, 100)], 1000, None);
        check(&[(1, 0, 9, 0, 100), (2, 3, 4, 0, 100)], 5, None);
        // Overlapping blocks of one window.
        check(&[(1, 0, 9, 0, 100), (2, 3, 4, 0, 50)], 20, Some((&[1, 2], 0)));
        // A late trickle waits for company or for the next range.
        check(&[(1, 0, 9, 0, 100), (2, 3, 4, 0, 1)], 20, None);
        check(&[(1, 0, 9, 0, 100), (2, 3, 4, 0, 1)], 100, Some((&[1, 2], 1)));
        // Adjacent windows, once the longer range is over.
        check(&[(1, 0, 9, 0, 100), (2, 10, 19, 0, 100)], 58, None);
        check(&[(1, 0, 9, 0, 100), (2, 10, 19, 0, 100)], 59, Some((&[1, 2], 1)));
        // A merged range and one trickle more.
        check(&[(1, 0, 59, 1, 100), (2, 10, 19, 0, 1)], 100, None);
        check(&[(1, 0, 59, 1, 100), (2, 60, 119, 1, 100)], 359, Some((&[1, 2], 2)));
        check(&[(1, 0, 359, 2, 100), (2, 360, 719, 2, 100)], 9999, None);
    }

    #[test]
    fn blocks_of_like_sizes_are_merged_before_their_window_is_over() {
        let sized = |sizes: &[u64]| -> Vec<Described> {
            (1..).zip(sizes).map(|(order, bytes)| (order, 0, 9, 0, *bytes)).collect()
        };
        let check = |sizes: &[u64], want: &[u64]| {
            let want = (!want.is_empty()).then_some((want, 0));
            check(&sized(sizes), 5, want);
        };
        check(&[1, 1, 1], &[]);
        check(&[1, 1, 1, 1], &[1, 2, 3, 4]);
        check(&[4, 1, 1, 1], &[]);
        check(&[4, 1, 1, 1, 1], &[1, 2, 3, 4, 5]);
        check(&[9, 1, 1, 1, 1], &[2, 3, 4, 5]);
        check(&[1, 1, 1, 1, 9], &[1, 2, 3, 4]);
        check(&[64, 16, 16, 16, 4, 4, 4, 1, 1, 1], &[2, 3, 4, 5, 6, 7, 8, 9, 10]);
        check_below(4, &sized(&[1; 9]), 5, Some((&[1, 2, 3, 4], 0)));
        check_below(3, &sized(&[1; 9]), 5, None);
        // A range that still gets blocks, though it is over: their ids were made at 0.
        let five = sized(&[4, 1, 1, 1, 1]);
        assert_eq!(chosen((u64::MAX, Some(0)), &five[..4], 1000), None);
        assert!(chosen((u64::MAX, Some(-1)), &five[..4], 1000).is_some());
        assert_eq!(chosen((u64::MAX, Some(0)), &five, 1000), Some((vec![1, 2, 3, 4, 5], 0)));
        // Many late ones, which are not worth the whole range.
        super::tests::check(&sized(&[100, 1, 1, 1, 1]), 20, Some((&[2, 3, 4, 5], 0)));
    }

    #[test]
    fn a_window_of_many_flushes_is_written_a_few_times() {
        let mut random = base::rng::Rng::new(7);
        let mut blocks: Vec<Described> = Vec::new();
        let (mut flushed, mut written, mut most) = (0, 0, 0);
        for order in 1..=1000 {
            let bytes = 1 + random.next_u64() % 10;
            flushed += bytes;
            blocks.push((order, 0, 9, 0, bytes));
            while let Some((chosen, level)) = chosen((u64::MAX, None), &blocks, 5) {
                let last = *chosen.last().unwrap();
                let inputs = blocks.iter().filter(|block| chosen.contains(&block.0));
                let bytes: u64 = inputs.map(|block| block.4).sum();
                written += bytes;
                blocks.retain(|block| !chosen.contains(&block.0));
                blocks.push((last, 0, 9, level, bytes));
                blocks.sort_unstable();
            }
            most = most.max(blocks.len());
        }
        assert!(most <= 16, "{most} blocks");
        assert!(written <= 8 * flushed, "{written} of {flushed}");
    }

    #[test]
    fn merges_no_more_than_there_is_memory_or_time_for() {
        let five: Vec<Described> = (1..=5).map(|order| (order, 0, 9, 0, 100)).collect();
        check_below(5, &five, 20, Some((&[1, 2, 3, 4, 5], 0)));
        check_below(4, &five, 20, Some((&[1, 2, 3, 4], 0)));
        check_below(2, &five, 20, Some((&[1, 2], 0)));
        check_below(1, &five, 20, None);
        let large = [6000, 6000, 3000, 1000];
        let large: Vec<Described> =
            (1..).zip(large).map(|(order, bytes)| (order, 0, 9, 0, bytes)).collect();
        check(&large, 20, Some((&[2, 3, 4], 0)));
        check(&large[..2], 20, None);
        // The first two were merged before and are not worth it again, their successors are.
        let merged = [(1, 0, 59, 1, 100), (2, 10, 19, 0, 1), (3, 20, 29, 0, 100)];
        check_below(2, &merged, 100, Some((&[2, 3], 1)));
    }

    #[test]
    fn rewrites_no_more_than_there_is_memory_or_time_for() {
        let deleted = |order: u64, series: u64, chunks_bytes: u64| BlockEntry {
            deletes: vec![1],
            ..entry((order, 0, 9, 0, chunks_bytes), series)
        };
        let blocks = vec![entry((1, 0, 9, 0, 1), 1), deleted(2, 50, 100), deleted(3, 9, 900)];
        let manifest = Manifest { blocks, ..Manifest::empty(0, 0) };
        let check = |series, bytes, want: Option<u64>| {
            let choice = rewrite(&manifest, &[], 0, RewriteMax { series, bytes });
            assert_eq!(choice.map(|choice| choice.blocks[0].0 as u64), want, "{series} {bytes}");
        };
        check(50, 100, Some(2));
        check(49, 900, Some(3));
        check(9, 899, None);
        check(50, 99, None);
    }

    #[test]
    fn never_jumps_over_a_block_in_between() {
        // Block 2 straddles the range's end and overlaps both others.
        let blocks = [(1, 0, 9, 0, 100), (2, 5, 700, 3, 100), (3, 3, 4, 0, 100)];
        check(&blocks, 9999, None);
    }
}
