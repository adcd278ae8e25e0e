//! Which block of summaries is made next. Pure: blocks and time in, a choice out.
//!
//! Samples of a range are rolled up once the range is over; blocks of summaries that lie in one
//! longer range are joined once that is over; a dirty block is made anew after a pause that grows
//! with what it covers, so that a trickle of late samples does not rewrite it again and again.

use std::collections::{HashMap, HashSet};

use model::TimeRange;

use crate::layout::BlockId;
use crate::manifest::edit::BlockEntry;

/// Lengths of joined ranges, in ranges.
const JOINED_RANGES: [i64; 2] = [8, 64];
/// A dirty block waits for one in so many parts of what it covers …
const PAUSE_PART: i64 = 32;

/// A block of summaries to make.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Whose.
    pub(crate) tenant: u32,
    /// Length of the buckets.
    pub(crate) width_ms: i64,
    /// What it will cover.
    pub(crate) range: TimeRange,
    /// The blocks of summaries whose place it takes, by time.
    pub(crate) old: Vec<BlockId>,
    /// What of it is made from samples, whatever the old ones say.
    pub(crate) anew: Vec<TimeRange>,
}

/// Ranges in which there was nothing to roll up, with the blocks of samples that were looked at.
pub(crate) type Barren = HashMap<(u32, i64, i64), Vec<BlockId>>;

/// What the policy looks at.
#[derive(Debug)]
pub(crate) struct Situation<'a> {
    /// The live blocks.
    pub(crate) blocks: &'a [BlockEntry],
    /// Blocks to leave alone.
    pub(crate) skip: &'a [BlockId],
    /// Widths with the fingerprints of their rules.
    pub(crate) widths: &'a [(i64, u64)],
    /// Length of a range; all widths divide it.
    pub(crate) range_ms: i64,
    /// Ranges that end later than this are not over.
    pub(crate) settled_ms: i64,
    /// Where there was nothing.
    pub(crate) barren: &'a Barren,
    /// Dirty blocks do not wait.
    pub(crate) at_once: bool,
    /// Nor do those that are dirty before this: the samples there are soon let go.
    pub(crate) expiring_ms: i64,
}

/// The blocks of samples of `tenant` that overlap `range`, ascending by id.
pub(crate) fn samples_in(blocks: &[BlockEntry], tenant: u32, range: TimeRange) -> Vec<BlockId> {
    let is_in = |entry: &&BlockEntry| {
        let meta = &entry.meta;
        meta.rollup.is_none() && meta.tenant == tenant && meta.time_range().overlaps(&range)
    };
    let mut ids: Vec<BlockId> = blocks.iter().filter(is_in).map(|entry| entry.meta.id).collect();
    ids.sort_unstable();
    ids
}

/// The next one: what is missing first, then what is dirty, then what can be joined.
pub(crate) fn choose(situation: &Situation<'_>) -> Option<Choice> {
    let tenants: HashSet<u32> = situation.blocks.iter().map(|entry| entry.meta.tenant).collect();
    let mut tenants: Vec<u32> = tenants.into_iter().collect();
    tenants.sort_unstable();
    let all = || {
        let widths = situation.widths;
        tenants.iter().flat_map(move |tenant| widths.iter().map(|width| (*tenant, *width)))
    };
    all()
        .find_map(|(tenant, width)| missing(situation, tenant, width))
        .or_else(|| all().find_map(|(tenant, width)| dirty(situation, tenant, width)))
        .or_else(|| all().find_map(|(tenant, width)| joined(situation, tenant, width)))
}

/// The blocks of summaries of one tenant and width, by time.
fn rollups<'a>(
    situation: &'a Situation<'_>,
    tenant: u32,
    width_ms: i64,
) -> Vec<(&'a BlockEntry, TimeRange)> {
    let of = |entry: &'a BlockEntry| {
        let meta = entry.meta.rollup.filter(|rollup| rollup.width_ms == width_ms)?;
        let is_wanted = entry.meta.tenant == tenant && !situation.skip.contains(&entry.meta.id);
        is_wanted.then(|| (entry, meta.range()))
    };
    let mut found: Vec<_> = situation.blocks.iter().filter_map(of).collect();
    found.sort_by_key(|(_, range)| range.start_ms);
    found
}

fn missing(situation: &Situation<'_>, tenant: u32, (width_ms, _): (i64, u64)) -> Option<Choice> {
    let length = situation.range_ms;
    // One that cannot be read covers its range all the same: nothing is to be made in its place.
    let covered: Vec<TimeRange> = situation
        .blocks
        .iter()
        .filter(|entry| entry.meta.tenant == tenant)
        .filter_map(|entry| entry.meta.rollup.filter(|rollup| rollup.width_ms == width_ms))
        .map(|rollup| rollup.range())
        .collect();
    let samples = situation.blocks.iter().filter(|entry| {
        entry.meta.rollup.is_none()
            && entry.meta.tenant == tenant
            && !situation.skip.contains(&entry.meta.id)
    });
    let mut starts: Vec<i64> = samples
        .flat_map(|entry| {
            let number = |at_ms: i64| at_ms.div_euclid(length);
            let last_ms = entry.meta.max_time_ms.min(situation.settled_ms);
            number(entry.meta.min_time_ms)..=number(last_ms)
        })
        .map(|number| number * length)
        .collect();
    starts.sort_unstable();
    starts.dedup();
    starts.into_iter().find_map(|start_ms| {
        let range = TimeRange::new(start_ms, start_ms + (length - 1));
        let is_over = range.end_ms <= situation.settled_ms;
        if !is_over || covered.iter().any(|known| known.overlaps(&range)) {
            return None;
        }
        let samples = samples_in(situation.blocks, tenant, range);
        let is_barren = situation.barren.get(&(tenant, width_ms, start_ms)) == Some(&samples);
        let (old, anew) = (Vec::new(), vec![range]);
        (!samples.is_empty() && !is_barren).then_some(Choice { tenant, width_ms, range, old, anew })
    })
}

fn dirty(situation: &Situation<'_>, tenant: u32, (width_ms, rules): (i64, u64)) -> Option<Choice> {
    rollups(situation, tenant, width_ms).into_iter().find_map(|(entry, range)| {
        let is_of_other_rules = entry.meta.rollup.is_some_and(|rollup| rollup.rules != rules);
        let is_dirty = !entry.dirty.is_empty() || !entry.deletes.is_empty();
        let pause_ms = (range.end_ms - range.start_ms) / PAUSE_PART;
        let expires = |(start_ms, _): &(i64, i64)| *start_ms < situation.expiring_ms;
        let is_time = situation.at_once
            || entry.dirty.iter().any(expires)
            || entry.meta.id.time_ms().saturating_add(pause_ms) <= situation.settled_ms;
        let anew = if is_of_other_rules { vec![range] } else { entry.dirty_ranges() };
        let old = vec![entry.meta.id];
        (is_of_other_rules || is_dirty && is_time).then_some(Choice {
            tenant,
            width_ms,
            range,
            old,
            anew,
        })
    })
}

fn joined(situation: &Situation<'_>, tenant: u32, (width_ms, _): (i64, u64)) -> Option<Choice> {
    let found = rollups(situation, tenant, width_ms);
    JOINED_RANGES.iter().find_map(|ranges| {
        let length = situation.range_ms.checked_mul(*ranges)?;
        let number = |range: &TimeRange| range.start_ms.div_euclid(length);
        let mut groups = found.chunk_by(|(_, a), (_, b)| number(a) == number(b));
        groups.find_map(|group| {
            let (start_ms, end_ms) = (group.first()?.1.start_ms, group.last()?.1.end_ms);
            let is_over = (number(&group.first()?.1) + 1) * length <= situation.settled_ms;
            let is_clean =
                group.iter().all(|(entry, _)| entry.dirty.is_empty() && entry.deletes.is_empty());
            let old = group.iter().map(|(entry, _)| entry.meta.id).collect();
            let range = TimeRange::new(start_ms, end_ms);
            (is_over && is_clean && group.len() > 1).then_some(Choice {
                tenant,
                width_ms,
                range,
                old,
                anew: Vec::new(),
            })
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::block::meta::{BlockMeta, RollupMeta};

    fn entry(id: u128, range: (i64, i64), width_ms: i64) -> BlockEntry {
        let (start_ms, end_ms) = range;
        let rollup = (width_ms > 0).then_some(RollupMeta { width_ms, start_ms, end_ms, rules: 7 });
        let meta = BlockMeta::example(id);
        let meta = BlockMeta { min_time_ms: start_ms, max_time_ms: end_ms, rollup, ..meta };
        BlockEntry::new(id as u64, meta)
    }

    /// What is chosen at `settled_ms`, ranges being 100 ms: range, old blocks, what is made anew.
    fn check(
        blocks: &[BlockEntry],
        settled_ms: i64,
        want: Option<((i64, i64), &[u128], &[(i64, i64)])>,
    ) {
        let barren = Barren::from([((0, 10, 300), vec![BlockId(4)])]);
        let situation = Situation {
            blocks,
            skip: &[],
            widths: &[(10, 7)],
            range_ms: 100,
            settled_ms,
            barren: &barren,
            at_once: false,
            expiring_ms: i64::MIN,
        };
        let got = choose(&situation).map(|choice| {
            let pair = |range: &TimeRange| (range.start_ms, range.end_ms);
            let old: Vec<u128> = choice.old.iter().map(|id| id.0).collect();
            (pair(&choice.range), old, choice.anew.iter().map(pair).collect::<Vec<_>>())
        });
        let want = want.map(|(range, old, anew)| (range, old.to_vec(), anew.to_vec()));
        assert_eq!(got, want);
    }

    #[test]
    fn missing_then_dirty_then_joined() {
        let samples = entry(1, (20, 230), 0);
        let alone = std::slice::from_ref(&samples);
        check(alone, 98, None);
        check(alone, 99, Some(((0, 99), &[], &[(0, 99)])));
        let first = entry(2, (0, 99), 10);
        check(&[samples.clone(), first.clone()], 198, None);
        check(&[samples.clone(), first.clone()], 199, Some(((100, 199), &[], &[(100, 199)])));
        // Nothing to roll up there, and no other blocks since.
        check(&[entry(4, (310, 320), 0)], 500, None);
        check(&[entry(5, (310, 320), 0)], 500, Some(((300, 399), &[], &[(300, 399)])));
        let mut dirty = first.clone();
        dirty.dirty = vec![(20, 39)];
        check(&[dirty.clone()], 500, Some(((0, 99), &[2], &[(20, 39)])));
        dirty.meta.rollup = dirty.meta.rollup.map(|rollup| RollupMeta { rules: 8, ..rollup });
        check(&[dirty], 500, Some(((0, 99), &[2], &[(0, 99)])));
        let second = entry(3, (200, 299), 10);
        check(&[first.clone(), second.clone()], 799, None);
        check(&[second, first], 800, Some(((0, 299), &[2, 3], &[])));
    }
}
